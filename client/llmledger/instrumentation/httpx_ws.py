"""Hook for ``httpx-ws``.

Invariants: as in ``websockets``; a message is looked at when the application takes it, in its thread or task.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless
from llmledger.instrumentation.websockets import Observed

_SESSIONS: Final = (("WebSocketSession", False), ("AsyncWebSocketSession", True))


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook both kinds of sessions; return True if successful."""
    observed = Observed(settings, _url)
    for name, is_async in _SESSIONS:
        session = getattr(library, name)
        settings.patches.wrap(session, "send", _sender(observed, is_async=is_async))
        settings.patches.wrap(session, "receive", _receiver(observed, is_async=is_async))
        settings.patches.wrap(session, "close", observed.closer(is_async=is_async))
    return True


def _url(session: Any) -> str:
    return str(session.response.request.url)


@harmless
def _data(event: Any) -> Any:
    """Return the text or bytes of a message, None of a ping and the like."""
    return getattr(event, "data", None)


def _sender(observed: Observed, *, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def send(session: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
            observed.sent(session, _data(event))
            return bind(session)(event, *args, **kwargs)

        async def send_async(session: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
            observed.sent(session, _data(event))
            return await bind(session)(event, *args, **kwargs)

        return send_async if is_async else send

    return make


def _receiver(observed: Observed, *, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def receive(session: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                event = bind(session)(*args, **kwargs)
            except Exception as error:
                _failed(observed, session, error)
                raise
            observed.received(session, _data(event))
            return event

        async def receive_async(session: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                event = await bind(session)(*args, **kwargs)
            except Exception as error:
                _failed(observed, session, error)
                raise
            observed.received(session, _data(event))
            return event

        return receive_async if is_async else receive

    return make


@harmless
def _failed(observed: Observed, session: Any, error: Exception) -> None:
    """A time-out ends nothing; ``WebSocketDisconnect`` and ``WebSocketNetworkError`` do."""
    if type(error).__name__.startswith("WebSocket"):
        observed.closed(session)
