"""Hook for ``httpx`` and ``httpx2``, which have the same structure.

Invariants:
- Every client is hooked, including SDK subclasses, custom transports, proxies and HTTP/2: the hook is
  between client and transport, where each redirect and retry is a separate exchange.
- The application gets the library's own response. Only its stream is wrapped, and passes on every
  chunk first; the recorded body is the one that the application decodes, so nothing is decoded twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from types import ModuleType
from typing import Any

from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.forms import parts_of_stream
from llmledger.instrumentation.hook import Hook, length_of
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless

METHOD = "_send_single_request"
"""A private method that both libraries have had for years; ``hook`` checks that it exists."""


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook both clients; return True if successful."""
    if not hasattr(library.Client, METHOD) or not hasattr(library.AsyncClient, METHOD):
        return False
    sync_stream, async_stream = _streams(library)

    def make_sync(bind: Bind) -> Any:
        def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, args, kwargs)
            if exchange is None:
                with settings.unrecorded():
                    return bind(client)(*args, **kwargs)
            with exchange:
                response = bind(client)(*args, **kwargs)
            _watch(library, sync_stream, exchange, response)
            return response

        return send

    def make_async(bind: Bind) -> Any:
        async def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, args, kwargs)
            if exchange is None:
                with settings.unrecorded():
                    return await bind(client)(*args, **kwargs)
            with exchange:
                response = await bind(client)(*args, **kwargs)
            _watch(library, async_stream, exchange, response)
            return response

        return send

    settings.patches.wrap(library.Client, METHOD, make_sync)
    settings.patches.wrap(library.AsyncClient, METHOD, make_async)
    return True


@harmless
def _begin(settings: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    request = args[0] if args else kwargs["request"]
    url = request.url
    # Not ``url.path``, which is unquoted: an ARN in Bedrock's path has slashes of its own.
    path = url.raw_path.partition(b"?")[0].decode("ascii")
    # As the property ``content``, which raises if the body is a stream, such as an upload.
    body = getattr(request, "_content", None)
    call = settings.recognize(request.method, url.host, url.port, path, lambda: body)
    if call is None:
        return None
    headers = request.headers
    exchange = settings.begin_exchange(call, str(url), headers)
    parts = parts_of_stream(request.stream) if body is None and hasattr(request.stream, "fields") else None
    exchange.requested(body, headers.get("content-type", ""), length_of(headers), parts)
    return exchange


@harmless
def _watch(library: ModuleType, stream: Any, exchange: Exchange, response: Any) -> None:
    exchange.answered(response.status_code, response.headers.multi_items())
    if response.is_closed:  # a transport that answers from memory: a mock, a cache
        exchange.received(getattr(response, "_content", b""))
        exchange.finished()
        return
    encoding = response.headers.get("content-encoding", "identity")
    is_encoded = encoding.strip().lower() not in ("", "identity")
    encoded: list[bytes] | None = [] if is_encoded else None
    if encoded is not None:
        response._decoder = _Decoder(response._get_content_decoder(), exchange)
        headers = {"content-encoding": encoding}
        exchange.decode_rest = harmless(
            lambda: library.Response(200, headers=headers, content=b"".join(encoded)).content
        )
    response.stream = stream(response.stream, exchange, encoded)


class _Decoder:
    """Observing proxy of the response's content decoder."""

    def __init__(self, decoder: Any, exchange: Exchange) -> None:
        self._decoder = decoder
        self._exchange = exchange

    def decode(self, data: bytes) -> Any:
        """Return the decoder's result: bytes (httpx), or an iterable of bytes (httpx2)."""
        try:
            decoded = self._decoder.decode(data)
        except Exception as error:
            self._exchange.failed(error)
            raise
        if not isinstance(decoded, bytes):
            return self._listen(decoded)
        self._exchange.received(decoded)
        return decoded

    def flush(self) -> Any:
        return self._decoder.flush()

    def _listen(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self._exchange.received(piece)
                yield piece
        except Exception as error:
            self._exchange.failed(error)
            raise


class _Watched:
    """Common part of both streams. ``response.elapsed`` needs ``__getattr__``: it reads the stream's attribute."""

    def __init__(self, stream: Any, exchange: Exchange, encoded: list[bytes] | None) -> None:
        self._stream = stream
        self._exchange = exchange
        self._encoded = encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _came(self, chunk: bytes) -> None:
        if self._encoded is None:
            self._exchange.received(chunk)
        else:
            self._exchange.touched()
            self._encoded.append(chunk)


def _streams(library: ModuleType) -> tuple[type, type]:
    """Return the two wrappers, which subclass the library's stream types because it checks for them."""

    sync_base: Any = library.SyncByteStream
    async_base: Any = library.AsyncByteStream

    class WatchedSync(_Watched, sync_base):  # type: ignore[misc]  # the base is known at run time
        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._stream:
                    self._came(chunk)
                    yield chunk
            except BaseException as error:
                self._exchange.failed(error)
                raise
            self._exchange.finished()

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._exchange.closed()

    class WatchedAsync(_Watched, async_base):  # type: ignore[misc]  # the base is known at run time
        async def __aiter__(self) -> AsyncIterator[bytes]:
            chunks = self._stream.__aiter__()
            try:
                async for chunk in chunks:
                    self._came(chunk)
                    yield chunk
            except BaseException as error:
                self._exchange.failed(error)
                raise
            finally:
                # httpx2 closes the generator that it iterates, now this one, and expects the inner
                # generator to end with it.
                if hasattr(chunks, "aclose"):
                    await chunks.aclose()
            self._exchange.finished()

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._exchange.closed()

    return WatchedSync, WatchedAsync
