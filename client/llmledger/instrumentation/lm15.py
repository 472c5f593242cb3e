"""Hook for the HTTP client of ``lm15``, of which DSPy has a copy.

Invariants:
- One ``stream`` of a transport is one exchange; the client itself tries a request again only before it was sent.
- The application gets the client's own response, whose iterator of chunks is replaced by one that passes on each
  chunk, and whose release ends the exchange.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook both transports; return True if successful."""

    def make_sync(bind: Bind) -> Any:
        def stream(transport: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, request)
            if exchange is None:
                return bind(transport)(request, *args, **kwargs)
            with exchange:
                response = bind(transport)(request, *args, **kwargs)
            _watch(exchange, response, is_async=False)
            return response

        return stream

    def make_async(bind: Bind) -> Any:
        async def stream(transport: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, request)
            if exchange is None:
                return await bind(transport)(request, *args, **kwargs)
            with exchange:
                response = await bind(transport)(request, *args, **kwargs)
            _watch(exchange, response, is_async=True)
            return response

        return stream

    settings.patches.wrap(library.StdlibTransport, "stream", make_sync)
    settings.patches.wrap(library.StdlibAsyncTransport, "_do_stream", make_async)
    return True


@harmless
def _begin(settings: Hook, request: Any) -> Exchange | None:
    parts = urlsplit(request.url)
    call = settings.recognize(
        request.method.upper(), parts.hostname or "", parts.port, parts.path, lambda: request.body
    )
    if call is None:
        return None
    headers = {name.lower(): value for name, value in request.headers}
    exchange = settings.begin_exchange(call, request.url, headers)
    body = bytes(request.body or b"")
    exchange.requested(body, headers.get("content-type", ""), len(body))
    return exchange


@harmless
def _watch(exchange: Exchange, response: Any, *, is_async: bool) -> None:
    exchange.answered(response.status, response.headers)
    release = response._release
    if is_async:

        async def release_async(body_consumed: bool) -> None:
            _released(exchange, body_consumed)
            await release(body_consumed)

        response._chunks = _each_async(exchange, response._chunks)
        response._release = release_async
        return

    def release_sync(body_consumed: bool) -> None:
        _released(exchange, body_consumed)
        release(body_consumed)

    response._chunks = _each(exchange, response._chunks)
    response._release = release_sync


def _released(exchange: Exchange, body_consumed: bool) -> None:
    if body_consumed:
        exchange.finished()
    else:
        exchange.closed()


def _each(exchange: Exchange, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        for chunk in chunks:
            exchange.received(bytes(chunk))
            yield chunk
    except BaseException as error:
        exchange.failed(error)
        raise
    exchange.finished()


async def _each_async(exchange: Exchange, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            exchange.received(bytes(chunk))
            yield chunk
    except BaseException as error:
        exchange.failed(error)
        raise
    exchange.finished()
