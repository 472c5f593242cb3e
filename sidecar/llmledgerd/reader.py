"""Python API for queries of ``llm_traces``: typed results, each within one organization.

Invariants:
- Every method takes an organization and returns only its rows; only ALL_ORGANIZATIONS, which is not
  a string, queries all of them.
- A store and a daemon return the same results, so that callers need not distinguish them.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar, Unpack, cast

import msgspec

from llmledgerd.payloads import wiring
from llmledgerd.query.backend import Reading
from llmledgerd.query.daemon_client import DaemonAnswers, is_daemon
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.payloads import Fetcher
from llmledgerd.query.requests import (
    FindLarge,
    GetAnatomy,
    GetCacheMisses,
    GetCall,
    GetLosses,
    GetStep,
    GetUnpriced,
    GetUsage,
    ListCacheMisses,
    ListCalls,
    QueryRequest,
)
from llmledgerd.query.results import (
    Anatomy,
    CacheMiss,
    CacheMisses,
    Call,
    LargeCall,
    Loss,
    Page,
    Table,
    Unpriced,
    Usage,
)
from llmledgerd.stores import registry

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects


class AllOrganizations(enum.Enum):
    """Type of ALL_ORGANIZATIONS; an enum, so that type checkers distinguish it from a string."""

    ALL = "all"


ALL_ORGANIZATIONS: Final = AllOrganizations.ALL
"""Scope of operators: the rows of all organizations."""

Scope = str | AllOrganizations
Q = TypeVar("Q", bound=QueryRequest)


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


class LLMTraceReader:
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
        question = _question(GetCall, id=id, payloads=payloads, files=files)
        return cast("Call | None", await self._ask(organization_id, question))

    async def get_by_step_id(
        self, organization_id: Scope, step_id: str, *, payloads: bool = False, files: bool = False
    ) -> list[Call]:
        """Return the calls of one step, oldest first: the first attempt and its retries.

        ``payloads`` and ``files`` are those of ``get_by_id``.

            attempts = await reader.get_by_step_id("org-1", "step-42")
        """
        question = _question(GetStep, step_id=step_id, payloads=payloads, files=files)
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
        ``id_prefix`` the beginning of the id,
        ``start_date`` (inclusive) and ``end_date`` (exclusive) the start of the call. ``cursor`` is that
        of the previous page. Pages neither repeat nor skip a call while rows arrive: a cursor is a
        position in the order of start, segment and line, which later rows do not change.

            page = await reader.list_calls("org-1", model="gpt-4o", limit=50)
            older = await reader.list_calls("org-1", model="gpt-4o", limit=50, cursor=page.cursor)
        """
        question = _question(
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
        question = _question(
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
        question = _question(
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
        question = _question(GetUnpriced, limit=limit, start_date=start_date, end_date=end_date, **narrowed)
        return cast("list[Unpriced]", await self._ask(organization_id, question))

    async def get_cache_misses(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[CacheMisses]:
        """Return what calls did not read from the provider's cache, by agent, model and cause, dearest first.

        worst = await reader.get_cache_misses("org-1", agent_id="agent-7")
        """
        question = _question(
            GetCacheMisses, limit=limit, start_date=start_date, end_date=end_date, **narrowed
        )
        return cast("list[CacheMisses]", await self._ask(organization_id, question))

    async def list_cache_misses(
        self,
        organization_id: Scope,
        *,
        id: str | None = None,  # noqa: A002 - the column's name
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[CacheMiss]:
        """Return the calls that did not read what they could have from the provider's cache, dearest first.

        ``id`` is one call's; the answer is empty where it missed nothing.

            misses = await reader.list_cache_misses("org-1", limit=20)
        """
        question = _question(
            ListCacheMisses, id=id, limit=limit, start_date=start_date, end_date=end_date, **narrowed
        )
        return cast("list[CacheMiss]", await self._ask(organization_id, question))

    async def get_anatomy(
        self,
        organization_id: Scope,
        *,
        group_by: Sequence[str] = ("agent",),
        id: str | None = None,  # noqa: A002 - the column's name
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[Anatomy]:
        """Return what the tokens of prompts are, per group, the largest group first; calls in the order of time.

        ``group_by`` has any of ``requests.ANATOMY_GROUPS``; empty makes one total. ``id`` is one call's.

            steps = await reader.get_anatomy("org-1", run_id="run-3", group_by=("call",))
        """
        question = _question(
            GetAnatomy,
            group_by=tuple(group_by),
            id=id,
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("list[Anatomy]", await self._ask(organization_id, question))

    async def get_losses(self, *, start_date: datetime | None = None) -> list[Loss]:
        """Return the lost records by stage and reason, latest first. For operators.

        losses = await reader.get_losses(start_date=datetime(2026, 11, 1, tzinfo=UTC))
        """
        question = _question(GetLosses, start_date=start_date)
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
    return wiring.objects(registry.load()[0])


def _source(url: str, token: str, timeout_seconds: float, password_file: str) -> Source:
    if token or is_daemon(url):
        return DaemonAnswers(url, token, timeout_seconds)
    fetcher = Fetcher(_configured_objects)
    return _Threaded(
        registry.reader_at(url, fetcher, timeout_seconds=timeout_seconds, password_file=password_file)
    )


def _question(kind: type[Q], **values: object) -> Q:
    """Return a request with validated values."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
