"""Hook for ``websockets``, which OpenAI's and Google's SDKs use.

Invariants:
- A message is passed on unchanged, and before it is looked at where it comes in.
- A connection that is none of a model's costs one look-up of an attribute for each message.
- What is open when a connection is dropped, or when the process exits, is recorded; a forked child drops it.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from llmledger.default import default_client
from llmledger.instrumentation.bodies import recorded_url
from llmledger.instrumentation.conversation import Conversation, is_conversation
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless
from llmledger.lifecycle import before_closing, in_forked_child

_NAME: Final = "_llmledger"


class Observed:
    """Connections of one library, each with its conversation in an attribute; ``url`` reads a connection's address."""

    def __init__(self, settings: Hook, url: Callable[[Any], str]) -> None:
        self._settings = settings
        self._url = url

    @harmless
    def sent(self, connection: Any, message: Any) -> None:
        """Take a message of the application."""
        conversation = self._conversation(connection)
        if conversation is not None and isinstance(message, str | bytes):
            conversation.sent(message, perf_counter())

    @harmless
    def received(self, connection: Any, message: Any) -> None:
        """Take a message of the provider."""
        conversation = self._conversation(connection)
        if conversation is not None and isinstance(message, str | bytes):
            conversation.received(message, perf_counter())

    @harmless
    def closed(self, connection: Any) -> None:
        """End what is open."""
        conversation = self._conversation(connection)
        if conversation is not None:
            conversation.closed(perf_counter())

    def closer(self, *, is_async: bool) -> Any:
        """Return what makes a ``close``."""

        def make(bind: Bind) -> Any:
            def close(connection: Any, *args: Any, **kwargs: Any) -> Any:
                self.closed(connection)
                return bind(connection)(*args, **kwargs)

            async def close_async(connection: Any, *args: Any, **kwargs: Any) -> Any:
                self.closed(connection)
                return await bind(connection)(*args, **kwargs)

            return close_async if is_async else close

        return make

    def _conversation(self, connection: Any) -> Conversation | None:
        if not self._settings.patches.is_active:
            return None
        known = connection.__dict__.get(_NAME, connection)
        if known is connection:
            known = _made(self._settings, self._url, connection)
            connection.__dict__[_NAME] = known
        found: Conversation | None = known
        return found


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook both kinds of connections; return True if successful."""
    observed = Observed(settings, _url)
    for kind in ("asyncio", "sync"):
        connection = importlib.import_module(f"{library.__name__}.{kind}.client").ClientConnection
        is_async = kind == "asyncio"
        settings.patches.wrap(connection, "send", _sender(observed, is_async=is_async))
        settings.patches.wrap(connection, "recv", _receiver(observed, is_async=is_async))
        settings.patches.wrap(connection, "close", observed.closer(is_async=is_async))
    return True


def _url(connection: Any) -> str:
    request = connection.request
    return f"wss://{request.headers['Host']}{request.path}"


def _sender(observed: Observed, *, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def send(connection: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            observed.sent(connection, message)
            return bind(connection)(message, *args, **kwargs)

        async def send_async(connection: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            observed.sent(connection, message)
            return await bind(connection)(message, *args, **kwargs)

        return send_async if is_async else send

    return make


def _receiver(observed: Observed, *, is_async: bool) -> Any:
    def make(bind: Bind) -> Any:
        def recv(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                message = bind(connection)(*args, **kwargs)
            except Exception as error:
                _failed(observed, connection, error)
                raise
            observed.received(connection, message)
            return message

        async def recv_async(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                message = await bind(connection)(*args, **kwargs)
            except Exception as error:
                _failed(observed, connection, error)
                raise
            observed.received(connection, message)
            return message

        return recv_async if is_async else recv

    return make


@harmless
def _failed(observed: Observed, connection: Any, error: Exception) -> None:
    """A time-out of ``recv`` ends nothing; a connection that was closed ends what is open."""
    if type(error).__name__.startswith("ConnectionClosed"):
        observed.closed(connection)


@harmless
def _made(settings: Hook, url: Callable[[Any], str], connection: Any) -> Conversation | None:
    return conversation_at(settings, url(connection))


class _Open(Conversation):
    """A conversation that ends with its connection, however that ends."""

    def __del__(self) -> None:
        end(self)


_conversations: Final[weakref.WeakSet[_Open]] = weakref.WeakSet()


@harmless
def end(conversation: Conversation) -> None:
    """Record what is open."""
    conversation.closed(perf_counter())


def conversation_at(settings: Hook, url: str) -> Conversation | None:
    """Return a new conversation at a WebSocket's URL, None if it is none of a model's."""
    parts = urlsplit(url)
    provider = settings.hosts.provider(parts.hostname or "", parts.port)
    if provider is None or not is_conversation(parts.path):
        return None

    def emit(fields: dict[str, Any]) -> None:
        (settings.client or default_client()).hand_over("record", fields)

    def announce(fields: dict[str, Any]) -> None:
        if settings.begin:  # each response is a stream
            (settings.client or default_client()).hand_over("begin", fields)

    made = _Open(provider, recorded_url(url), parts.query, emit, announce)
    _conversations.add(made)
    return made


def _end_all() -> None:
    for conversation in tuple(_conversations):
        end(conversation)


def _forked() -> None:
    for conversation in tuple(_conversations):
        conversation.disown()
    _conversations.clear()


before_closing(_end_all)
in_forked_child(_forked)
