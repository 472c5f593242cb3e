"""Anthropic Messages, also on Bedrock and Vertex.

Invariant: ``input_tokens`` leaves the cache out; reads and writes are added to make the prompt.

Sources: Anthropic API reference, "Create a Message" (``usage``), "Prompt caching"
(``cache_creation``), "Compaction" and "Advisor tool" (``usage.iterations``: their sum is billed).

Streams. Messages events, made whole; also the events of the older Text Completions.

Invariant: ``message_delta``'s usage is laid over ``message_start``'s, field by field where it is not
null, and never added: its numbers are cumulative.

Source: Anthropic API reference, "Streaming messages" and "Streaming text completions".
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import msgspec

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import Json, Members, encode, fit
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.response_fields import METRICS
from llmledgerd.usage.streams.assembled import Pieces, Whole, add_text, encoded, listed, parsed
from llmledgerd.usage.streams.coalesce import Runs, strict, text_field
from llmledgerd.usage.streams.merging import text_pattern
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import NO_CREATION, CacheCreation, Count, add, counted, first, plus


class OutputDetails(msgspec.Struct):
    """Parts of the output; the second name is that of servers which imitate this api."""

    thinking_tokens: Count = None
    reasoning_tokens: Count = None


class Iteration(msgspec.Struct):
    """One sampling of one model: compaction, an advisor's answer, the message itself."""

    model: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: CacheCreation | None = None


class MessagesUsage(Iteration):
    """The usage object."""

    output_tokens_details: OutputDetails | None = None
    iterations: list[Iteration] | None = None


_decode = msgspec.json.Decoder(MessagesUsage).decode
NO_DETAILS = OutputDetails()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to.

    Where there are iterations, the columns are their sums, since all of them are billed; the
    top-level counts are those of the last message alone.
    """
    usage, is_whole = fit(raw, MessagesUsage, _decode)
    details = usage.output_tokens_details or NO_DETAILS
    reasoning = first(details.thinking_tokens, details.reasoning_tokens)
    billed: list[Iteration] = list(usage.iterations) if usage.iterations else [usage]
    counts = [_counts(one) for one in billed]
    prompt, completion, read, written = counts[0] if len(counts) == 1 else _sums(counts)
    priced = [_priced(one, found) for one, found in zip(billed, counts, strict=True)]
    priced[-1].reasoning = reasoning or 0
    return counted(
        prompt=prompt,
        completion=completion,
        cached=read,
        cache_write=written,
        reasoning=reasoning,
        priced=priced,
        is_whole=is_whole,
    )


class Counts(NamedTuple):
    """What one iteration comes to."""

    prompt: int | None
    completion: int | None
    read: int | None
    written: int | None


def _counts(one: Iteration) -> Counts:
    read, written = one.cache_read_input_tokens, one.cache_creation_input_tokens
    if written is None and one.cache_creation is not None:  # the sum was not given
        parts = one.cache_creation
        written = plus(parts.ephemeral_5m_input_tokens, parts.ephemeral_1h_input_tokens)
    return Counts(plus(plus(one.input_tokens, read), written), one.output_tokens, read, written)


def _sums(counts: list[Counts]) -> Counts:
    return Counts(*(add(*column) for column in zip(*counts, strict=True)))


def _priced(one: Iteration, found: Counts) -> PricedUsage:
    return PricedUsage(
        model=one.model or "",
        input=found.prompt or 0,
        output=found.completion or 0,
        cache_read=found.read or 0,
        cache_write=found.written or 0,
        cache_write_1h=(one.cache_creation or NO_CREATION).ephemeral_1h_input_tokens or 0,
    )


# -- streams ----------------------------------------------------------------------


DELTA = "content_block_delta"

COME_WHOLE = frozenset({"type", "signature", "id", "tool_use_id"})
"""Texts of a block that are never in pieces."""

ARGUMENTS = "partial_json"
"""Pieces of a tool's input; kept under this name until the stream is over."""


def _deltas(name: str) -> tuple[Any, Any]:
    """Return the shape of deltas that go on with a block's text of one kind, and what joins them."""
    delta = strict("Delta", ("type", str), text_field(name))
    shape = strict("Event", ("type", Literal["content_block_delta"]), ("index", int), ("delta", delta))

    def join(found: list[Any]) -> dict[str, Any] | None:
        if len({one.index for one in found}) > 1:
            return None
        text = "".join([one.delta.piece for one in found])
        return {"type": DELTA, "index": found[0].index, "delta": {name: text}}

    return shape, join


PIECES = ("text", "thinking", ARGUMENTS)
MORE_TEXT = Runs(*map(_deltas, PIECES), text=text_pattern(*PIECES))


class Message:
    """The message so far."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._error: Any = None
        self._is_stopped = False
        self._has_reason = False

    def take(self, event: Any) -> None:
        """Add one event; what is no object adds nothing."""
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "content_block_delta":
                self._add(event.get("index"), event.get("delta"))
            case "content_block_start":
                self._start_block(event.get("index"), event.get("content_block"))
            case "message_start":
                self._start(event.get("message"))
            case "message_delta":
                self._end(event)
            case "message_stop":
                self._is_stopped = True
            case "error":
                self._error = event.get("error")
        if METRICS in event:
            self._message[METRICS] = event[METRICS]

    def _start(self, message: Any) -> None:
        if isinstance(message, dict):
            self._overlay_usage(message.pop("usage", None))
            self._message.update(message)

    def _start_block(self, index: Any, block: Any) -> None:
        if isinstance(index, int) and isinstance(block, dict):
            self._blocks[index] = block

    def _add(self, index: Any, delta: Any) -> None:
        """Add a delta to its block: text, a citation, a signature, what later versions bring."""
        if not isinstance(index, int) or not isinstance(delta, dict):
            return
        block = self._blocks.setdefault(index, {})
        for name, piece in delta.items():
            if name == "citation":
                listed(block, "citations").append(piece)
            elif isinstance(piece, str) and name not in COME_WHOLE:
                add_text(block, name, piece)
            elif name != "type" and piece is not None:
                block[name] = piece

    def _end(self, event: dict[str, Any]) -> None:
        """Lay a ``message_delta`` over the message: its reason, its usage, and what else it has."""
        self._overlay_usage(event.pop("usage", None))
        delta = event.pop("delta", None)
        self._message.update({name: field for name, field in event.items() if name not in ("type", METRICS)})
        if isinstance(delta, dict):
            self._message.update(delta)
            self._has_reason = self._has_reason or delta.get("stop_reason") is not None

    def _overlay_usage(self, usage: Any) -> None:
        for name, field in usage.items() if isinstance(usage, dict) else ():
            if field is not None or name not in self._usage:
                self._usage[name] = field

    def whole(self) -> Whole:
        """Return the message that the events so far make up."""
        content = [_block(self._blocks[index]) for index in sorted(self._blocks)]
        if content or "content" in self._message:
            self._message["content"] = content
        if self._usage:
            self._message["usage"] = self._usage
        return Whole(
            response=encoded(self._message),
            beside={"error": encode(self._error)} if self._error is not None else {},
            complete=self._is_stopped,
            usage_is_final=self._is_stopped or self._has_reason,
        )


def assemble(events: Events) -> Whole:
    """Return the message that the events make up."""
    message = Message()
    for event in MORE_TEXT.shortened(events):
        message.take(event)
    return message.whole()


def assemble_completion(events: Events) -> Whole:
    """Return the answer of the older api, whose events each carry a piece of ``completion``."""
    answer: dict[str, Any] = {"completion": ""}
    beside: Members = {}
    for found in events.values():
        if not isinstance(found, dict) or found.get("type") == "ping":
            continue
        if found.get("error") is not None:
            beside["error"] = encode(found["error"])
            continue
        piece = found.pop("completion", None)
        add_text(answer, "completion", piece if isinstance(piece, str) else "")
        answer.update(found)
    return Whole(response=encoded(answer), beside=beside, complete=answer.get("stop_reason") is not None)


def _block(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block with its input's pieces, where there are any, as the input that they make."""
    pieces = block.pop(ARGUMENTS, None)
    if isinstance(pieces, Pieces):
        block["input"] = parsed(str(pieces))
    return block


EVENTS: Final = frozenset({"message_start", "content_block_start", "content_block_delta"})
"""Types of events that only this API has."""

API: Final = Api(
    hosts=(
        ("api.anthropic.com", "anthropic"),
        ("claude.googleapis.com", "anthropic"),
        ("aws-external-anthropic.*.api.aws", "anthropic"),
    ),
    usage=(UsageShape(tokens, any_of=frozenset({"input_tokens", "output_tokens"})),),
    streams=(
        StreamShape(assemble, lambda name, kind, event: kind in EVENTS),
        StreamShape(assemble_completion, lambda name, kind, event: kind == "completion"),
    ),
)
