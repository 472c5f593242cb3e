"""The reader's methods about tools and about attempts of calls.

Invariant: as of ``LLMTraceReader``, which has these methods.
"""

from __future__ import annotations

from datetime import datetime
from typing import Unpack, cast

from llmledgerd.query.filters import Narrowing
from llmledgerd.query.requests import (
    GetRetries,
    GetTools,
    ListRetriedCalls,
    ListToolCalls,
    QueryRequest,
)
from llmledgerd.query.scope import Scope, checked
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall


class ToolReading:
    """Queries about tools and attempts; ``_ask`` is the reader's."""

    async def _ask(self, organization_id: Scope, question: QueryRequest) -> object:
        raise NotImplementedError

    async def get_tools(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[Tool]:
        """Return calls of tools by tool, most calls first: failures, time, bytes, and tokens of their results.

        The filters are those of ``list_calls``, of the calls whose answers asked for the tools.

            tools = await reader.get_tools("org-1", agent_id="agent-7")
        """
        question = checked(GetTools, limit=limit, start_date=start_date, end_date=end_date, **narrowed)
        return cast("list[Tool]", await self._ask(organization_id, question))

    async def list_tool_calls(
        self,
        organization_id: Scope,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - the column's name
        conversation_id: str | None = None,
        is_error: bool | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        limit: int = 100,
    ) -> list[ToolCall]:
        """Return calls of tools, newest first, at most ``limit``: rows of ``llm_tool_calls``.

        failed = await reader.list_tool_calls("org-1", name="search", is_error=True)
        """
        question = checked(
            ListToolCalls,
            name=name,
            id=id,
            conversation_id=conversation_id,
            is_error=is_error,
            start_date=start_date,
            end_date=end_date,
            limit=limit,
        )
        return cast("list[ToolCall]", await self._ask(organization_id, question))

    async def get_retries(
        self,
        organization_id: Scope,
        *,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[Retries]:
        """Return the calls that had several attempts by model, and what the failed attempts cost.

        retries = await reader.get_retries("org-1", start_date=datetime(2026, 11, 1, tzinfo=UTC))
        """
        question = checked(GetRetries, start_date=start_date, end_date=end_date, **narrowed)
        return cast("list[Retries]", await self._ask(organization_id, question))

    async def list_retried_calls(
        self,
        organization_id: Scope,
        *,
        limit: int = 100,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        **narrowed: Unpack[Narrowing],
    ) -> list[RetriedCall]:
        """Return the calls that had several attempts, with the ids of these, newest first.

        calls = await reader.list_retried_calls("org-1", model="gpt-4o")
        """
        question = checked(
            ListRetriedCalls, limit=limit, start_date=start_date, end_date=end_date, **narrowed
        )
        return cast("list[RetriedCall]", await self._ask(organization_id, question))
