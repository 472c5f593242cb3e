"""Questions answered from ClickHouse."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.payloads import Fetcher
from llmledgerd.query.requests import Question
from llmledgerd.query.results import Table
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from llmledgerd.stores.clickhouse.readonly_sql import ReadOnlySql


class ClickHouseReading:
    """Answers from one ClickHouse."""

    def __init__(
        self,
        url: str,
        fetcher: Fetcher | None,
        *,
        mark: str,
        settings: Mapping[str, Any],
        timeout_seconds: float,
        sql_url: str = "",
    ) -> None:
        """``mark`` tells our queries from those of others. Nothing is opened before the first query."""
        self._mark = mark
        self._store = Store(url, timeout_seconds=timeout_seconds, settings={**settings, "log_comment": mark})
        self._answers = StoreAnswers(self._store, fetcher)
        self._has_own_user = bool(sql_url)
        self._sql = ReadOnlySql(sql_url or url, mark)

    def answer(self, organization_id: str | None, question: Question) -> object:
        return self._answers.answer(organization_id, question)

    def sql(self, text: str) -> Table:
        return self._sql.run(text)

    def log_in_as(self, url: str) -> None:
        self._store.log_in_as(url)
        if not self._has_own_user:
            self._sql.log_in_as(url)

    def interrupt(self) -> None:
        with contextlib.suppress(LlmledgerdError):
            self._store.run("KILL QUERY WHERE Settings['log_comment'] = {mark:String}", {"mark": self._mark})

    def close(self) -> None:
        self._store.close()
        self._sql.close()
