"""Amazon Bedrock: Converse, and the counts that InvokeModel gives beside a model's own body.

Invariant: ``inputTokens`` leaves the cache out, and ``totalTokens`` counts it.

Sources: Amazon Bedrock API reference, "TokenUsage", "CacheDetail" and "InvokeModelWithResponseStream";
Amazon Nova user guide, "Complete request schema"; Bedrock user guide, "Prompt caching".

Streams. Bedrock's streams, made whole: ConverseStream, Nova's own body, and other models' chunks.

Invariant: the tool's input is the JSON that its pieces make up; invocation metrics, which InvokeModel
puts into the last chunk of any model, stay under their own name.

Sources: Amazon Bedrock API reference, "ConverseStream" and "InvokeModelWithResponseStream"; Bedrock
user guide, "Inference request parameters and response fields for foundation models".
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import Json, Members, count, encode, fit, value
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.response_fields import METRICS
from llmledgerd.usage.streams.assembled import Pieces, Whole, add_text, encoded, inside, parsed
from llmledgerd.usage.streams.coalesce import Runs, strict, text_field
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import Count, add, counted, first

HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""InvokeModel's headers, and the names that its stream gives the same counts."""


class CacheDetail(msgspec.Struct, rename="camel"):
    """Cache writes of one lifetime."""

    ttl: str | None = None
    input_tokens: Count = None


class ConverseUsage(msgspec.Struct, rename="camel"):
    """Converse's usage, Nova's own body, and the invocation metrics of InvokeModel."""

    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_write_input_tokens: Count = None
    cache_read_input_token_count: Count = None
    cache_write_input_token_count: Count = None
    input_token_count: Count = None
    output_token_count: Count = None
    cache_details: list[CacheDetail] | None = None


_decode = msgspec.json.Decoder(ConverseUsage).decode


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to."""
    usage, is_whole = fit(raw, ConverseUsage, _decode)
    read = first(usage.cache_read_input_tokens, usage.cache_read_input_token_count)
    written = first(usage.cache_write_input_tokens, usage.cache_write_input_token_count)
    prompt = add(first(usage.input_tokens, usage.input_token_count), read, written)
    completion = first(usage.output_tokens, usage.output_token_count)
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=read or 0,
        cache_write=written or 0,
        cache_write_1h=sum(one.input_tokens or 0 for one in usage.cache_details or () if one.ttl == "1h"),
    )
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=read,
        cache_write=written,
        priced=[priced],
        is_whole=is_whole,
        has_output=usage.input_tokens is not None,  # the names of InvokeModel also count embeddings
    )


def usage_in_headers(headers: Mapping[str, str] | None) -> bytes:
    """Return the counts of InvokeModel's headers as one object, named as its stream names them."""
    found: dict[str, int] = {}
    for name, content in (headers or {}).items():
        ours = HEADERS.get(name.lower())
        counts = count(content) if ours else None
        if ours and counts is not None:
            found[ours] = counts
    return encode(found) if found else b""


# -- streams ----------------------------------------------------------------------


CONVERSE_EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)
"""The names of the events; in Nova's own body they are the only member of each chunk."""

FLAT_TEXTS = ("outputText", "generation", "completion", "text")
"""Titan's, Llama's, older Claude's and Cohere's; each chunk is an object with one of them."""

GUARDRAIL = "amazon-bedrock-guardrailAction"
"""Beside a chunk where a guardrail is applied; it may be the only known member of the first one."""

TERMINAL_MEMBERS = (METRICS, "stop_reason", "completionReason", "is_finished")
"""Any of these in a chunk of that kind, when it is true, says that it is the last."""

INPUT = "input"

PACKED = "bytes"
"""The member of a PayloadPart; a sender that reads events without the SDK may leave it packed."""


def _joined(found: list[Any]) -> dict[str, Any] | None:
    """Return one event that says what all of them say, or None where they are of several blocks."""
    if len({one.index for one in found}) > 1:
        return None
    text = "".join([one.delta.piece for one in found])
    return {"contentBlockDelta": {"contentBlockIndex": found[0].index, "delta": {"text": text}}}


BLOCK_DELTA = strict(
    "BlockDelta",
    ("index", int, msgspec.field(name="contentBlockIndex")),
    ("delta", strict("Delta", text_field("text"))),
    ("p", str, ""),  # filler against traffic analysis
)
"""By far the most frequent event."""

MORE_TEXT = Runs((BLOCK_DELTA, _joined))


class Conversation:
    """The answer so far."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._role: Any = "assistant"
        self._blocks: dict[int, dict[str, Any]] = {}
        self._has_metadata = False

    def take(self, found: Any) -> None:
        """Add one event, which stands under its name; what is no object adds nothing."""
        for name, event in found.items() if isinstance(found, dict) else ():
            if name == METRICS:
                self._answer[METRICS] = event
            elif isinstance(event, dict):
                event.pop("p", None)
                self._take(name, event)

    def _take(self, name: str, event: dict[str, Any]) -> None:
        if name == "messageStart":
            self._role = event.get("role") or self._role
        elif name == "contentBlockStart":
            self._block(event).update(_dict(event.get("start")))
        elif name == "contentBlockDelta":
            _add_delta(self._block(event), _dict(event.get("delta")))
        elif name in ("messageStop", "metadata"):
            self._has_metadata = self._has_metadata or name == "metadata"
            self._answer.update(event)

    def _block(self, event: dict[str, Any]) -> dict[str, Any]:
        index = event.get("contentBlockIndex")
        return self._blocks.setdefault(index if isinstance(index, int) else 0, {})

    def whole(self) -> Whole:
        """Return the answer that the events so far make up."""
        content = [_settled(self._blocks[index]) for index in sorted(self._blocks)]
        answer = {"output": {"message": {"role": self._role, "content": content}}, **self._answer}
        return Whole(response=encoded(answer), complete=self._has_metadata)


def assemble(events: Events) -> Whole:
    """Return the answer that Converse's events, or Nova's chunks, make up."""

    def read(position: int) -> Any:
        name = events.name(position)
        found = events.value(position)
        return {name: found} if name in CONVERSE_EVENTS else found

    conversation = Conversation()
    for event in MORE_TEXT.shortened(events, read):
        conversation.take(event)
    return conversation.whole()


def assemble_flat(events: Events) -> Whole:
    """Return the one object that chunks with pieces of one text make up; later values win.

    Chunks of further generations (``index`` above 0) are kept in ``others``.
    """
    answer: dict[str, Any] = {}
    others: dict[int, dict[str, Any]] = {}
    for found in events.values():
        if not isinstance(found, dict):
            continue
        index = found.get("index")
        into = answer
        if isinstance(index, int) and index > 0:
            into = others.setdefault(index, {"index": index})
        for name in FLAT_TEXTS:
            if isinstance(found.get(name), str):
                add_text(into, name, found.pop(name))
        into.update({name: field for name, field in found.items() if field is not None})
    if others:
        answer["others"] = [others[index] for index in sorted(others)]
    is_complete = any(map(answer.get, TERMINAL_MEMBERS))
    return Whole(response=encoded(answer), complete=is_complete, usage_is_final=is_complete)


def unpacked(events: Events) -> Events:
    """Return InvokeModel's events with their payloads, which the service packs into base64 bytes."""
    data = []
    for position, packed in enumerate(events.data):
        found = events.value(position)
        try:
            data.append(b64decode(found[PACKED], validate=True).decode())
        except (KeyError, TypeError, ValueError):  # no object, no such member, no base64, no UTF-8
            data.append(packed)
    return Events(data, [events.name(position) for position in range(len(data))])


def is_flat(first: Members) -> bool:
    """Whether an event is a chunk of ``assemble_flat``; ``text`` alone would say too little."""
    return any(name in first for name in (METRICS, GUARDRAIL, "is_finished", *FLAT_TEXTS[:-1]))


def error_of(name: str, data: str) -> bytes:
    """Return an exception event as an error object; its name is the error's type."""
    found = value(data)
    message = found.get("message") if isinstance(found, dict) else None
    return encode({"type": name, "message": message if isinstance(message, str) else data})


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta's text, tool input or reasoning to its block."""
    for name, piece in delta.items():
        if isinstance(piece, str):
            add_text(block, name, piece)
        elif name == "toolUse" and isinstance(piece, dict) and isinstance(piece.get(INPUT), str):
            add_text(inside(block, name), INPUT, piece[INPUT])
        elif name == "reasoningContent" and isinstance(piece, dict):
            _add_reasoning(inside(block, name), piece)
        else:
            block[name] = piece


def _add_reasoning(block: dict[str, Any], piece: dict[str, Any]) -> None:
    """Add to ``reasoningText``, where text and signature of a whole answer stand."""
    for name, part in piece.items():
        if isinstance(part, str):
            into = inside(block, "reasoningText") if name in ("text", "signature") else block
            add_text(into, name, part)


def _settled(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block with its tool's input, where there is one, as the JSON that it is."""
    tool = block.get("toolUse")
    if isinstance(tool, dict):
        pieces = tool.get(INPUT)
        if pieces is None or isinstance(pieces, Pieces):
            tool[INPUT] = parsed(str(pieces or ""))
    return block


def _dict(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


API: Final = Api(
    hosts=(
        (".amazonaws.com", "aws"),
        (".amazonaws.com.cn", "aws"),
        (".amazonaws.eu", "aws"),
        ("bedrock-runtime.*.c2s.ic.gov", "aws"),
        ("bedrock-runtime.*.sc2s.sgov.gov", "aws"),
        ("api.nova.amazon.com", "aws"),
        (".api.aws", "aws"),
    ),
    usage=(
        UsageShape(
            tokens, any_of=frozenset({"inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount"})
        ),
    ),
    streams=(
        StreamShape(
            assemble,
            lambda name, kind, event: name in CONVERSE_EVENTS or not event.keys().isdisjoint(CONVERSE_EVENTS),
        ),
        StreamShape(assemble_flat, lambda name, kind, event: is_flat(event) and "event_type" not in event),
    ),
)
