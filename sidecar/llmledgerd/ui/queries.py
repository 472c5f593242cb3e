"""Queries of the page.

Invariant: the queries are aggregates, which the rollup serves where it can, or bounded pages of calls, runs
or steps; payloads are those of one call. This holds for any number of calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses
from llmledgerd.query.requests import ROLLED_UP
from llmledgerd.query.results import Call, Loss, Page, Run, RunPage, RunSteps, Usage
from llmledgerd.query.tool_results import Retries, Tool
from llmledgerd.reader import LLMTraceReader, Scope
from llmledgerd.ui.view import View, narrow

GROUPS_SHOWN: Final = 25
"""Groups listed in a split; the others are summed in one line."""

PARTS: Final = 5
"""Groups drawn over time; if there are more groups, each needs its own query."""

CALLS: Final = 50
"""Calls per page of the list."""

RUNS: Final = 50
"""Runs per page of the list of runs."""

MISSES: Final = 50
"""Groups, and calls, that the page of cache misses lists."""

AGENTS: Final = 25
"""Agents whose prompts are drawn there."""

RUN_SPAN: Final = timedelta(days=30)
"""Time before and after a call in which its run is looked for."""

LOSSES_SPAN: Final = timedelta(days=7)


class Overview(msgspec.Struct, frozen=True):
    """Aggregates of one view."""

    whole: Usage | None
    """None without calls."""
    over_time: list[Usage]
    groups: list[Usage]
    parts: dict[str, list[Usage]]
    """The first groups over time, by value; empty where this needs a scan of all rows."""


class RunKey(msgspec.Struct, frozen=True):
    """Which run is meant. ``organization`` None: the only one that has a run with this id."""

    id: str
    organization: str | None = None
    at: datetime | None = None
    """Time of one of its calls; the run is looked for within RUN_SPAN of it."""


class PageQueries:
    """Queries of one reader, restricted to one organization if ``only`` names it."""

    def __init__(self, reader: LLMTraceReader, only: Scope) -> None:
        self._reader = reader
        self._only = only

    @property
    def only(self) -> str | None:
        """The only visible organization; None: all."""
        return self._only if isinstance(self._only, str) else None

    async def overview(self, view: View, now: datetime) -> Overview:
        """Return the data of the overview."""
        step = view.range(now).step
        whole, over_time, groups = await asyncio.gather(
            self._usage(view, now, ()),
            self._usage(view, now, (step,)),
            self._usage(view, now, (view.split,), limit=GROUPS_SHOWN),
        )
        return Overview(
            whole=whole[0] if whole else None,
            over_time=over_time,
            groups=groups,
            parts=await self._parts(view, now, groups, step),
        )

    async def calls(self, view: View, now: datetime) -> Page:
        """Return a page of the list."""
        wanted = view.range(now)
        return await self._reader.list_calls(
            self._scope(view),
            limit=CALLS,
            cursor=view.cursor,
            is_error=view.is_error,
            min_size_bytes=view.min_size,
            start_date=wanted.start,
            end_date=wanted.end,
            **view.sums(),
        )

    async def suggestions(self, view: View, names: Sequence[str], now: datetime) -> dict[str, list[str]]:
        """Return frequent values of each filter, by descending cost."""
        free = msgspec.structs.replace(view, narrowed={})
        found = await asyncio.gather(*(self._usage(free, now, (name,), limit=GROUPS_SHOWN) for name in names))
        return {
            name: [usage.group[name] for usage in usages if usage.group[name]]
            for name, usages in zip(names, found, strict=True)
        }

    async def call(self, id: str) -> Call | None:  # noqa: A002 - the column's name
        """Return one call with its payloads."""
        return await self._reader.get_by_id(self._only, id, payloads=True)

    async def runs(self, view: View, now: datetime) -> RunPage:
        """Return a page of the list of runs."""
        wanted = view.range(now)
        return await self._reader.list_runs(
            self._scope(view),
            limit=RUNS,
            cursor=view.cursor,
            is_error=view.is_error,
            start_date=wanted.start,
            end_date=wanted.end,
            **view.sums(),
        )

    async def run(
        self, key: RunKey, *, first: int = 1, around: str | None = None, limit: int
    ) -> RunSteps | None:
        """Return a run's figures and some of its steps."""
        scope = self._only if key.organization is None or self.only is not None else key.organization
        return await self._reader.get_run(
            scope,
            key.id,
            first=first,
            around=around,
            limit=limit,
            start_date=None if key.at is None else key.at - RUN_SPAN,
            end_date=None if key.at is None else key.at + RUN_SPAN,
        )

    async def tools(self, view: View, now: datetime) -> tuple[list[Tool], list[Retries]]:
        """Return the tools that were called, and the calls that needed several attempts."""
        wanted, scope = view.range(now), self._scope(view)
        return await asyncio.gather(
            self._reader.get_tools(scope, start_date=wanted.start, end_date=wanted.end, **view.sums()),
            self._reader.get_retries(scope, start_date=wanted.start, end_date=wanted.end, **view.sums()),
        )

    async def prompts(
        self, view: View, now: datetime
    ) -> tuple[list[CacheMisses], list[CacheMiss], list[Anatomy]]:
        """Return what was not read from caches, added up and by call, and what prompts consist of, by agent."""
        wanted, scope = view.range(now), self._scope(view)
        start, end = wanted.start, wanted.end
        return await asyncio.gather(
            self._reader.get_cache_misses(scope, limit=MISSES, start_date=start, end_date=end, **view.sums()),
            self._reader.list_cache_misses(
                scope, limit=MISSES, start_date=start, end_date=end, **view.sums()
            ),
            self._reader.get_anatomy(scope, limit=AGENTS, start_date=start, end_date=end, **view.sums()),
        )

    async def prompt(self, call: Call) -> tuple[list[CacheMiss], list[Anatomy]]:
        """Return what one call did not read from the cache, and what its prompt consists of."""
        return await asyncio.gather(
            self._reader.list_cache_misses(call.organization_id, id=call.id),
            self._reader.get_anatomy(call.organization_id, id=call.id, group_by=("call",)),
        )

    async def run_prompts(self, run: Run, limit: int) -> list[Anatomy]:
        """Return what the prompts of a run's steps consist of, in the order of time."""
        return await self._reader.get_anatomy(
            run.organization_id,
            group_by=("call",),
            limit=limit,
            start_date=run.first_at,
            end_date=run.last_at + timedelta(seconds=1),
            run_id=run.id if run.is_named else None,
            conversation_id=None if run.is_named else run.id,
        )

    async def losses(self, now: datetime) -> list[Loss]:
        """Return recent losses. For operators."""
        return await self._reader.get_losses(start_date=now - LOSSES_SPAN)

    async def _parts(
        self, view: View, now: datetime, groups: Sequence[Usage], step: str
    ) -> dict[str, list[Usage]]:
        """Return the first groups over time if the rollup has them; otherwise each would need a scan of rows."""
        if step != "minute" and not {view.split, *view.narrowed} <= ROLLED_UP:
            return {}
        values = [usage.group[view.split] for usage in groups[:PARTS]]
        if len(groups) < GROUPS_SHOWN:  # these are all groups, so that a single query is bounded too
            every = await self._usage(view, now, (view.split, step))
            return {value: [one for one in every if one.group[view.split] == value] for value in values}
        views = [narrow(view, view.split, value) for value in values]
        found = await asyncio.gather(*(self._usage(one, now, (step,)) for one in views))
        return dict(zip(values, found, strict=True))

    async def _usage(
        self, view: View, now: datetime, group_by: tuple[str, ...], limit: int | None = None
    ) -> list[Usage]:
        wanted = view.range(now)
        return await self._reader.get_usage_stats(
            self._scope(view),
            group_by=group_by,
            limit=limit,
            start_date=wanted.start,
            end_date=wanted.end,
            **view.sums(),
        )

    def _scope(self, view: View) -> Scope:
        """Return the scope; the URL's organization counts only if all are visible."""
        if self.only is not None:
            return self.only
        return view.narrowed.get("organization", self._only)
