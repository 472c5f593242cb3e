"""Hook for ``urllib3`` 2, which ``requests`` and ``botocore`` use.

Invariants:
- Every attempt is an exchange: the hook is below urllib3's own retries and redirects.
- The application gets a response of a subclass with the same state and results. Nothing refers back to
  it, so it is freed as early as without the hook.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator
from functools import cache, partial
from types import ModuleType, TracebackType
from typing import Any
from urllib.parse import urlsplit

from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.hook import Hook, length_of
from llmledger.instrumentation.patches import Bind
from llmledger.instrumentation.safety import harmless

METHOD = "_make_request"
"""A private method, the only one that sees single attempts; its response is complete since version 2."""

_PARAMETERS = ("conn", "method", "url", "body", "headers")
"""First parameters of that method."""


def hook(library: ModuleType, settings: Hook) -> bool:
    """Hook the connection pools; return True if successful."""
    pool = library.connectionpool.HTTPConnectionPool
    if not hasattr(pool, METHOD) or library.__version__.startswith("1."):
        return False

    def make(bind: Bind) -> Any:
        def make_request(pool: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(settings, pool, args, kwargs)
            if exchange is None:
                return bind(pool)(*args, **kwargs)
            with exchange:
                response = bind(pool)(*args, **kwargs)
            _watch(exchange, response)
            return response

        return make_request

    settings.patches.wrap(pool, METHOD, make)
    return True


@harmless
def _begin(settings: Hook, pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    given = dict(zip(_PARAMETERS, args, strict=False)) | kwargs
    url = given["url"]
    if url.startswith(("http://", "https://")):  # through a plain HTTP proxy
        target = urlsplit(url)
        host, port, path = target.hostname or "", target.port, target.path
    else:
        host, port, path = pool.host, pool.port, url.partition("?")[0]
        url = f"{pool.scheme}://{host}{_explicit(pool)}{url}"
    call = settings.recognize(
        given["method"].upper(), host, port, path, lambda: _in_memory(given.get("body"))
    )
    if call is None:
        return None
    headers, of_proxy = _as_text(given.get("headers")), _as_text(getattr(pool, "proxy_headers", None))
    exchange = settings.begin_exchange(call, url, headers)
    exchange.sends(of_proxy)
    exchange.requested(_in_memory(given.get("body")), headers.get("content-type", ""), length_of(headers))
    return exchange


def _as_text(headers: Any) -> dict[str, str]:
    return {_text(name).lower(): _text(value) for name, value in (headers or {}).items()}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _explicit(pool: Any) -> str:
    return "" if pool.port in (None, {"http": 80, "https": 443}.get(pool.scheme)) else f":{pool.port}"


def _in_memory(body: Any) -> bytes | None:
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else None


@harmless
def _watch(exchange: Exchange, response: Any) -> None:
    exchange.answered(response.status, response.headers.items())
    if response.isclosed():  # already read completely, because the content was preloaded
        exchange.received(response.data or b"")
        exchange.finished()
        return
    listener = _Listener(exchange)
    encoding = response.headers.get("content-encoding")
    if encoding:
        exchange.decode_rest = harmless(partial(_decoded, listener.encoded, type(response), encoding))
        listener.is_encoded = True
    response._llmledger = listener
    response.__class__ = _watched(response.__class__)


def _decoded(encoded: list[bytes], kind: Any, encoding: str) -> bytes:
    body: bytes = kind(body=io.BytesIO(b"".join(encoded)), headers={"content-encoding": encoding}).data
    return body


class _Listener:
    """Additional state of an observed response. Entered while one of its methods runs."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.is_busy = False
        """While a method runs, its inner calls are not observed."""
        self.is_encoded = False
        self.encoded: list[bytes] = []

    def __enter__(self) -> None:
        self.is_busy = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_busy = False
        if error is not None:
            self.exchange.failed(error)

    def came(self, data: bytes, *, is_decoded: bool) -> None:
        """Observe a piece of data for the application."""
        if is_decoded or not self.is_encoded:
            self.exchange.received(data)
        else:
            self.exchange.touched()
            self.encoded.append(data)


_base: Any = object


class _Watched(_base):  # type: ignore[misc]  # mixed into a class that is known at run time
    """Observing mixin of a response. It adds no instance layout, so that ``__class__`` can be assigned."""

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        return self._read(super().read, amt, args, kwargs)

    def read1(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        return self._read(super().read1, amt, args, kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        return self._iterate(super().stream, args, kwargs)

    def read_chunked(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        return self._iterate(super().read_chunked, args, kwargs)

    def close(self) -> None:
        super().close()
        listener = self._llmledger
        if listener.is_busy:
            return  # urllib3 closes before it raises; the exception is the outcome
        if self.length_remaining == 0:
            listener.exchange.finished()
        listener.exchange.closed()

    def _read(self, read: Any, amt: int | None, args: Any, kwargs: Any) -> Any:
        listener = self._llmledger
        if listener.is_busy:
            return read(amt, *args, **kwargs)
        with listener:
            data = read(amt, *args, **kwargs)
        if data:
            listener.came(data, is_decoded=self._decodes((amt, *args), kwargs))
        if amt is None or amt < 0 or (amt and not data):
            listener.exchange.finished()
        return data

    def _iterate(self, iterate: Any, args: Any, kwargs: Any) -> Iterator[bytes]:
        listener = self._llmledger
        pieces = iterate(*args, **kwargs)
        if listener.is_busy:
            yield from pieces
            return
        is_decoded = self._decodes(args, kwargs)
        while True:
            with listener:
                piece = next(pieces, None)
            if piece is None:
                break
            listener.came(piece, is_decoded=is_decoded)
            yield piece
        listener.exchange.finished()

    def _decodes(self, args: Any, kwargs: Any) -> bool:
        chosen = args[1] if len(args) > 1 else kwargs.get("decode_content")
        return bool(self.decode_content if chosen is None else chosen)


@cache
def _watched(kind: Hashable) -> type:
    """Return an observing subclass of the response's class, with the same name."""
    base: Any = kind
    return type(base.__name__, (_Watched, base), {"__module__": base.__module__})
