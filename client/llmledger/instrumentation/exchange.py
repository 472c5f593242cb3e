"""One HTTP exchange with a provider: from the request to the last byte, or to whatever ended it.

Invariants:
- However an exchange ends (read to the end, failed, cancelled, closed early, forgotten and collected,
  cut off by the end of the process), it is recorded exactly once.
- Nothing here raises into the application, waits, or keeps a chunk from it.
- Whose call it is was decided when it began: the context of that moment is recorded.
- A body over ``MAX_BODY_BYTES`` is described and not kept, so memory is bounded per exchange.
- No exception's text is recorded before what the request carried in confidence is taken out of it.

Outcomes: a status says by itself whether the call failed, and a stream read to its end may carry an
error that the daemon finds, so only what cannot be seen in the payload is said here: ``error`` with
the exception's class, and ``cancelled``.
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
from llmledger.instrumentation.cleaning import said, unquoted
from llmledger.instrumentation.eventstream import rendered
from llmledger.instrumentation.recognize import Call
from llmledger.instrumentation.safety import harmless
from llmledger.lifecycle import before_closing, in_forked_child
from llmledger.line import new_id

inside: Final[ContextVar[bool]] = ContextVar("llmledger_inside_exchange", default=False)
"""Whether a hook above this one has the exchange: where layers lie over each other the outermost wins."""

Begin = bool | Literal["streams"]


class Exchange:
    """Watches one exchange for a hook, and records it.

    The hook says ``requested`` and ``answered``, ``received`` for every piece of the decoded body, and
    one of ``finished``, ``failed`` and ``closed``, as often as it likes: the first one counts. It enters
    the exchange while the library works on it: hooks below this one then stay out of it.
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
        """What the request carries in confidence, referred to until it is looked for."""
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
        """Returns the decoded body where the application took it as it came, and decodes by itself."""
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
            # A coroutine that is closed from elsewhere is in another context, where nothing was set.
            with suppress(ValueError):
                inside.reset(self._token)
        if error is not None:
            self.failed(error)

    def sends(self, *given: object) -> None:
        """Say what else the request is given that is nobody's business: headers, parameters, a proxy."""
        self._sent += given

    @harmless
    def requested(self, body: bytes | None, content_type: str, length: int | None = None) -> None:
        """The request is known; None stands for a body that is not in memory. Announces the call."""
        if self._begin:
            self._announce(bodies.asked(body))
        self._fields["request"] = bodies.recordable(body, content_type, length)

    @harmless
    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """The status line and the headers have come."""
        kept = harmless_headers(headers)
        self._status = status
        self._content_type = kept.get("content-type", "")
        self._fields["status_code"] = status
        self._fields["response_headers"] = kept or None

    @harmless
    def received(self, piece: bytes) -> None:
        """A piece of the body goes to the application; it is referred to, not copied."""
        self.touched()
        self._body_bytes += len(piece)
        if self._body_bytes <= bodies.MAX_BODY_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        self._tail = (self._tail + piece[-bodies.LONGEST_DONE :])[-bodies.LONGEST_DONE :]
        if self._tail.endswith(bodies.DONE):
            self._record(None)  # some SDKs stop reading here, and hold on to the response for long

    def touched(self) -> None:
        """A piece came that is still to be decoded."""
        self._last_byte = perf_counter()
        if not self._first_byte:
            self._first_byte = self._last_byte

    @harmless
    def finished(self) -> None:
        """The last byte has come."""
        self._record(None)

    @harmless
    def failed(self, error: BaseException) -> None:
        """The exchange ended with an exception; one that is no ``Exception`` is a cancellation."""
        self._record(error if isinstance(error, Exception) else "cancelled")

    @harmless
    def closed(self) -> None:
        """Nobody will read on."""
        self._record("cancelled")

    def disown(self) -> None:
        """This is a forked child, and the exchange is its parent's."""
        _open.pop(id(self), None)

    def __del__(self) -> None:
        self.closed()

    def _announce(self, asked: bodies.Asked) -> None:
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
            fields["error_type"] = type(ending).__name__
            fields["error"] = said(ending, self._url, self._sent)
        elif ending is not None and self._has_last_word(fields.get("response_stream")):
            ended = self._last_byte or ended  # whoever holds a finished stream does not lengthen it
        elif ending is not None:
            fields["outcome"] = ending
        fields["latency_ms"] = (ended - self._started) * 1000
        (self._client or default_client()).hand_over("record", fields)

    def _add_response(self, fields: dict[str, Any]) -> bool:
        """Add the body as far as it came; return whether it is a stream."""
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
        """Return whether nothing was lost by closing early."""
        if self._status >= 400:
            return True  # the status is the outcome, whoever reads the page that explains it
        return stream is not None and bodies.is_complete(stream)


_open: dict[int, weakref.ref[Exchange]] = {}
"""Exchanges that are not recorded yet, by identity."""


@harmless
def record_open() -> None:
    """Record what is still open: the process ends."""
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
