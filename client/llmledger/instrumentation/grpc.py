"""Hook for ``grpc``, which xAI's SDK and Google's clients of Vertex AI and Gemini use.

Invariants:
- Only calls with one request are observed, and of these only models' methods; any other costs one look-up.
- The hook is below interceptors and above gRPC's transparent retries: an attempt of an SDK is an exchange.
- The application gets the library's own call, in a proxy that passes every message on before it is looked at.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Generator
from types import ModuleType
from typing import Any

from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.rpc import STATUS, Rpc, host_of, request_json, response_json, rpc_of, url_of
from llmledger.instrumentation.safety import harmless

_TARGET = "_llmledger_target"

_STREAMS = ("_UnaryStreamMultiCallable", "_SingleThreadedUnaryStreamMultiCallable")


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook calls with one request, of both kinds of channels; return True if successful.

    The classes are private, and have had these names and methods for years.
    """
    sync = importlib.import_module(f"{library.__name__}._channel")
    aio = importlib.import_module(f"{library.__name__}.aio._channel")
    wrap = settings.patches.wrap
    wrap(sync._UnaryUnaryMultiCallable, "__call__", _blocking(settings, lambda answer: answer))
    wrap(sync._UnaryUnaryMultiCallable, "with_call", _blocking(settings, lambda answer: answer[0]))
    wrap(sync._UnaryUnaryMultiCallable, "future", _future(settings))
    for name in filter(lambda one: hasattr(sync, one), _STREAMS):
        wrap(getattr(sync, name), "__call__", _proxied(settings, _Stream))
    wrap(aio.Channel, "__init__", _targeted)
    wrap(aio.UnaryUnaryMultiCallable, "__call__", _proxied(settings, _AsyncUnary))
    wrap(aio.UnaryStreamMultiCallable, "__call__", _proxied(settings, _AsyncStream))
    return True


def _targeted(bind: Bind) -> Any:
    def init(channel: Any, target: Any, *args: Any, **kwargs: Any) -> None:
        bind(channel)(target, *args, **kwargs)
        setattr(channel, _TARGET, target)

    return init


def _blocking(settings: Hook, response_in: Callable[[Any], Any]) -> Any:
    def make(bind: Bind) -> Any:
        def call(callable_: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            observer = _begin(settings, callable_, request, kwargs)
            if observer is None:
                return bind(callable_)(request, *args, **kwargs)
            try:
                answer = bind(callable_)(request, *args, **kwargs)
            except BaseException as error:
                observer.failed(error)
                raise
            observer.answered(response_in(answer))
            return answer

        return call

    return make


def _future(settings: Hook) -> Any:
    def make(bind: Bind) -> Any:
        def future(callable_: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            observer = _begin(settings, callable_, request, kwargs)
            call = bind(callable_)(request, *args, **kwargs)
            if observer is not None:
                call.add_done_callback(observer.settled)
            return call

        return future

    return make


def _proxied(settings: Hook, proxy: Any) -> Any:
    def make(bind: Bind) -> Any:
        def start(callable_: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            observer = _begin(settings, callable_, request, kwargs)
            call = bind(callable_)(request, *args, **kwargs)
            return call if observer is None else proxy(call, observer)

        return start

    return make


@harmless
def _begin(settings: Hook, callable_: Any, request: Any, kwargs: dict[str, Any]) -> _Observer | None:
    method = callable_._method
    rpc = rpc_of(method.decode() if isinstance(method, bytes) else str(method))
    if rpc is None or not settings.patches.is_active:
        return None
    target = getattr(callable_, "_target", None) or getattr(
        getattr(callable_, "_python_channel", None), _TARGET, ""
    )
    host = host_of(target.decode() if isinstance(target, bytes) else str(target))
    name, _, port = host.partition(":")
    named = settings.hosts.provider(name, int(port) if port.isdecimal() else None)
    call = rpc.call._replace(provider=named or rpc.call.provider)
    exchange = settings.begin_exchange(call, url_of(rpc, host, request), {})
    exchange.sends({str(entry[0]): entry[1] for entry in kwargs.get("metadata") or ()})
    exchange.requested(request_json(rpc, request), "application/json")
    return _Observer(rpc, exchange)


class _Observer:
    """An exchange whose pieces are messages."""

    def __init__(self, rpc: Rpc, exchange: Exchange) -> None:
        self._rpc = rpc
        self._exchange = exchange
        self._is_answered = False

    @harmless
    def answered(self, response: Any) -> None:
        """Take the only message."""
        self._began(200)
        self._exchange.received(response_json(self._rpc, response))
        self._exchange.finished()

    @harmless
    def received(self, response: Any) -> None:
        """Take a message of a stream."""
        self._began(200)
        self._exchange.received(b"data: %b\n\n" % response_json(self._rpc, response))

    def finished(self) -> None:
        """End after the last message."""
        self._began(200)
        self._exchange.finished()

    def closed(self) -> None:
        """End because the application cancelled."""
        self._exchange.closed()

    def failed(self, error: BaseException) -> None:
        """End with what the call raised."""
        code = _code(error)
        if code == "CANCELLED":
            self._exchange.closed()
            return
        if code:
            self._began(STATUS.get(code, 500))
        self._exchange.failed(error)

    @harmless
    def settled(self, call: Any) -> None:
        """Take a future that is done."""
        if call.cancelled():
            self.closed()
        elif (error := call.exception()) is not None:
            self.failed(error)
        else:
            self.answered(call.result())

    def _began(self, status: int) -> None:
        if not self._is_answered:
            self._is_answered = True
            kind = "text/event-stream" if self._rpc.call.is_stream else "application/json"
            self._exchange.answered(status, [("content-type", kind)])


@harmless
def _code(error: BaseException) -> str:
    """Return the name of a gRPC error's status code, "" of any other exception."""
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else ""


class _Proxy:
    """Proxy of a call, to which other attributes delegate."""

    def __init__(self, call: Any, observer: _Observer) -> None:
        self._call = call
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    @property  # type: ignore[misc]  # mypy knows it writable
    def __class__(self) -> Any:
        """The real call's class, for ``isinstance``."""
        return type(self._call)

    def cancel(self, *args: Any, **kwargs: Any) -> Any:
        self._observer.closed()
        return self._call.cancel(*args, **kwargs)


class _Stream(_Proxy):
    """Iterator of a blocking call."""

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        try:
            message = next(self._call)
        except StopIteration:
            self._observer.finished()
            raise
        except BaseException as error:
            self._observer.failed(error)
            raise
        self._observer.received(message)
        return message


class _AsyncUnary(_Proxy):
    """Awaitable with one response."""

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            response = yield from self._call.__await__()
        except BaseException as error:
            self._observer.failed(error)
            raise
        self._observer.answered(response)
        return response


class _AsyncStream(_Proxy):
    """Asynchronous iterator, which may be read instead."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        iterator = self._call.__aiter__()
        while True:
            try:
                message = await anext(iterator)
            except StopAsyncIteration:
                self._observer.finished()
                return
            except BaseException as error:
                self._observer.failed(error)
                raise
            self._observer.received(message)
            yield message

    async def read(self) -> Any:
        try:
            message = await self._call.read()
        except BaseException as error:
            self._observer.failed(error)
            raise
        if hasattr(type(message), "DESCRIPTOR") or hasattr(type(message), "pb"):
            self._observer.received(message)
        else:  # gRPC's end of a stream
            self._observer.finished()
        return message
