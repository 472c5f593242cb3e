"""Responses in the messages of a WebSocket: OpenAI's Responses and Realtime (also Azure's, xAI's), Gemini Live. Pure.

Invariants:
- Each response that began is one record: when it is done, or cancelled when its connection ends before. So is each
  request of Responses, which is answered, refused or cut off; Realtime's may be refused without a word of which.
- The start and the attribution are those of the request, where there was one, else those of the first event.
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

_PATH: Final = re.compile(r"/(?:realtime|responses)$|BidiGenerateContent(?:Constrained)?$")
_LAST: Final = frozenset(
    {"response.done", "response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_TURN: Final = "turn"
_BUSY: Final = "conversation_already_has_active_response"

MOST_REQUESTS: Final = 256
"""Requests that wait for their response; OpenAI answers those of one ``stream_id`` one after the other."""

Emit = Callable[[dict[str, Any]], object]


class _Event(msgspec.Struct):
    """Members of a message in either direction that are looked at."""

    type: str | None = None
    event_id: str | None = None
    response_id: str | None = None
    stream_id: str | None = None
    model: Any = None
    error: Any = None
    status: Any = None
    response: Raw | UnsetType = UNSET
    session: Any = None
    setup: Any = None
    content: Any = msgspec.field(default=None, name="serverContent")
    tool_call: Any = msgspec.field(default=None, name="toolCall")
    asked: Any = msgspec.field(default=None, name="clientContent")
    asked_too: Any = msgspec.field(default=None, name="client_content")
    """The same in protobuf's own spelling, which Google's SDK writes."""
    usage: Raw | UnsetType = msgspec.field(default=UNSET, name="usageMetadata")


class _Response(msgspec.Struct):
    id: str | None = None
    status: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class _Call(msgspec.Struct):
    """A request that waits for its response, or a response that began."""

    fields: dict[str, Any]
    started: float
    event_id: str | None = None
    lane: str | None = None
    """The ``stream_id``, which the events of its response repeat."""
    is_announced: bool = False
    first: float = 0.0
    ended: float = 0.0
    """When the turn of Gemini was over, of which the usage may follow."""
    usage: bytes = b""
    is_interrupted: bool = False


def is_conversation(path: str) -> bool:
    """Return whether a WebSocket's path is that of a model."""
    return _PATH.search(path.partition("?")[0].rstrip("/")) is not None


class Conversation:
    """One connection; ``emit`` takes the fields of each record, ``announce`` those of a call that starts.

    The caller brings a monotonic time in seconds.
    """

    def __init__(
        self, provider: str, url: str, query: str, emit: Emit, announce: Emit = lambda _: None
    ) -> None:
        self._provider = provider
        self._url = url
        self._emit = emit
        self._announce = announce
        asked = parse_qs(query)
        self._model = next((asked[name][0] for name in ("model", "deployment") if name in asked), "")
        self._is_realtime = not url.endswith("/responses")
        self._requests: deque[_Call] = deque(maxlen=MOST_REQUESTS)
        """Those that no response has begun for."""
        self._asked: _Call | None = None
        """Content that Gemini is to answer in a turn of its own."""
        self._open: dict[str, _Call] = {}
        self._is_interrupted = False
        """Gemini's turn was interrupted before any of it came."""

    def sent(self, message: str | bytes, now: float) -> None:
        """Take a message of the application."""
        event = _read(message)
        if event is None:
            return
        if isinstance(event.setup, dict):
            self._model = str(event.setup.get("model", "")).rpartition("models/")[2]
        asked = event.asked or event.asked_too
        if event.type == "response.create":
            self._request(event, message, now)
        elif isinstance(asked, dict) and (asked.get("turnComplete") or asked.get("turn_complete")):
            self._end_late_turn()
            self._asked = self._made(now)

    def received(self, message: str | bytes, now: float) -> None:
        """Take a message of the provider."""
        event = _read(message)
        if event is None:
            return
        if isinstance(event.session, dict) and isinstance(event.session.get("model"), str):
            self._model = event.session["model"]
        if isinstance(event.content, dict) or event.tool_call is not None or event.usage is not UNSET:
            self._turn(event, now)
        elif event.type == "response.created" or event.type in _LAST:
            self._response(event, message, now)
        elif event.type == "error":
            self._refused(event, message, now)
        elif event.type is not None and event.type.endswith(".delta"):
            for name, call in tuple(self._open.items()):
                if event.response_id == name or (event.response_id is None and event.stream_id == call.lane):
                    call.first = call.first or now

    def closed(self, now: float) -> None:
        """Record what was not finished."""
        self._end_late_turn()
        for name in tuple(self._open):
            self._end(name, now, {"outcome": "cancelled"})
        requests, self._requests = self._requests, deque(maxlen=MOST_REQUESTS)
        for call in () if self._is_realtime else requests:
            self._record(call, now, {"outcome": "cancelled"})

    def disown(self) -> None:
        """Drop what is open in a forked child: it belongs to the parent."""
        self._open.clear()
        self._requests.clear()

    def _request(self, event: _Event, message: str | bytes, now: float) -> None:
        call = self._made(now)
        call.event_id, call.lane = event.event_id, event.stream_id
        if not self._is_realtime:  # a response is sure to come, or its refusal
            self._announced(call, event.model)
        call.fields["request"] = _whole(message)
        self._requests.append(call)

    def _response(self, event: _Event, message: str | bytes, now: float) -> None:
        try:
            response = _decode_response(event.response) if isinstance(event.response, Raw) else _Response()
        except msgspec.DecodeError:
            return
        name = response.id or ""
        if name not in self._open:
            self._begin(name, now, self._requested(event.stream_id))
        if event.type == "response.created":
            return
        # Realtime's event is read whole; the others' response is what HTTP would have answered.
        is_realtime = event.type == "response.done" or not isinstance(event.response, Raw)
        ending: dict[str, Any] = {
            "response": _whole(message) if is_realtime else bytes(event.response)  # type: ignore[arg-type]  # a Raw then
        }
        if response.status in ("cancelled", "canceled"):
            ending["outcome"] = "cancelled"
        elif response.status == "failed":
            ending["outcome"] = "error"
        self._end(name, now, ending)

    def _requested(self, lane: str | None) -> _Call | None:
        """Take the oldest request of a lane."""
        call = next((one for one in self._requests if one.lane == lane), None)
        if call is not None:
            self._requests.remove(call)
        return call

    def _refused(self, event: _Event, message: str | bytes, now: float) -> None:
        """Drop the request that an error is about; record it where nothing else could have failed.

        Realtime's errors are about any of the application's events, and seldom end anything.
        """
        said = event.error if isinstance(event.error, dict) else {}
        if self._is_realtime:
            about = said.get("event_id")
            is_of_newest = about is None and said.get("code") == _BUSY
            kept = [one for one in self._requests if about is None or one.event_id != about]
            self._requests = deque(kept[:-1] if is_of_newest else kept, maxlen=MOST_REQUESTS)
            return
        ending: dict[str, Any] = {"outcome": "error", "response": _whole(message)}
        if isinstance(event.status, int):
            ending["status_code"] = event.status
        begun = next((name for name, one in self._open.items() if one.lane == event.stream_id), None)
        # An error without an ``error`` of its own is an event of the stream that it ends.
        call = None if begun is not None and not said else self._requested(event.stream_id)
        if call is not None:
            self._record(call, now, ending)
        elif begun is not None:
            self._end(begun, now, ending)

    def _turn(self, event: _Event, now: float) -> None:
        content = event.content if isinstance(event.content, dict) else {}
        is_output = bool(content.get("modelTurn")) or event.tool_call is not None
        is_over = bool(content.get("turnComplete"))
        usage = bytes(event.usage) if isinstance(event.usage, Raw) else b""
        turn = self._open.get(_TURN)
        if turn is not None and turn.ended:
            is_next = is_output or is_over or bool(content.get("interrupted"))
            turn.usage = b"" if is_next else usage
            if is_next or usage:
                self._end_late_turn()
            if not is_next:
                return
            turn = None
        self._is_interrupted = self._is_interrupted or bool(content.get("interrupted"))
        if turn is None:
            if not is_output and not (is_over and usage):
                self._is_interrupted = self._is_interrupted and not is_over
                return
            self._asked, asked = None, self._asked
            turn = self._begin(_TURN, now, asked)
        if is_output:
            turn.first = turn.first or now
        turn.usage = usage or turn.usage
        if is_over:
            turn.is_interrupted, self._is_interrupted = self._is_interrupted, False
            turn.ended = now
            if turn.usage:
                self._end_late_turn()

    def _end_late_turn(self) -> None:
        """Record Gemini's turn that is over, whether its usage has come or not."""
        turn = self._open.get(_TURN)
        if turn is None or not turn.ended:
            return
        ending: dict[str, Any] = {"outcome": "cancelled"} if turn.is_interrupted else {}
        if turn.usage:
            ending["response"] = b'{"usageMetadata":%b}' % turn.usage
        self._end(_TURN, turn.ended, ending)

    def _made(self, now: float) -> _Call:
        fields = current()
        fields |= {"provider_trace_id": new_id(), "timestamp": datetime.now(UTC), "url": self._url}
        if self._provider:
            fields["provider"] = self._provider
        return _Call(fields, now)

    def _begin(self, name: str, now: float, asked: _Call | None) -> _Call:
        self._open[name] = call = asked or self._made(now)
        self._announced(call, self._model)
        return call

    def _announced(self, call: _Call, model: object) -> None:
        """Announce a call once."""
        if not call.is_announced:
            call.is_announced = True
            fields = {name: value for name, value in call.fields.items() if name != "request"}
            self._announce(fields | ({"model": model} if model and isinstance(model, str) else {}))

    def _end(self, name: str, now: float, ending: dict[str, Any]) -> None:
        call = self._open.pop(name, None)
        if call is not None:  # else a close in another thread was first
            self._record(call, now, ending)

    def _record(self, call: _Call, now: float, ending: dict[str, Any]) -> None:
        fields = call.fields | ending
        if self._model:
            fields["model"] = self._model
        if call.first > call.started:  # else nothing tells when the turn was asked for
            fields["time_to_first_token_ms"] = (call.first - call.started) * 1000
        fields["latency_ms"] = (now - call.started) * 1000
        self._emit(fields)


def _whole(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _read(message: str | bytes) -> _Event | None:
    try:
        return _decode(message)
    except (msgspec.DecodeError, RecursionError):
        return None
