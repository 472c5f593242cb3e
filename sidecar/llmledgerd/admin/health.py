"""Liveness, readiness and metrics: what is answered, without an HTTP server.

Invariant: health checks and metrics never wait for a store, and change nothing. On TCP, a client without a
token sees no store's address, and no metrics if the settings require a token for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from llmledgerd.admin.auth import OPERATOR, Access, Tokens
from llmledgerd.admin.probes import PATHS, Answer
from llmledgerd.errors import ConfigError
from llmledgerd.log import Recurring
from llmledgerd.system import memory
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status

HEALTHZ, READYZ, METRICS = PATHS
NOBODY: Final = Access(operator=False)

Exposition = Callable[[Metrics, Status, str], tuple[bytes, str]]


class Health:
    """Answers to requests for PATHS."""

    def __init__(
        self,
        status: Callable[[], Awaitable[Status]],
        metrics: Metrics,
        tokens: Tokens | None,
        *,
        metrics_need_token: bool = False,
    ) -> None:
        """``tokens`` None makes every client an operator."""
        self._status = status
        self._metrics = metrics
        self._tokens = tokens
        self._metrics_need_token = metrics_need_token
        self._exposition: Exposition | None = None
        self.recurring = Recurring()

    async def answer(self, path: str, authorization: str, accept: str) -> Answer:
        """Return the answer to a request for one of PATHS with the header fields ``Authorization`` and ``Accept``."""
        try:
            if path == READYZ:
                return self._readiness(await self._status(), self._access(authorization))
            if path == METRICS:
                return await self._scrape(self._access(authorization), accept)
        except Exception as error:  # noqa: BLE001 - outermost handler: a fault is logged, and the client gets an answer
            self.recurring.error("request failed", path=path, exc_info=error)
            return Answer(500, b"internal error; see the daemon's log\n")
        return Answer(200, b"ok\n")

    def _access(self, authorization: str) -> Access:
        if self._tokens is None:
            return OPERATOR
        try:
            return self._tokens.access(authorization) or NOBODY
        except ConfigError:
            return NOBODY

    def _readiness(self, status: Status, access: Access) -> Answer:
        """Report readiness; operators also see the reason and the stores."""
        code = 200 if status.ready else 503
        if not access.operator:
            return Answer(code, b"ready\n" if status.ready else b"not ready\n")
        said = status.spool or "ready"
        for store in status.stores:
            if store.trouble:
                said += f"; records wait in the spool for {store.name}, which is unavailable: {store.trouble}"
            if store.faults:
                said += f"; internal fault during delivery to {store.name}: {store.faults}"
        return Answer(code, f"{said}\n".encode())

    async def _scrape(self, access: Access, accept: str) -> Answer:
        if self._metrics_need_token and not (access.operator or access.metrics):
            return Answer(401, b"missing or unknown bearer token\n", wants_token=True)
        if self._exposition is None:
            self._exposition = await asyncio.to_thread(_imported)
        return Answer(200, *self._exposition(self._metrics, await self._status(), accept))


def _imported() -> Exposition:
    from llmledgerd.telemetry.exposition import exposition

    memory.collect_less()
    return exposition
