"""Hook for the WebSockets of ``aiohttp``'s client.

Invariants: as in ``websockets``; the conversation is kept in the connection's own attributes.
"""

from __future__ import annotations

from time import perf_counter
from types import ModuleType
from typing import Any, Final

from llmledger.instrumentation.conversation import Conversation
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless
from llmledger.instrumentation.websockets import conversation_at

_NAME: Final = "_llmledger"


def hook_websockets(library: ModuleType, settings: Hook) -> None:
    """Hook the methods that every message passes, in either direction."""
    connection = library.ClientWebSocketResponse
    data_types = (library.WSMsgType.TEXT, library.WSMsgType.BINARY)

    def make_send(bind: Bind) -> Any:
        async def send(connection: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
            _sent(settings, connection, data)
            return await bind(connection)(data, *args, **kwargs)

        return send

    def make_receive(bind: Bind) -> Any:
        async def receive(connection: Any, *args: Any, **kwargs: Any) -> Any:
            message = await bind(connection)(*args, **kwargs)
            _received(settings, connection, message.data if message.type in data_types else None)
            return message

        return receive

    def make_close(bind: Bind) -> Any:
        async def close(connection: Any, *args: Any, **kwargs: Any) -> Any:
            _received(settings, connection, None)
            return await bind(connection)(*args, **kwargs)

        return close

    settings.patches.wrap(connection, "send_str", make_send)
    settings.patches.wrap(connection, "send_bytes", make_send)
    settings.patches.wrap(connection, "receive", make_receive)
    settings.patches.wrap(connection, "close", make_close)


@harmless
def _sent(settings: Hook, connection: Any, data: Any) -> None:
    conversation = _conversation(settings, connection)
    if conversation is not None and isinstance(data, str | bytes):
        conversation.sent(data, perf_counter())


@harmless
def _received(settings: Hook, connection: Any, data: Any) -> None:
    """``data`` is None at the end. A ping or pong never comes here: aiohttp answers them itself."""
    conversation = _conversation(settings, connection)
    if conversation is None:
        return
    if isinstance(data, str | bytes):
        conversation.received(data, perf_counter())
    else:
        conversation.closed(perf_counter())


def _conversation(settings: Hook, connection: Any) -> Conversation | None:
    if not settings.patches.is_active:
        return None
    known = connection.__dict__.get(_NAME, connection)
    if known is connection:
        known = conversation_at(settings, str(connection._response.url))
        connection.__dict__[_NAME] = known
    found: Conversation | None = known
    return found
