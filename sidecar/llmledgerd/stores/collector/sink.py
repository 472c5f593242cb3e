"""Sends spans to a collector over OTLP/HTTP.

Invariants:
- A request that may have arrived is sent again, since a collector cannot be asked. What it has answered with 200 is not
  sent again while this process lives.
- What a repeat can change is StoreBusy: no connection, 401, 403, 404, 429, 5xx. What it cannot change is BatchRejected:
  400, 413, 422, of a collector that accepts an empty request. So a wrong address never makes dead letters.

Source: OTLP specification 1.x, "OTLP/HTTP Response", "Failures", "Partial Success", "Retry-After".
"""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import xxhash

from llmledgerd.errors import BatchRejected, ConfigError, StoreBusy
from llmledgerd.log import log
from llmledgerd.printable import one_line
from llmledgerd.records.repeats import Call
from llmledgerd.records.schema import TRACES
from llmledgerd.records.twice_told import FORWARDED, Told
from llmledgerd.stores.base import Buffer
from llmledgerd.stores.collector import spans, wire
from llmledgerd.stores.receipt_window import StoreClock

PATH: Final = "/v1/traces"
GZIP: Final = 31
"""Window bits that write gzip's header (zlib manual, ``deflateInit2``)."""
LONGEST_WAIT: Final = 30.0
"""Seconds of a Retry-After that are waited."""
LARGEST_ANSWER: Final = 1 << 20
MOST_TOKENS: Final = 64
INVALID: Final = frozenset({400, 413, 422})
KINDS: Final = {
    401: "authentication",
    403: "authentication",
    429: "overloaded",
    502: "proxy",
    503: "overloaded",
}
"""Kinds of StoreBusy by status; ``settings`` for other ones below 500, ``other`` above."""


class Collector:
    """One endpoint. Safe to share between threads; requests are sent one after another."""

    def __init__(
        self,
        url: str,
        *,
        password_file: str = "",
        headers_file: str = "",
        content: Literal["metadata", "full"] = "metadata",
        timeout_seconds: float = 60.0,
    ) -> None:
        """No connection is made before the first request. Raises ConfigError for an invalid URL."""
        self._url = endpoint(url)
        self._password_file = password_file
        self._headers_file = headers_file
        self._has_content = content == "full"
        self._timeout = timeout_seconds
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._accepted: OrderedDict[str, set[bytes]] = OrderedDict()
        """Digests of the blocks that were accepted, by the token of a batch that was not accepted whole."""
        self._not_before = 0.0
        self.counts: Counter[str] = Counter()
        """``rejected_spans``, which the collector said it dropped; ``not_forwarded``, rows made of OTLP or given up."""

    @property
    def address(self) -> str:
        return f"{self._url.scheme}://{_host(self._url)}{self._url.path}"

    def close(self) -> None:
        """Close the connection; a request that runs ends."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def version(self) -> str:
        """Return what the endpoint is, after it accepted an empty request. Raises StoreBusy."""
        with self._lock:
            self._probe()
        return f"accepts OTLP at {self.address}"

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytearray:
        """Return rows as a trace request; losses are none."""
        if table != TRACES:
            return bytearray()
        return spans.encode(rows, has_content=self._has_content)

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Send the blocks; return the rows that are not forwarded. Raises StoreBusy and BatchRejected."""
        left_out: set[int] = set().union(*(getattr(block, "left_out", ()) for block in blocks))
        with self._lock:
            accepted = self._accepted.setdefault(token, set())
            for block in blocks:
                if not block:
                    continue
                digest = xxhash.xxh3_128_digest(block)
                if digest not in accepted:
                    self._send(block)
                    accepted.add(digest)
            del self._accepted[token]
            while len(self._accepted) > MOST_TOKENS:
                self._accepted.popitem(last=False)
        self.counts["not_forwarded"] += len(left_out)
        return left_out

    def clock(self) -> StoreClock:
        """Return this host's time; spans do not expire."""
        return StoreClock(time.time_ns() // 1000)

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return nothing: a collector cannot be asked."""
        return set()

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return nothing, as above."""
        return set()

    def calls_abandoned(self, calls: Collection[Call], from_us: int, to_us: int) -> set[Call]:
        """Return nothing, as above."""
        return set()

    def records_of(self, spans: Collection[Told], *, besides: str) -> list[Told]:
        """Return nothing, as above."""
        return []

    def delete_abandoned(self, calls: Sequence[Call]) -> None:
        """Do nothing: rows of calls that were given up are not forwarded."""

    def _send(self, block: Buffer) -> None:
        status, reason, answer = self._post(bytes(block))
        if status in INVALID:
            self._probe()
            raise BatchRejected(status, f"HTTP {status} {reason}")
        self._check(status, reason)
        if dropped := wire.refused(answer):
            self.counts["rejected_spans"] += dropped
            log.warning("the collector dropped spans", address=self.address, spans=dropped)

    def _probe(self) -> None:
        """Send a request without spans. Raises StoreBusy if it is not accepted."""
        status, reason, _ = self._post(b"")
        self._check(status, reason)

    def _check(self, status: int, reason: str) -> None:
        if not 200 <= status < 300:
            kind = KINDS.get(status, "settings" if status < 500 else "other")
            raise StoreBusy(kind, f"HTTP {status} {reason}", status)

    def _post(self, body: bytes) -> tuple[int, str, bytes]:
        """Return status, reason and body of the answer. Raises StoreBusy."""
        if (wait := self._not_before - time.monotonic()) > 0:
            raise StoreBusy("overloaded", f"the collector asked to wait for {wait:.0f} s")
        deflater = zlib.compressobj(1, zlib.DEFLATED, GZIP)
        packed = deflater.compress(body) + deflater.flush()
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": FORWARDED,
            **self._secrets(),
        }
        is_kept = self._connection is not None
        try:
            return self._exchanged(packed, headers)
        except ConnectionError:  # a collector closes connections that are idle
            if not is_kept:
                raise StoreBusy("network", "the connection was closed") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            kind = "timeout" if isinstance(error, TimeoutError) else "network"
            raise StoreBusy(kind, one_line(str(error)) or type(error).__name__) from None
        try:
            return self._exchanged(packed, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StoreBusy("network", one_line(str(error)) or type(error).__name__) from None

    def _exchanged(self, packed: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        """Return the answer to one request; without one the connection is closed. Raises the library's errors."""
        connection = self._connected()
        try:
            connection.request("POST", self._url.path, packed, headers)
            response = connection.getresponse()
            answer = response.read(LARGEST_ANSWER)
        except BaseException:
            self.close()
            raise
        if not response.isclosed() or response.will_close:
            self.close()
        if response.status in (429, 503):
            self._not_before = time.monotonic() + _seconds(response.headers.get("Retry-After", ""))
        return response.status, one_line(response.reason), answer

    def _connected(self) -> http.client.HTTPConnection:
        """Return the connection, which is made where there is none. Raises StoreBusy."""
        if self._connection is None:
            made = _connection(self._url, self._timeout)
            try:
                made.connect()
            except OSError as error:
                raise StoreBusy("unreachable", one_line(str(error)) or type(error).__name__) from None
            self._connection = made
        return self._connection

    def _secrets(self) -> dict[str, str]:
        """Return the headers that authenticate. Raises StoreBusy for a file that cannot be read."""
        found = {}
        try:
            if self._url.username:
                password = unquote(self._url.password or "")
                if self._password_file:
                    password = Path(self._password_file).read_text().strip()
                pair = f"{unquote(self._url.username)}:{password}".encode()
                found["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
            if self._headers_file:
                found |= headers_of(Path(self._headers_file).read_text())
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise StoreBusy(
                "settings", f"headers of the collector: {getattr(error, 'strerror', '') or error}"
            ) from None
        return found


def endpoint(url: str) -> SplitResult:
    """Return the URL with the path of traces. Raises ConfigError, without the URL, which may have a password."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.query or parts.fragment:
        raise ConfigError("collector.url: not of the form http://host:port or https://host/path")
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(PATH) else path + PATH)


def headers_of(text: str) -> dict[str, str]:
    """Return the headers of a file's text. Raises ValueError, which quotes no value."""
    found = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if (
            not colon
            or not name.strip().replace("-", "").replace("_", "").isalnum()
            or not value.isprintable()
        ):
            raise ValueError("a line is not of the form `Name: value`")
        found[name.strip()] = value.strip()
    return found


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _connection(url: SplitResult, timeout: float) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, url.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, url.port, timeout=timeout)


def _seconds(said: str) -> float:
    """Return the seconds of a Retry-After; 0 for a date, which the backoff serves as well."""
    return min(float(said), LONGEST_WAIT) if said.isascii() and said.isdigit() else 0.0
