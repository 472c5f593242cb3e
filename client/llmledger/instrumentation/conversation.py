"""Responses in the messages of a WebSocket: OpenAI's Responses and Realtime (also Azure's, xAI's), Gemini Live. Pure.

Invariants:
- Each response that began is one record: when it is done, or cancelled when its connection ends before.
- Nothing of the audio is kept; a usage that was not reported stays absent.

Sources: OpenAI API reference, "Realtime: server events" and "Responses: WebSocket mode"; Gemini "Live API reference".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmledger.context import current
from llmledger.line import new_id

_PATH: Final = re.compile(r"/(?:realtime|responses)$|BidiGenerateContent$")
_LAST: Final = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
_TURN: Final = "turn"
_REFUSED: Final = "refused"

MOST_REQUESTS: Final = 16
"""Requests that wait for their response; a provider answers one after the other."""

Emit = Callable[[dict[str, Any]], object]


class _Event(msgspec.Struct):
    """Members of a message in either direction that are looked at."""

    type: str | None = None
    event_id: str | None = None
    response_id: str | None = None
    error: Any = None
    status: Any = None
    response: Raw | UnsetType = UNSET
    session: Any = None
    setup: Any = None
    content: Any = msgspec.field(default=None, name="serverContent")
    usage: Raw | UnsetType = msgspec.field(default=UNSET, name="usageMetadata")


class _Response(msgspec.Struct):
    id: str | None = None
    status: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class _Open(msgspec.Struct):
    fields: dict[str, Any]
    started: float
    first: float = 0.0
    usage: bytes = b""
    is_interrupted: bool = False


def is_conversation(path: str) -> bool:
    """Return whether a WebSocket's path is that of a model."""
    return _PATH.search(path.partition("?")[0].rstrip("/")) is not None


class Conversation:
    """One connection; ``emit`` takes the fields of each record. The caller brings a monotonic time in seconds."""

    def __init__(self, provider: str, url: str, query: str, emit: Emit) -> None:
        self._provider = provider
        self._url = url
        self._emit = emit
        asked = parse_qs(query)
        self._model = next((asked[name][0] for name in ("model", "deployment") if name in asked), "")
        self._requests: deque[tuple[str | None, bytes]] = deque(maxlen=MOST_REQUESTS)
        """Those that no response has begun for, with their events' ids."""
        self._open: dict[str, _Open] = {}

    def sent(self, message: str | bytes) -> None:
        """Take a message of the application."""
        event = _read(message)
        if event is None:
            return
        if isinstance(event.setup, dict):
            self._model = str(event.setup.get("model", "")).rpartition("models/")[2]
        if event.type == "response.create":
            self._requests.append((event.event_id, message.encode() if isinstance(message, str) else message))

    def received(self, message: str | bytes, now: float) -> None:
        """Take a message of the provider."""
        event = _read(message)
        if event is None:
            return
        if isinstance(event.session, dict) and isinstance(event.session.get("model"), str):
            self._model = event.session["model"]
        if isinstance(event.content, dict) or event.usage is not UNSET:
            self._turn(event, now)
        elif event.type == "response.created" or event.type in _LAST:
            self._response(event, message, now)
        elif event.type == "error":
            self._refused(event, message, now)
        elif event.type is not None and event.type.endswith(".delta"):
            for one in self._open.values():
                if event.response_id is None or one.fields.get("response_id") == event.response_id:
                    one.first = one.first or now

    def closed(self, now: float) -> None:
        """Record what was not finished."""
        for name in tuple(self._open):
            self._end(name, now, {"outcome": "cancelled"})

    def disown(self) -> None:
        """Drop what is open in a forked child: it belongs to the parent."""
        self._open.clear()

    def _response(self, event: _Event, message: str | bytes, now: float) -> None:
        try:
            response = _decode_response(event.response) if isinstance(event.response, Raw) else _Response()
        except msgspec.DecodeError:
            return
        name = response.id or ""
        if event.type == "response.created":
            self._begin(name, now)
            return
        if name not in self._open:
            self._begin(name, now)
        whole = message.encode() if isinstance(message, str) else message
        # Realtime's event is read whole; the others' response is what HTTP would have answered.
        is_realtime = event.type == "response.done" or not isinstance(event.response, Raw)
        ending: dict[str, Any] = {"response": whole if is_realtime else bytes(event.response)}  # type: ignore[arg-type]  # a Raw then
        if response.status in ("cancelled", "canceled"):
            ending["outcome"] = "cancelled"
        elif response.status == "failed":
            ending["outcome"] = "error"
        self._end(name, now, ending)

    def _refused(self, event: _Event, message: str | bytes, now: float) -> None:
        """Drop the request that an error is about; record it where nothing else could have failed.

        Realtime's errors are about any of the application's events, and seldom end anything.
        """
        about = event.error.get("event_id") if isinstance(event.error, dict) else None
        of_realtime = not self._url.endswith("/responses")
        kept = [one for one in self._requests if about is None or one[0] != about]
        if of_realtime:
            if len(kept) < len(self._requests):
                self._requests = deque(kept, maxlen=MOST_REQUESTS)
        elif self._requests and not self._open:
            self._begin(_REFUSED, now)
            whole = message.encode() if isinstance(message, str) else message
            ending: dict[str, Any] = {"outcome": "error", "response": whole}
            if isinstance(event.status, int):
                ending["status_code"] = event.status
            self._end(_REFUSED, now, ending)

    def _turn(self, event: _Event, now: float) -> None:
        content = event.content if isinstance(event.content, dict) else {}
        if _TURN not in self._open:
            if not content.get("modelTurn") and event.usage is UNSET:
                return
            self._begin(_TURN, now)
        turn = self._open[_TURN]
        turn.first = turn.first or now
        if isinstance(event.usage, Raw):
            turn.usage = bytes(event.usage)
        turn.is_interrupted = turn.is_interrupted or bool(content.get("interrupted"))
        if content.get("turnComplete"):
            ending: dict[str, Any] = {"outcome": "cancelled"} if turn.is_interrupted else {}
            if turn.usage:
                ending["response"] = b'{"usageMetadata":%b}' % turn.usage
            self._end(_TURN, now, ending)

    def _begin(self, name: str, now: float) -> None:
        fields = current()
        fields |= {"provider_trace_id": new_id(), "timestamp": datetime.now(UTC), "url": self._url}
        if self._provider:
            fields["provider"] = self._provider
        if self._requests and name != _TURN:
            fields["request"] = self._requests.popleft()[1]
        fields["response_id"] = name
        self._open[name] = _Open(fields, now)

    def _end(self, name: str, now: float, ending: dict[str, Any]) -> None:
        one = self._open.pop(name, None)
        if one is None:
            return  # a close in another thread was first
        fields = one.fields | ending
        del fields["response_id"]
        if self._model:
            fields["model"] = self._model
        if one.first > one.started:  # else nothing tells when the turn was asked for
            fields["time_to_first_token_ms"] = (one.first - one.started) * 1000
        fields["latency_ms"] = (now - one.started) * 1000
        self._emit(fields)


def _read(message: str | bytes) -> _Event | None:
    try:
        return _decode(message)
    except (msgspec.DecodeError, RecursionError):
        return None
