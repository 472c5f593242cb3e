"""Answers that are fetched later: background responses, and the results of batches. Pure.

Invariants:
- A fetched answer has an id that is derived from the provider's own (and, of a batch's line, its ``custom_id``), so
  however often and wherever it is fetched it is one call.
- An answer that is not final, a listing, and any other file is no call.
- A webhook that only names a response that is complete leaves it pending, since its usage comes with the response.

Sources: OpenAI "Background mode", "Webhooks", "Batch API: the request output object"; Anthropic "Retrieve Message
Batch results"; Gemini "Batch API" (files and inline results); Mistral "Batch inference" (files and ``inline``); Groq
"Batch processing"; Amazon Bedrock "View the results of a batch inference job"; Vertex AI "Batch inference with Gemini".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Raw, UnsetType

Kind = Literal["", "response", "results", "file", "batch"]

_NAMESPACE: Final = UUID("5a5d37f4-0f5c-4d36-9d3a-6a1f0c7f7a11")

_FETCHED: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(r"/responses/[^/]+$"), "response"),
    (re.compile(r"/messages/batches/[^/]+/results$"), "results"),
    (re.compile(r"/files/[^/]+/content$"), "file"),
    (re.compile(r"/files/[^/]+:download$"), "file"),
    (re.compile(r"/batch(?:es|/jobs)/[^/]+$"), "batch"),
)

_STORED: Final = (
    (re.compile(r""), re.compile(r"\.jsonl\.out$"), "aws"),
    (
        re.compile(r"(?:^|\.)storage\.googleapis\.com$"),
        re.compile(r"(?:/|%2F)predictions\.jsonl$", re.I),
        "vertex",
    ),
)
"""Hosts and names of files that jobs of Bedrock, in whatever storage, and of Vertex write their results to."""

PENDING: Final = "pending"
"""Error type of the row of a background response whose final state was never fetched."""

_PENDING: Final = frozenset({"queued", "in_progress"})
_LOOKED_INTO: Final = 64 << 10
_NAMES: Final = (b'"custom_id"', b'"key"', b'"modelInput"', b'"recordId"', b'"processed_time"')


class _Response(msgspec.Struct):
    id: str
    object: Literal["response"]
    status: str | None = None
    background: bool | None = None
    model: str | None = None
    created_at: float | None = None
    completed_at: float | None = None


class _Named(msgspec.Struct):
    id: str


class _Event(msgspec.Struct):
    """A webhook of OpenAI."""

    object: Literal["event"]
    type: str
    data: _Named


class _Body(msgspec.Struct):
    created: float | None = None
    created_at: float | None = None


class _Outer(msgspec.Struct):
    status_code: int | None = None
    body: Any = None


class _Line(msgspec.Struct):
    custom_id: str | None = None
    key: str | None = None
    record_id: str | None = msgspec.field(default=None, name="recordId")
    processed: Any = msgspec.field(default=None, name="processed_time")
    """Vertex's, whose lines need no name."""
    model_output: Raw | UnsetType = msgspec.field(default=UNSET, name="modelOutput")
    response: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Inlined(msgspec.Struct):
    """The results of Gemini's batch, one for each request, in their order."""

    inlined: list[Raw] = msgspec.field(default_factory=list, name="inlinedResponses")


class _Results(msgspec.Struct):
    inlined: _Inlined | None = msgspec.field(default=None, name="inlinedResponses")


class _Batch(msgspec.Struct):
    """A batch that may have its results within: Gemini's ``response``, Mistral's ``outputs``."""

    response: _Results | None = None
    outputs: list[Raw] | None = None


class _Entry(msgspec.Struct):
    metadata: dict[str, Any] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_outer = msgspec.json.Decoder(_Outer).decode


def fetched(path: str) -> Kind:
    """Return what a GET of this path may fetch."""
    return next((kind for pattern, kind in _FETCHED if pattern.search(path.rstrip("/"))), "")


def stored(host: str, path: str) -> str:
    """Return the provider whose batch may have written the file at this address, "" for any other.

    >>> stored("storage.googleapis.com", "/download/storage/v1/b/b/o/out%2Fpredictions.jsonl")
    'vertex'
    """
    return next(
        (name for where, file, name in _STORED if file.search(path) and where.search(host.lower())), ""
    )


def derived_id(*names: str) -> str:
    """Return the id of a call by the provider's own names for it."""
    return str(uuid5(_NAMESPACE, "\n".join(names)))


class Settled(msgspec.Struct):
    """A background response: pending, or final."""

    fields: dict[str, Any]
    is_final: bool


def background(url: str, body: bytes) -> Settled | None:
    """Return the fields of a background response; None of any other answer.

    ``url`` is the recorded one of its creation or of a fetch.
    """
    if b'"background":true' not in body and b'"background": true' not in body:
        return None
    try:
        response = _decode_response(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not response.background:
        return None
    base = re.sub(r"/responses/[^/]+/?$", "/responses", url)
    fields: dict[str, Any] = {"provider_trace_id": derived_id(_host(url), response.id), "url": base}
    if response.model:
        fields["model"] = response.model
    if response.created_at is not None:
        fields["timestamp"] = datetime.fromtimestamp(response.created_at, UTC)
        if response.completed_at is not None:
            fields["latency_ms"] = max(0.0, response.completed_at - response.created_at) * 1000
    return Settled(fields, response.status not in _PENDING)


def webhook(url: str, body: bytes) -> Settled | None:
    """Return the fields of the background response that a webhook names; None of any other body."""
    try:
        event = _decode_event(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    state = event.type.removeprefix("response.")
    if state == event.type:
        return None
    fields: dict[str, Any] = {"provider_trace_id": derived_id(_host(url), event.data.id), "url": url}
    if state in ("failed", "cancelled"):
        fields["outcome"] = "error" if state == "failed" else "cancelled"
    return Settled(fields, "outcome" in fields)


def may_be_results(piece: bytes) -> bool:
    """Return whether a file that begins so may be the results of a batch."""
    start = piece[:_LOOKED_INTO].lstrip()
    return start.startswith(b"{") and (any(name in start for name in _NAMES) or len(piece) < _LOOKED_INTO)


def results(url: str, body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each line of a batch's results; nothing of any other file."""
    for number, raw in enumerate(body.split(b"\n")):
        line = raw.strip()
        if not line:
            continue
        fields = _result(url, line, number)
        if fields is None:
            if number == 0:
                return
            continue
        yield fields


def inlined(url: str, body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each result within a batch that was fetched; nothing where it has none."""
    try:
        batch = _decode_batch(body)
    except (msgspec.DecodeError, RecursionError):
        return
    within = batch.response.inlined if batch.response is not None else None
    for number, raw in enumerate(within.inlined if within is not None else ()):
        line = bytes(raw)
        metadata = _decode_entry(line).metadata or {}
        key = metadata.get("key")
        yield _line(url, line, key if isinstance(key, str) else str(number))
    for number, raw in enumerate(batch.outputs or ()):
        fields = _result(url, bytes(raw), number)
        if fields is not None:
            yield fields


def _result(url: str, line: bytes, number: int) -> dict[str, Any] | None:
    try:
        read = _decode_line(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    name = next((one for one in (read.custom_id, read.key, read.record_id) if one is not None), None)
    if name is None and read.processed is not None:
        name = str(number)
    answers = (read.response, read.result, read.error, read.model_output)
    if name is None or all(one is UNSET for one in answers):
        return None
    fields = _line(url, line, name)
    if isinstance(read.response, Raw):
        _add_outer(fields, bytes(read.response))
    return fields


def _line(url: str, line: bytes, name: str) -> dict[str, Any]:
    return {
        "provider_trace_id": derived_id(url, name),
        "may_repeat": True,
        "url": url,
        "step_id": name[:128],
        "response": line,
        "timestamp": "",  # unknown: the daemon then looks for the same id at any time
    }


def _add_outer(fields: dict[str, Any], response: bytes) -> None:
    """Add OpenAI's status and time."""
    try:
        outer = _decode_outer(response)
        body = msgspec.convert(outer.body, _Body) if isinstance(outer.body, dict) else _Body()
    except (msgspec.MsgspecError, RecursionError):
        return
    if outer.status_code is not None:
        fields["status_code"] = outer.status_code
    created = body.created if body.created is not None else body.created_at
    if created:
        fields["timestamp"] = datetime.fromtimestamp(created, UTC)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()
