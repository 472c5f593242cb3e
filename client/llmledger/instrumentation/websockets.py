"""Hook for ``websockets``, which OpenAI's and Google's SDKs use.

Invariants:
- A message is passed on unchanged, and before it is looked at where it comes in.
- A connection that is none of a model's costs one look-up of an attribute for each message.
"""

from __future__ import annotations

import importlib
from time import perf_counter
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from llmledger.default import default_client
from llmledger.instrumentation.bodies import recorded_url
from llmledger.instrumentation.conversation import Conversation, is_conversation
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless

_NAME = "_llmledger"


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook both kinds of connections; return True if successful."""
    for kind in ("asyncio", "sync"):
        connection = importlib.import_module(f"{library.__name__}.{kind}.client").ClientConnection
        is_async = kind == "asyncio"
        settings.patches.wrap(connection, "send", _sender(settings, is_async))
        settings.patches.wrap(connection, "recv", _receiver(settings, is_async))
        settings.patches.wrap(connection, "close", _closer(settings, is_async))
    return True


def _sender(settings: Hook, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def send(connection: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            _sent(settings, connection, message)
            return bind(connection)(message, *args, **kwargs)

        async def send_async(connection: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            _sent(settings, connection, message)
            return await bind(connection)(message, *args, **kwargs)

        return send_async if is_async else send

    return make


def _receiver(settings: Hook, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def recv(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                message = bind(connection)(*args, **kwargs)
            except Exception as error:
                _failed(settings, connection, error)
                raise
            _received(settings, connection, message)
            return message

        async def recv_async(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                message = await bind(connection)(*args, **kwargs)
            except Exception as error:
                _failed(settings, connection, error)
                raise
            _received(settings, connection, message)
            return message

        return recv_async if is_async else recv

    return make


def _closer(settings: Hook, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def close(connection: Any, *args: Any, **kwargs: Any) -> Any:
            _closed(settings, connection)
            return bind(connection)(*args, **kwargs)

        async def close_async(connection: Any, *args: Any, **kwargs: Any) -> Any:
            _closed(settings, connection)
            return await bind(connection)(*args, **kwargs)

        return close_async if is_async else close

    return make


@harmless
def _sent(settings: Hook, connection: Any, message: Any) -> None:
    conversation = _conversation(settings, connection)
    if conversation is not None and isinstance(message, str | bytes):
        conversation.sent(message)


@harmless
def _received(settings: Hook, connection: Any, message: Any) -> None:
    conversation = _conversation(settings, connection)
    if conversation is not None and isinstance(message, str | bytes):
        conversation.received(message, perf_counter())


@harmless
def _failed(settings: Hook, connection: Any, error: Exception) -> None:
    """A time-out of ``recv`` ends nothing; a connection that was closed ends what is open."""
    if type(error).__name__.startswith("ConnectionClosed"):
        _closed(settings, connection)


@harmless
def _closed(settings: Hook, connection: Any) -> None:
    conversation = _conversation(settings, connection)
    if conversation is not None:
        conversation.closed(perf_counter())


def _conversation(settings: Hook, connection: Any) -> Conversation | None:
    if not settings.patches.is_active:
        return None
    known = connection.__dict__.get(_NAME, connection)
    if known is connection:
        known = _made(settings, connection)
        setattr(connection, _NAME, known)
    found: Conversation | None = known
    return found


@harmless
def _made(settings: Hook, connection: Any) -> Conversation | None:
    request = connection.request
    return conversation_at(settings, f"wss://{request.headers['Host']}{request.path}")


def conversation_at(settings: Hook, url: str) -> Conversation | None:
    """Return a new conversation at a WebSocket's URL, None if it is none of a model's."""
    parts = urlsplit(url)
    provider = settings.hosts.provider(parts.hostname or "", parts.port)
    if provider is None or not is_conversation(parts.path):
        return None

    def emit(fields: dict[str, Any]) -> None:
        (settings.client or default_client()).hand_over("record", fields)

    return Conversation(provider, recorded_url(url), parts.query, emit)
