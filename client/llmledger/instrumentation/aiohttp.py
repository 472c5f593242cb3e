"""Hook for ``aiohttp``'s client.

Invariants:
- One call of a session is one exchange. (A redirect is followed within it; providers send none.)
- The application gets aiohttp's own response. Its ``content`` is replaced by a proxy that passes on
  and observes the data of the real reader.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType, TracebackType
from typing import Any, Final

from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.forms import parts_of_writer
from llmledger.instrumentation.hook import Hook, length_of
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless

_asking: Final[ContextVar[Exchange | None]] = ContextVar("llmledger_aiohttp_exchange", default=None)
"""The exchange whose request is being built, so that its body can be seen once it is encoded."""

_CONFIDENTIAL: Final = ("params", "auth", "cookies", "proxy", "proxy_auth", "proxy_headers")
"""Arguments of a call beside URL and headers."""


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook the session and the request; return True if successful."""

    def make_request(bind: Bind) -> Any:
        async def request(session: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, session, args, kwargs)
            if exchange is None and _asking.get() is None:
                return await bind(session)(*args, **kwargs)
            # A request within an exchange, such as a token refresh, is not observed.
            with _RequestContext(exchange):
                if exchange is None:
                    return await bind(session)(*args, **kwargs)
                with exchange:
                    response = await bind(session)(*args, **kwargs)
            _watch(library.streams, exchange, response)
            return response

        return request

    def make_init(bind: Bind) -> Any:
        def init(request: Any, *args: Any, **kwargs: Any) -> None:
            bind(request)(*args, **kwargs)
            exchange = _asking.get()
            if exchange is not None:
                _requested(exchange, request)

        return init

    settings.patches.wrap(library.ClientSession, "_request", make_request)
    settings.patches.wrap(library.ClientRequest, "__init__", make_init)
    return True


class _RequestContext:
    """Context in which the exchange's request is built and sent; None for an unobserved request."""

    def __init__(self, exchange: Exchange | None) -> None:
        self._exchange = exchange
        self._before: Exchange | None = None

    def __enter__(self) -> None:
        self._before = _asking.get()
        _asking.set(self._exchange)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _asking.get() is self._exchange:  # a coroutine may be closed in another context
            _asking.set(self._before)


@harmless
def _begin(settings: Hook, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    given = dict(zip(("method", "str_or_url"), args, strict=False)) | kwargs
    url = session._build_url(given["str_or_url"])
    call = settings.recognize(given["method"].upper(), url.raw_host or "", url.port, url.raw_path)
    if call is None:
        return None
    exchange = settings.begin_exchange(call, str(url), session._prepare_headers(given.get("headers")))
    exchange.sends({name: given.get(name) for name in _CONFIDENTIAL})
    return exchange


@harmless
def _requested(exchange: Exchange, request: Any) -> None:
    exchange.sends(request.headers, str(request.url))
    body = request.body
    parts = parts_of_writer(body) if hasattr(body, "_parts") else None
    if not isinstance(body, bytes):
        body = getattr(body, "_value", None)  # BytesPayload's; others have no bytes yet
    headers = request.headers
    known = body if isinstance(body, bytes) else None
    exchange.requested(known, headers.get("content-type", ""), length_of(headers), parts)


@harmless
def _watch(streams: Any, exchange: Exchange, response: Any) -> None:
    exchange.answered(response.status, response.headers.items())
    if response.content is None or response.content.at_eof():
        exchange.finished()
        return
    response.content = _Watched(streams, response.content, exchange)


class _Watched:
    """Observing proxy of the real reader, to which other attributes delegate; ``streams`` has aiohttp's iterators."""

    def __init__(self, streams: Any, reader: Any, exchange: Exchange) -> None:
        self._streams = streams
        self._reader = reader
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    @property  # type: ignore[misc]  # mypy knows it writable
    def __class__(self) -> Any:
        """The real reader's class, for ``isinstance``."""
        return type(self._reader)

    def __aiter__(self) -> Any:
        return self._streams.AsyncStreamIterator(self.readline)

    def iter_chunked(self, n: int) -> Any:
        return self._streams.AsyncStreamIterator(lambda: self.read(n))

    def iter_any(self) -> Any:
        return self._streams.AsyncStreamIterator(self.readany)

    def iter_chunks(self) -> Any:
        return self._streams.ChunkTupleAsyncStreamIterator(self)

    async def read(self, n: int = -1) -> bytes:
        if n >= 0:
            return await self._listen(self._reader.read(n))
        # As in the real reader, so that each piece is observed when it arrives.
        pieces = []
        while piece := await self.readany():
            pieces.append(piece)
        return b"".join(pieces)

    async def readany(self) -> bytes:
        return await self._listen(self._reader.readany())

    async def readline(self, **kwargs: Any) -> bytes:
        return await self._listen(self._reader.readline(**kwargs))

    async def readuntil(self, *args: Any, **kwargs: Any) -> bytes:
        return await self._listen(self._reader.readuntil(*args, **kwargs))

    async def readexactly(self, n: int) -> bytes:
        return await self._listen(self._reader.readexactly(n))

    async def readchunk(self) -> tuple[bytes, bool]:
        chunk, is_end = await self._guard(self._reader.readchunk())
        self._came(chunk)
        return chunk, is_end

    def read_nowait(self, n: int = -1) -> bytes:
        data: bytes = self._reader.read_nowait(n)
        self._came(data)
        return data

    def set_exception(self, *args: Any, **kwargs: Any) -> None:
        """Called only by the response, when it is closed or released before its end."""
        self._exchange.closed()
        self._reader.set_exception(*args, **kwargs)

    async def _listen(self, reading: Any) -> bytes:
        data: bytes = await self._guard(reading)
        self._came(data)
        return data

    async def _guard(self, reading: Any) -> Any:
        try:
            return await reading
        except BaseException as error:
            self._exchange.failed(error)
            raise

    def _came(self, data: bytes) -> None:
        if data:
            self._exchange.received(data)
        if self._reader.at_eof():
            self._exchange.finished()
