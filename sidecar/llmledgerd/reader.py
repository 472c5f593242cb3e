"""Reading ``llm_traces`` from code: typed answers, each within one organization.

Invariants:
- Every method takes an organization and returns no other's rows; only ALL_ORGANIZATIONS, which no
  text can be mistaken for, looks across them.
- A store and a daemon give the same answers, so that a caller need not know which it reads from.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar, Unpack, cast

import msgspec

from llmledgerd.config import settings
from llmledgerd.config.store_url import targets
from llmledgerd.errors import ConfigError
from llmledgerd.payloads import wiring
from llmledgerd.query.backend import Reading
from llmledgerd.query.daemon_client import DaemonAnswers, is_daemon
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.payloads import Fetcher
from llmledgerd.query.requests import FindLarge, GetCall, GetLosses, GetStep, GetUsage, ListCalls, Question
from llmledgerd.query.results import Call, LargeCall, Loss, Page, Table, Usage
from llmledgerd.stores import readers

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects


class AllOrganizations(enum.Enum):
    """The type of ALL_ORGANIZATIONS; an enum, so that it is no text and checks by type."""

    ALL = "all"


ALL_ORGANIZATIONS: Final = AllOrganizations.ALL
"""For operators: rows of every organization."""

Scope = str | AllOrganizations
Q = TypeVar("Q", bound=Question)


class Source(Protocol):
    """Where answers come from."""

    async def answer(self, organization_id: str | None, question: Question) -> object: ...
    async def sql(self, text: str) -> Table: ...
    async def close(self) -> None: ...


class _Threaded:
    """A store whose queries run in threads, so that the loop never waits."""

    def __init__(self, opened: Reading) -> None:
        self._reading = opened

    async def answer(self, organization_id: str | None, question: Question) -> object:
        return await asyncio.to_thread(self._reading.answer, organization_id, question)

    async def sql(self, text: str) -> Table:
        return await asyncio.to_thread(self._reading.sql, text)

    async def close(self) -> None:
        await asyncio.to_thread(self._reading.close)


class LLMTraceReader:
    """Reads a store, or asks a running daemon.

    From ClickHouse come all answers; from PostgreSQL single calls and those of one step, and
    ValueError for the others.

    ::

        async with LLMTraceReader("http://reader:secret@clickhouse:8123/llm") as reader:
            page = await reader.list_by_agent("org-1", "agent-7", is_error=True)

    Methods raise ValueError for an argument that makes no sense (a cursor of something else, a
    limit of 0), StoreBusy where the store or the daemon is away or refuses, and ConfigError where
    an embedded store is open in another process, or a token does not allow what is asked.
    """

    def __init__(
        self, url: str, *, token: str = "", timeout_seconds: float = 60.0, password_file: str = ""
    ) -> None:
        """``url`` is a store's, as in the daemon's settings ``clickhouse_url`` and ``postgres_url`` (whose
        password may be in ``password_file``), or a daemon's admin address.

        Those are ``unix:/path/admin.sock``, ``host:port``, and ``http://host:port`` with a
        ``token``, which a daemon asks for on TCP. Raises ConfigError for a URL that is neither; an
        embedded store has to exist. Over a store, payloads in object storage are read from the
        ``payload_store`` of this host's settings; a daemon has its own.
        """
        self._source = _source(url, token, timeout_seconds, password_file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._source.close()

    async def get_by_id(
        self,
        organization_id: Scope,
        id: str,  # noqa: A002 - the column's name
        *,
        payloads: bool = False,
        files: bool = False,
    ) -> Call | None:
        """Return the call with the id, the one received last where lines share it, or None.

        Payloads come from wherever they were put; ``payloads_missing`` says why there are none.
        ``files`` puts images and files back that were cut out of them.
        """
        question = _question(GetCall, id=id, payloads=payloads, files=files)
        return cast("Call | None", await self._ask(organization_id, question))

    async def get_by_step_id(
        self, organization_id: Scope, step_id: str, *, payloads: bool = False, files: bool = False
    ) -> list[Call]:
        """Return the calls of one step, oldest first: one, and a further one for each retry."""
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
        """Return one agent's calls, newest first; see ``list_calls``."""
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
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[CallsNarrowing],
    ) -> Page:
        """Return calls, newest first; what is None does not narrow them. Sizes are those of requests.

        Pages neither repeat nor skip a call while rows arrive: a cursor is a place in the order of
        start, segment and line, which no later row moves.
        """
        question = _question(
            ListCalls,
            limit=limit,
            cursor=cursor,
            is_error=is_error,
            min_size_bytes=min_size_bytes,
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
        """Return what was used, a group each, the most expensive first.

        ``group_by`` names any of ``questions.GROUPS``; none makes one group of all. ``limit`` leaves
        the cheaper groups out. Rows that have
        expired are still summed where the hourly rollup can answer: in whole hours, and split and
        narrowed by what it keeps apart.
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
        """Return the calls with the largest requests, largest first."""
        question = _question(
            FindLarge,
            min_size_bytes=min_size_bytes,
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("list[LargeCall]", await self._ask(organization_id, question))

    async def get_losses(self, *, start_date: datetime | None = None) -> list[Loss]:
        """Return what was dropped, by stage and reason, the latest first. For operators."""
        question = _question(GetLosses, start_date=start_date)
        return cast("list[Loss]", await self._ask(ALL_ORGANIZATIONS, question))

    async def sql(self, text: str) -> Table:
        """Return what one SELECT finds, at most ``readonly_sql.MAX_ROWS`` rows. For operators.

        Raises ValueError for anything but a SELECT over this store.
        """
        return await self._source.sql(text)

    async def _ask(self, organization_id: Scope, question: Question) -> object:
        if isinstance(organization_id, AllOrganizations):
            return await self._source.answer(None, question)
        if not isinstance(organization_id, str):  # None must not come to mean every organization
            raise TypeError("organization_id is a text, or ALL_ORGANIZATIONS")
        return await self._source.answer(organization_id, question)


def _configured_objects() -> Objects | None:
    return wiring.objects(settings.load()[0])


def _source(url: str, token: str, timeout_seconds: float, password_file: str) -> Source:
    if token or is_daemon(url):
        return DaemonAnswers(url, token, timeout_seconds)
    path = None if url.startswith(readers.POSTGRES_SCHEMES) else targets(url, {})[0].path
    if path is not None and not Path(path).is_dir():
        raise ConfigError(f"there is no store at {path}")
    fetcher = Fetcher(_configured_objects)
    return _Threaded(
        readers.opened(url, fetcher, timeout_seconds=timeout_seconds, password_file=password_file)
    )


def _question(kind: type[Q], **values: object) -> Q:
    """Return a question whose values are of the right types and within their bounds."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
