"""Query backend over ClickHouse."""

from __future__ import annotations

import contextlib

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.backend import Limits
from llmledgerd.query.payloads import Fetcher
from llmledgerd.query.requests import QueryRequest
from llmledgerd.query.results import Table
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from llmledgerd.stores.clickhouse.readonly_sql import ReadOnlySql


class ClickHouseReading:
    """Serves queries from one ClickHouse. Blocking; for threads."""

    def __init__(
        self,
        url: str,
        fetcher: Fetcher | None,
        *,
        mark: str,
        limits: Limits,
        timeout_seconds: float,
        sql_url: str = "",
    ) -> None:
        """``mark`` identifies these queries in the server's list. Nothing is opened before the first query."""
        self._mark = mark
        self._store = Store(
            url, timeout_seconds=timeout_seconds, settings={**_settings(limits), "log_comment": mark}
        )
        self._answers = StoreAnswers(self._store, fetcher)
        self._has_own_user = bool(sql_url)
        self._sql = ReadOnlySql(sql_url or url, mark)

    def answer(self, organization_id: str | None, question: QueryRequest) -> object:
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


def _settings(limits: Limits) -> dict[str, int]:
    """Return the limits as ClickHouse's settings."""
    named = {
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory_bytes,
        "max_threads": limits.threads,
    }
    return {name: value for name, value in named.items() if value is not None}
