"""One HTTP exchange with a provider: from the request to its last byte, or to any earlier end.

Invariants:
- An exchange is recorded exactly once, however it ends (read to the end, failed, cancelled, closed
  early, garbage-collected, or at the exit of the process).
- Nothing here raises into the application, blocks it, or withholds a chunk from it.
- The attribution is the context at the start of the exchange.
- A body over ``MAX_BODY_BYTES`` is described and not stored, so memory is bounded per exchange.
- Confidential values of the request are removed from an exception's text before it is recorded.

Outcomes: the status shows whether the call failed, and the daemon finds errors within streams, so this
module sets only outcomes that the payload does not show: ``error`` with the exception's class, and
``cancelled``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal

from llmledger.client import TraceClient
from llmledger.context import current
from llmledger.default import default_client
from llmledger.harmless import harmless_headers
from llmledger.instrumentation import bodies
from llmledger.instrumentation.cleaning import error_text, kind, unquoted
from llmledger.instrumentation.eventstream import rendered
from llmledger.instrumentation.forms import FORM, Part, parts_of, recorded
from llmledger.instrumentation.recognize import Call
from llmledger.instrumentation.safety import harmless
from llmledger.lifecycle import before_closing, in_forked_child
from llmledger.line import new_id

inside: Final[ContextVar[bool]] = ContextVar("llmledger_inside_exchange", default=False)
"""Whether an outer hook observes the exchange: of nested hooks the outermost wins."""

Begin = bool | Literal["streams"]


class Exchange:
    """Observer of one exchange for a hook, which records it.

    The hook calls ``requested`` and ``answered``, ``received`` for every piece of the decoded body, and
    one of ``finished``, ``failed`` and ``closed``, any number of times: the first one counts. It enters
    the exchange while the library works on it, which disables inner hooks.
    """

    def __init__(
        self,
        call: Call,
        *,
        url: str,
        headers: Mapping[str, Any] | None = None,
        attempt: int | None = None,
        client: TraceClient | None = None,
        begin: Begin = False,
    ) -> None:
        self._call = call
        self._url = url
        self._sent: list[object] = [headers]
        """Confidential values of the request, by reference."""
        self._token: Token[bool] | None = None
        self._client = client
        self._begin = begin
        self._content_type = ""
        self._status = 0
        self._first_byte = self._last_byte = 0.0
        self._pieces: list[bytes] = []
        self._body_bytes = 0
        self._tail = b""
        self.decode_rest: Callable[[], bytes | None] | None = None
        """Returns the decoded body if the application reads raw data and decodes it itself."""
        self._fields = fields = current()
        fields["provider_trace_id"] = new_id()
        fields["timestamp"] = datetime.now(UTC)
        fields["url"] = bodies.recorded_url(url)
        if call.provider:
            fields["provider"] = call.provider
        if call.type:
            fields.setdefault("type", call.type)
        if attempt is not None:
            fields["attempt"] = attempt
        _open[id(self)] = weakref.ref(self)
        self._started = perf_counter()

    def __enter__(self) -> None:
        self._token = inside.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            # A coroutine closed from another context: the variable was not set there.
            with suppress(ValueError):
                inside.reset(self._token)
        if error is not None:
            self.failed(error)

    def sends(self, *given: object) -> None:
        """Add confidential values of the request: headers, parameters, a proxy."""
        self._sent += given

    @harmless
    def requested(
        self,
        body: bytes | None,
        content_type: str,
        length: int | None = None,
        form: Iterable[Part] | None = None,
    ) -> None:
        """Set the request's body (None if it is not in memory), and announce the call.

        ``form`` are the parts of an upload that the library has not encoded yet.
        """
        if self._begin:
            self._announce(bodies.asked(body))
        self._fields["request"] = bodies.recordable(body, content_type, length)
        if bodies.media_type(content_type) == FORM:
            self._fields["request"] = _form(body, content_type, form) or self._fields["request"]

    @harmless
    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Set the status and headers of the response."""
        kept = harmless_headers(headers)
        self._status = status
        self._content_type = kept.get("content-type", "")
        self._fields["status_code"] = status
        self._fields["response_headers"] = kept or None

    @harmless
    def received(self, piece: bytes) -> None:
        """Add a piece of the body, by reference."""
        self.touched()
        self._body_bytes += len(piece)
        if self._body_bytes <= bodies.MAX_BODY_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        self._tail = (self._tail + piece[-bodies.LONGEST_DONE :])[-bodies.LONGEST_DONE :]
        if self._tail.endswith(bodies.DONE):
            self._record(None)  # some SDKs stop reading here, and keep the response for long

    def touched(self) -> None:
        """Note the arrival of a piece that is decoded later."""
        self._last_byte = perf_counter()
        if not self._first_byte:
            self._first_byte = self._last_byte

    @harmless
    def finished(self) -> None:
        """End the exchange after its last byte."""
        self._record(None)

    @harmless
    def failed(self, error: BaseException) -> None:
        """End the exchange with an exception; one that is not an ``Exception`` is a cancellation."""
        self._record(error if isinstance(error, Exception) else "cancelled")

    @harmless
    def closed(self) -> None:
        """End the exchange because the response was closed."""
        self._record("cancelled")

    def disown(self) -> None:
        """Drop the exchange in a forked child: it belongs to the parent."""
        _open.pop(id(self), None)

    def __del__(self) -> None:
        self.closed()

    def _announce(self, asked: bodies.RequestFacts) -> None:
        if self._begin == "streams" and not (asked.stream or self._call.is_stream):
            return
        announced = {**self._fields, "model": asked.model} if asked.model else dict(self._fields)
        (self._client or default_client()).hand_over("begin", announced)

    def _record(self, ending: Exception | Literal["cancelled"] | None) -> None:
        if _open.pop(id(self), None) is None:
            return  # recorded already; popping decides between threads
        ended = perf_counter()
        fields, self._fields = self._fields, {}  # the client's from now on
        is_stream = self._add_response(fields)
        if is_stream and self._first_byte:
            fields["time_to_first_token_ms"] = (self._first_byte - self._started) * 1000
        if isinstance(ending, Exception):
            fields["outcome"] = "error"
            fields["error_type"] = kind(ending, self._url, self._sent)
            fields["error"] = error_text(ending, self._url, self._sent)
        elif ending is not None and self._has_last_word(fields.get("response_stream")):
            ended = self._last_byte or ended  # holding a finished stream does not extend its duration
        elif ending is not None:
            fields["outcome"] = ending
        fields["latency_ms"] = (ended - self._started) * 1000
        (self._client or default_client()).hand_over("record", fields)

    def _add_response(self, fields: dict[str, Any]) -> bool:
        """Add the body received so far; return whether it is a stream."""
        if not self._status:
            return False
        if not self._pieces and self.decode_rest is not None:
            self._pieces = [self.decode_rest() or b""]
        is_stream = bodies.is_stream(self._content_type, self._call.is_stream, self._status)
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        if self._body_bytes > bodies.MAX_BODY_BYTES:
            fields["response"] = bodies.described(self._content_type, self._body_bytes)
        elif not is_stream:
            body = unquoted(body, self._url, self._sent) if self._status >= 400 else body
            fields["response"] = bodies.recordable(body, self._content_type, None)
        elif bodies.media_type(self._content_type) == bodies.EVENT_STREAM_TYPE:
            fields["response_stream"] = rendered(body)
        else:
            fields["response_stream"] = body
        return is_stream

    def _has_last_word(self, stream: bytes | None) -> bool:
        """Return whether the response was complete when it was closed early."""
        if self._status >= 400:
            return True  # the status is the outcome; the error page need not be read
        return stream is not None and bodies.is_complete(stream)


@harmless
def _form(body: bytes | None, content_type: str, form: Iterable[Part] | None) -> dict[str, Any] | None:
    """Return an upload's fields; None where they cannot be read."""
    if form is None:
        form = parts_of(body, content_type) if body else ()
    return recorded(form)


_open: dict[int, weakref.ref[Exchange]] = {}
"""Unrecorded exchanges, by identity."""


@harmless
def record_open() -> None:
    """Record all open exchanges at the exit of the process."""
    for reference in tuple(_open.values()):
        exchange = reference()
        if exchange is not None:
            exchange.closed()


def _disown_all() -> None:
    for reference in tuple(_open.values()):
        exchange = reference()
        if exchange is not None:
            exchange.disown()
    _open.clear()


before_closing(record_open)
in_forked_child(_disown_all)
