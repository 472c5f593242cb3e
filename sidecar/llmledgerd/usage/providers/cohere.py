"""Cohere: chat, embed and rerank, versions 1 and 2.

Invariant: ``tokens`` is what the model read and wrote, ``billed_units`` what is charged; the columns
take the first where it is given, and the price the second. Counts are floats in version 1.

Sources: Cohere API reference, "Chat" v2 (``usage``) and v1 (``meta``), "Embed", "Rerank"; Cohere docs, "How
does Cohere's pricing work" (billed tokens leave out what Cohere's own prompt adds).

Streams. Cohere's chat streams, version 2 (SSE) and version 1 (NDJSON), made whole.

Invariant: version 1 repeats the whole answer in its last event, which is taken as it is.

Source: Cohere API reference, "Chat with streaming" v2 and v1.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import Json, fit
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, merge
from llmledgerd.usage.streams.coalesce import Runs, strict, text_field
from llmledgerd.usage.streams.merging import text_pattern
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import Count, counted, plus


class Units(msgspec.Struct):
    """Counts, of tokens or of billed units."""

    input_tokens: Count = None
    output_tokens: Count = None
    image_tokens: Count = None
    reasoning_tokens: Count = None


class CohereUsage(msgspec.Struct):
    """``usage`` of version 2, ``meta`` of version 1."""

    tokens: Units | None = None
    billed_units: Units | None = None
    cached_tokens: Count = None


_decode = msgspec.json.Decoder(CohereUsage).decode
NOTHING = Units()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to; image tokens stand beside the input."""
    usage, is_whole = fit(raw, CohereUsage, _decode)
    units = usage.tokens or NOTHING
    if units.input_tokens is None and units.output_tokens is None:
        units = usage.billed_units or NOTHING
    prompt, completion = plus(units.input_tokens, units.image_tokens), units.output_tokens
    reasoning = (usage.tokens or NOTHING).reasoning_tokens
    return counted(
        prompt=prompt,
        completion=completion,
        cached=usage.cached_tokens,
        reasoning=reasoning,
        priced=[_priced(usage, units)],
        is_whole=is_whole,
        has_output=False,
    )


def _priced(usage: CohereUsage, units: Units) -> PricedUsage:
    """Return what is billed; of counts that are not billed units, with the parts that belong to them."""
    billed = usage.billed_units or NOTHING
    if billed.input_tokens is not None or billed.output_tokens is not None:
        return PricedUsage(
            input=plus(billed.input_tokens, billed.image_tokens) or 0,
            output=billed.output_tokens or 0,
            input_image=billed.image_tokens or 0,
        )
    return PricedUsage(
        input=plus(units.input_tokens, units.image_tokens) or 0,
        output=units.output_tokens or 0,
        cache_read=usage.cached_tokens or 0,
        reasoning=units.reasoning_tokens or 0,
        input_image=units.image_tokens or 0,
    )


# -- streams ----------------------------------------------------------------------


LISTS = ("content", "tool_calls", "citations")
"""Members of the message that events carry one item of, under an index."""


def _deltas(name: str) -> tuple[Any, Any]:
    """Return the shape of events that go on with one item's text, and what joins them."""
    message = strict("Message", ("content", strict("Content", text_field(name))))
    delta = strict("Delta", ("message", message))
    shape = strict("Event", ("type", Literal["content-delta"]), ("index", int), ("delta", delta))

    def join(found: list[Any]) -> dict[str, Any] | None:
        if len({one.index for one in found}) > 1:
            return None
        content = {name: "".join([one.delta.message.content.piece for one in found])}
        return {"type": "content-delta", "index": found[0].index, "delta": {"message": {"content": content}}}

    return shape, join


PIECES = ("text", "thinking")
MORE_TEXT = Runs(*map(_deltas, PIECES), text=text_pattern(*PIECES))


class Answer:
    """The answer so far."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._items: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in LISTS}
        self._is_ended = False

    def take(self, event: Any) -> None:
        """Add one event; what is no object adds nothing."""
        if not isinstance(event, dict):
            return
        delta = event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.pop("message", None)
        if isinstance(message, dict):
            self._take_message(event.get("index"), message)
        if event.get("type") == "message-start":
            self._answer["id"] = event.get("id")
        elif event.get("type") == "message-end":
            self._is_ended = True
            self._answer.update(delta)

    def _take_message(self, index: Any, message: dict[str, Any]) -> None:
        """Add one event's part of the message: an item of a list, or a piece of text."""
        for name, piece in message.items():
            if name in LISTS and isinstance(piece, dict):
                merge(self._items[name].setdefault(index if isinstance(index, int) else 0, {}), piece)
            elif isinstance(piece, str) and name != "role":
                add_text(self._message, name, piece)
            else:
                self._message[name] = piece

    def whole(self) -> Whole:
        """Return the answer that the events so far make up."""
        for name, found in self._items.items():
            if found:
                self._message[name] = [found[index] for index in sorted(found)]
        self._answer["message"] = self._message
        return Whole(response=encoded(self._answer), complete=self._is_ended)


def assemble(events: Events) -> Whole:
    """Return the answer that version 2's events make up."""
    answer = Answer()
    for event in MORE_TEXT.shortened(events):
        answer.take(event)
    return answer.whole()


def assemble_version_1(events: Events) -> Whole:
    """Return the answer that version 1's events make up, or of a cut stream its text."""
    answer: dict[str, Any] = {}
    for event in events.values():
        if not isinstance(event, dict):
            continue
        if isinstance(whole := event.get("response"), dict):
            return Whole(response=encoded(whole), complete=True)
        if isinstance(piece := event.pop("text", None), str):
            add_text(answer, "text", piece)
        answer.update({name: event[name] for name in ("generation_id", "tool_calls") if name in event})
    return Whole(response=encoded(answer))


API: Final = Api(
    hosts=(
        ("api.cohere.com", "cohere"),
        ("api.cohere.ai", "cohere"),
    ),
    usage=(UsageShape(tokens, any_of=frozenset({"tokens", "billed_units"})),),
    streams=(
        StreamShape(assemble, lambda name, kind, event: kind in ("message-start", "content-delta")),
        StreamShape(
            assemble_version_1, lambda name, kind, event: "event_type" in event and "is_finished" in event
        ),
    ),
)
