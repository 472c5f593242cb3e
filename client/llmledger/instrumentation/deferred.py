"""Answers that are fetched later: background responses, and the results of batches. Pure.

Invariants:
- A fetched answer has an id that is derived from the provider's own (and, of a batch's line, its ``custom_id``), so
  however often and wherever it is fetched it is one call.
- An answer that is not final, a listing, and any other file is no call.

Sources: OpenAI "Background mode", "Batch API: the request output object"; Anthropic "Retrieve Message Batch
results"; Gemini "Batch API"; Mistral "Batch inference"; Groq "Batch processing".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Raw, UnsetType

Kind = Literal["", "response", "results", "file"]

_NAMESPACE: Final = UUID("5a5d37f4-0f5c-4d36-9d3a-6a1f0c7f7a11")

_FETCHED: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(r"/responses/[^/]+$"), "response"),
    (re.compile(r"/messages/batches/[^/]+/results$"), "results"),
    (re.compile(r"/files/[^/]+/content$"), "file"),
    (re.compile(r"/files/[^/]+:download$"), "file"),
)

_PENDING: Final = frozenset({"queued", "in_progress"})
_LOOKED_INTO: Final = 64 << 10


class _Response(msgspec.Struct):
    id: str
    object: Literal["response"]
    status: str | None = None
    background: bool | None = None
    model: str | None = None
    created_at: float | None = None
    completed_at: float | None = None


class _Body(msgspec.Struct):
    created: float | None = None
    created_at: float | None = None


class _Outer(msgspec.Struct):
    status_code: int | None = None
    body: Any = None


class _Line(msgspec.Struct):
    custom_id: str | None = None
    key: str | None = None
    response: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_outer = msgspec.json.Decoder(_Outer).decode


def fetched(path: str) -> Kind:
    """Return what a GET of this path may fetch."""
    return next((kind for pattern, kind in _FETCHED if pattern.search(path.rstrip("/"))), "")


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


def may_be_results(piece: bytes) -> bool:
    """Return whether a file that begins so may be the results of a batch."""
    start = piece[:_LOOKED_INTO].lstrip()
    return start.startswith(b"{") and (
        b'"custom_id"' in start or b'"key"' in start or len(piece) < _LOOKED_INTO
    )


def results(url: str, body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each line of a batch's results; nothing of any other file."""
    for number, raw in enumerate(body.split(b"\n")):
        line = raw.strip()
        if not line:
            continue
        fields = _result(url, line)
        if fields is None:
            if number == 0:
                return
            continue
        yield fields


def _result(url: str, line: bytes) -> dict[str, Any] | None:
    try:
        read = _decode_line(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    name = read.custom_id if read.custom_id is not None else read.key
    if name is None or (read.response is UNSET and read.result is UNSET and read.error is UNSET):
        return None
    fields: dict[str, Any] = {
        "provider_trace_id": derived_id(url, name),
        "may_repeat": True,
        "url": url,
        "step_id": name[:128],
        "response": line,
        "timestamp": "",  # unknown: the daemon then looks for the same id at any time
    }
    if isinstance(read.response, Raw):
        _add_outer(fields, bytes(read.response))
    return fields


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
