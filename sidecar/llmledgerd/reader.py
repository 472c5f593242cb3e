"""Python API for queries of ``llm_traces``: typed results, each within one organization.

Invariants:
- Every method takes an organization and returns only its rows; only ALL_ORGANIZATIONS, which is not
  a string, queries all of them.
- A store and a daemon return the same results, so that callers need not distinguish them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, Unpack, cast

from llmledgerd.query.backend import Reading
from llmledgerd.query.daemon_client import DaemonAnswers, is_daemon
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.prompt_reading import PromptReading
from llmledgerd.query.requests import (
    FindLarge,
    GetCall,
    GetLosses,
    GetRun,
    GetStep,
    GetUnpriced,
    GetUsage,
    ListCalls,
    ListRuns,
    QueryRequest,
)
from llmledgerd.query.results import (
    Call,
    LargeCall,
    Loss,
    Page,
    RunPage,
    RunSteps,
    Table,
    Unpriced,
    Usage,
)
from llmledgerd.query.scope import ALL_ORGANIZATIONS, AllOrganizations, Scope, checked
from llmledgerd.query.tool_reading import ToolReading

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects


__all__ = ["ALL_ORGANIZATIONS", "AllOrganizations", "LLMTraceReader", "Scope"]


class Source(Protocol):
    """Query source: a store or a daemon."""

    async def answer(self, organization_id: str | None, question: QueryRequest) -> object: ...
    async def sql(self, text: str) -> Table: ...
    async def close(self) -> None: ...


class _Threaded:
    """Store whose queries run in threads, so that they never block the event loop."""

    def __init__(self, opened: Reading) -> None:
        self._reading = opened

    async def answer(self, organization_id: str | None, question: QueryRequest) -> object:
        return await asyncio.to_thread(self._reading.answer, organization_id, question)

    async def sql(self, text: str) -> Table:
        return await asyncio.to_thread(self._reading.sql, text)

    async def close(self) -> None:
        await asyncio.to_thread(self._reading.close)


class LLMTraceReader(PromptReading, ToolReading):
    """Async query client of a store or of a running daemon.

    ClickHouse and daemons over it support all methods; PostgreSQL supports ``get_by_id`` and
    ``get_by_step_id``, and the others raise ValueError.

    ::

        async with LLMTraceReader("http://reader:secret@clickhouse:8123/llm") as reader:
            page = await reader.list_by_agent("org-1", "agent-7", is_error=True)

    ``organization_id`` is a string or ``ALL_ORGANIZATIONS``; times without a zone are UTC. All methods
    raise TypeError for another organization, ValueError for an invalid argument (a foreign cursor, a
    limit of 0), StoreBusy when the store or the daemon is unavailable or refuses the query, and
    ConfigError when an embedded store is open in another process or the token does not permit the query.
    """

    def __init__(
        self, url: str, *, token: str = "", timeout_seconds: float = 60.0, password_file: str = ""
    ) -> None:
        """Create a reader; it connects on the first query.

        ``url`` is a store's URL as in the settings ``clickhouse.url`` and ``postgres.url`` (the password
        can be in ``password_file``), or a daemon's admin address: ``unix:/path/admin.sock``,
        ``host:port``, or ``http://host:port`` with a ``token``, which TCP requires. Each query takes at
        most ``timeout_seconds``. Raises ConfigError for any other URL and for an embedded store that
        does not exist. A reader of a store gets payloads from the ``payload_store`` of this host's
        settings; a daemon uses its own.
        """
        self._source = _source(url, token, timeout_seconds, password_file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. ``async with`` does it at its end."""
        await self._source.close()

    async def get_by_id(
        self,
        organization_id: Scope,
        id: str,  # noqa: A002 - the column's name
        *,
        payloads: bool = False,
        files: bool = False,
    ) -> Call | None:
        """Return the call with this id, or None; if several records share the id, the one received last.

        ``payloads`` includes request, response and configuration, from the row or object storage;
        ``Call.payloads_missing`` has the reason if there are none. ``files`` restores images and files
        that were extracted from them.

            call = await reader.get_by_id("org-1", "provider_trace-…", payloads=True)
        """
        question = checked(GetCall, id=id, payloads=payloads, files=files)
        return cast("Call | None", await self._ask(organization_id, question))

    async def get_by_step_id(
        self, organization_id: Scope, step_id: str, *, payloads: bool = False, files: bool = False
    ) -> list[Call]:
        """Return the calls of one step, oldest first: the first attempt and its retries.

        ``payloads`` and ``files`` are those of ``get_by_id``.

            attempts = await reader.get_by_step_id("org-1", "step-42")
        """
        question = checked(GetStep, step_id=step_id, payloads=payloads, files=files)
        return cast("list[Call]", await self._ask(organization_id, question))

    async def list_by_agent(
        self,
        organization_id: Scope,
        agent_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        call_type: str | None = None,
        is_error: bool | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> Page:
        """Return a page of one agent's calls, newest first; see ``list_calls``.

        page = await reader.list_by_agent("org-1", "agent-7", is_error=True)
        """
        return await self.list_calls(
            organization_id,
            agent_id=agent_id,
            limit=limit,
            cursor=cursor,
            call_type=call_type,
            is_error=is_error,
            start_date=start_date,
            end_date=end_date,
        )

    async def list_calls(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        cursor: str | None = None,
        is_error: bool | None = None,
        min_size_bytes: int | None = None,
        id_prefix: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[CallsNarrowing],
    ) -> Page:
        """Return a page of calls, newest first, at most ``limit`` (1 to 10,000).

        Filters that are None do not filter; the other ones are the columns of ``CallsNarrowing``.
        ``is_error`` selects failed or successful calls, ``min_size_bytes`` the size of the request,
        ``id_prefix`` the beginning of the id, ``start_date`` (inclusive) and ``end_date`` (exclusive) the start of the call. ``cursor`` is that
        of the previous page. Pages neither repeat nor skip a call while rows arrive: a cursor is a
        position in the order of start, segment and line, which later rows do not change.

            page = await reader.list_calls("org-1", model="gpt-4o", limit=50)
            older = await reader.list_calls("org-1", model="gpt-4o", limit=50, cursor=page.cursor)
        """
        question = checked(
            ListCalls,
            limit=limit,
            cursor=cursor,
            is_error=is_error,
            min_size_bytes=min_size_bytes,
            id_prefix=id_prefix,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("Page", await self._ask(organization_id, question))

    async def get_usage_stats(
        self,
        organization_id: Scope,
        *,
        group_by: Sequence[str] = ("model",),
        limit: int | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[Usage]:
        """Return calls, tokens, cost in USD and latency per group, most expensive group first.

        ``group_by`` has any of ``requests.GROUPS``; empty makes one total. ``limit`` is the maximum
        number of groups. The filters are those of ``list_calls``. Expired rows still count when the
        hourly rollup can serve the query: for whole hours, grouped and filtered by its columns.

            by_day = await reader.get_usage_stats("org-1", group_by=("day", "model"))
        """
        question = checked(
            GetUsage,
            group_by=tuple(group_by),
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("list[Usage]", await self._ask(organization_id, question))

    async def find_large_requests(
        self,
        organization_id: Scope,
        *,
        min_size_bytes: int = 1_000_000,
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[LargeCall]:
        """Return the calls with the largest requests, largest first.

        ``min_size_bytes`` is the minimum size of a request; the filters are those of ``list_calls``.

            large = await reader.find_large_requests("org-1", min_size_bytes=5_000_000)
        """
        question = checked(
            FindLarge,
            min_size_bytes=min_size_bytes,
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("list[LargeCall]", await self._ask(organization_id, question))

    async def get_unpriced(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[Unpriced]:
        """Return the calls without a cost by model and reason, most calls first, at most ``limit`` entries.

        The filters are those of ``list_calls``; reasons are explained in docs/prices.md.

            without = await reader.get_unpriced("org-1", start_date=datetime(2026, 11, 1, tzinfo=UTC))
        """
        question = checked(GetUnpriced, limit=limit, start_date=start_date, end_date=end_date, **narrowed)
        return cast("list[Unpriced]", await self._ask(organization_id, question))

    async def list_runs(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        cursor: str | None = None,
        is_error: bool | None = None,
        id_prefix: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> RunPage:
        """Return a page of runs, the one with the latest call first, at most ``limit`` (1 to 1,000).

        The filters are those of ``list_calls``, and choose the runs that have a matching call; the figures
        are of all calls of these runs in the time range. Without ``start_date`` that range begins 30 days
        before the latest call of the page's last run. No payload is read.

            page = await reader.list_runs("org-1", agent_id="agent-7", is_error=True)
        """
        question = checked(
            ListRuns,
            limit=limit,
            cursor=cursor,
            is_error=is_error,
            id_prefix=id_prefix,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("RunPage", await self._ask(organization_id, question))

    async def get_run(
        self,
        organization_id: Scope,
        id: str,  # noqa: A002 - the word of commands and addresses
        *,
        first: int = 1,
        around: str | None = None,
        limit: int = 1000,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RunSteps | None:
        """Return a run's figures and at most ``limit`` (1 to 10,000) of its steps, or None if there is none.

        The steps are those from number ``first`` on, or those around the call with the id ``around``. Their
        places in the tree are those in the whole run. No payload is read. Raises ValueError if several
        organizations have a run with this id, and for a run of more than 100,000 calls in the time range.

            run = await reader.get_run("org-1", "run-7")
        """
        question = checked(
            GetRun, id=id, first=first, around=around, limit=limit, start_date=start_date, end_date=end_date
        )
        return cast("RunSteps | None", await self._ask(organization_id, question))

    async def get_losses(self, *, start_date: datetime | None = None) -> list[Loss]:
        """Return the lost records by stage and reason, latest first. For operators.

        losses = await reader.get_losses(start_date=datetime(2026, 11, 1, tzinfo=UTC))
        """
        question = checked(GetLosses, start_date=start_date)
        return cast("list[Loss]", await self._ask(ALL_ORGANIZATIONS, question))

    async def sql(self, text: str) -> Table:
        """Return the result of one SELECT, at most ``readonly_sql.MAX_ROWS`` rows. For operators.

        Raises ValueError for any statement but a SELECT over this store.

            table = await reader.sql("SELECT count() FROM llm_traces")
        """
        return await self._source.sql(text)

    async def _ask(self, organization_id: Scope, question: QueryRequest) -> object:
        if isinstance(organization_id, AllOrganizations):
            return await self._source.answer(None, question)
        if not isinstance(organization_id, str):  # None must not mean all organizations
            raise TypeError("organization_id must be a string or ALL_ORGANIZATIONS")
        return await self._source.answer(organization_id, question)


def _configured_objects() -> Objects | None:
    from llmledgerd.payloads import wiring
    from llmledgerd.stores import registry

    return wiring.objects(registry.load()[0])


def _source(url: str, token: str, timeout_seconds: float, password_file: str) -> Source:
    if token or is_daemon(url):
        return DaemonAnswers(url, token, timeout_seconds)
    # What reads a store is not needed by those who ask a daemon.
    from llmledgerd.query.payloads import Fetcher
    from llmledgerd.stores import registry

    fetcher = Fetcher(_configured_objects)
    return _Threaded(
        registry.reader_at(url, fetcher, timeout_seconds=timeout_seconds, password_file=password_file)
    )
