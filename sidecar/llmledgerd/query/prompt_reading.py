"""The reader's methods about prompts: what was not read from caches, and what prompts consist of.

Invariant: as of ``LLMTraceReader``, which has these methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack, cast

from llmledgerd.query.filters import Narrowing
from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses
from llmledgerd.query.requests import GetAnatomy, GetCacheMisses, ListCacheMisses, QueryRequest
from llmledgerd.query.scope import Scope, checked


class PromptReading:
    """Queries about prompts; ``_ask`` is the reader's."""

    async def _ask(self, organization_id: Scope, question: QueryRequest) -> object:
        raise NotImplementedError

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

        The filters are those of ``list_calls``.

            worst = await reader.get_cache_misses("org-1", agent_id="agent-7")
        """
        question = checked(GetCacheMisses, limit=limit, start_date=start_date, end_date=end_date, **narrowed)
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
        question = checked(
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
        question = checked(
            GetAnatomy,
            group_by=tuple(group_by),
            id=id,
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            **narrowed,
        )
        return cast("list[Anatomy]", await self._ask(organization_id, question))
