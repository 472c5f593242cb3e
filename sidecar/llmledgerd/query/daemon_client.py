"""HTTP client for the queries of a running daemon's admin server.

Invariant: results and errors equal those of a direct query to the store.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.query import http_client
from llmledgerd.query.erasure import Erased, Erasure
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.query.requests import QueryRequest, to_text
from llmledgerd.query.results import Table
from llmledgerd.query.routes import ERASE, OF, REPRICE, EraseRequest, Problem
from llmledgerd.system.permissions import denied

UNIX: Final = http_client.UNIX
BARE: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^/:@\[\]]+):\d{1,5}")


def is_daemon(url: str) -> bool:
    """Return whether a URL is a daemon's admin address: ``unix:/path`` or ``host:port`` without a scheme.

    ``http://host:port`` can also be a ClickHouse server, and is taken for one unless a token is given.
    """
    return url.startswith(UNIX) or BARE.fullmatch(url) is not None


class DaemonAnswers:
    """Query client of one daemon. For one event loop."""

    def __init__(self, address: str, token: str = "", timeout_seconds: float = 60.0) -> None:
        """Nothing is opened before the first query; each has a connection of its own."""
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout_seconds

    async def answer(self, organization_id: str | None, question: QueryRequest) -> object:
        """Return the result, or None if nothing was found.

        Raises StoreBusy when daemon or store are unavailable, ConfigError when the token does not
        allow it, and ValueError for an invalid request.
        """
        endpoint = OF[type(question)]
        whose = (
            {"all_organizations": "true"} if organization_id is None else {"organization_id": organization_id}
        )
        status, body = await self.request("GET", endpoint.path, {**to_text(question), **whose})
        if status == 404 and endpoint.may_be_none:
            return None
        return self._read(status, body, endpoint.answer)

    async def sql(self, text: str) -> Table:
        """Return the result of one SELECT. Raises as ``answer`` does."""
        status, body = await self.request("POST", "/v1/sql", {}, text.encode())
        found: Table = self._read(status, body, Table)
        return found

    async def erase(self, erasure: Erasure, confirmation: str | None = None) -> Erased:
        """Count what would be erased, with a code; given the code, erase it. Raises as ``answer`` does."""
        asked = msgspec.json.encode(EraseRequest.of(erasure, confirmation))
        status, body = await self.request("POST", ERASE, {}, asked)
        found: Erased = self._read(status, body, Erased)
        return found

    async def reprice(self, wanted: Reprice) -> Repriced:
        """Recompute costs, or compute what would change. Raises as ``answer`` does."""
        status, body = await self.request("POST", REPRICE, {}, msgspec.json.encode(wanted))
        found: Repriced = self._read(status, body, Repriced)
        return found

    async def get(self, path: str, kind: Any) -> Any:
        """Return the result of an endpoint without parameters, as ``kind``. Raises as ``answer`` does."""
        status, body = await self.request("GET", path, {})
        return self._read(status, body, kind)

    async def is_daemon(self) -> bool:
        """Return whether a daemon of llmledger answers, whatever the token may. Raises as ``request`` does."""
        status, body = await self.request("GET", "/v1/openapi.json", {})
        if status == 200:
            return b'"openapi"' in body
        return status in (401, 403, 503) and b'"title"' in body

    async def request(
        self, method: str, path: str, parameters: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the status and body of one request.

        Raises StoreBusy without a response, ConfigError where this user may not open the socket.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await http_client.request(self._address, method, path, parameters, self._headers, body)
        except TimeoutError:
            raise StoreBusy("timeout", f"{self._address}: timeout waiting for a response") from None
        except OSError as error:
            raise _unreachable(self._address, error) from error

    async def close(self) -> None:
        """Nothing is kept open; for those who treat a daemon as a store."""

    def _read(self, status: int, body: bytes, kind: Any) -> Any:
        if status == 200:
            try:
                return msgspec.json.decode(body, type=kind)
            except msgspec.DecodeError as error:
                raise StoreBusy(
                    "other", f"{self._address} is not a daemon of this version: {error}"
                ) from error
        raise _error_of(status, self._detail(status, body))

    def _detail(self, status: int, body: bytes) -> str:
        try:
            return msgspec.json.decode(body, type=Problem).detail
        except msgspec.DecodeError:
            return f"{self._address}: unexpected status {status}; not a daemon of this version"


def _unreachable(address: str, error: Exception) -> LlmledgerdError:
    """Return what a failed connection means: in the system's words, not in a library's."""
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return ConfigError(denied(address.removeprefix(UNIX)))
    number = number if isinstance(number, int) and number > 0 else None  # a resolver's errors are negative
    said = os.strerror(number).lower() if number else str(error) or type(error).__name__
    kind = "unreachable" if number in (errno.ENOENT, errno.ECONNREFUSED, None) else "network"
    return StoreBusy(kind, f"{address}: {said}")


def _error_of(status: int, detail: str) -> LlmledgerdError | ValueError:
    if status in (401, 403):
        return ConfigError(detail)
    if status == 400:
        return ValueError(detail)
    return StoreBusy("other", detail)
