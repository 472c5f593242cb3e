"""What is read from: one store, of whichever kind.

Invariant: a question is answered, or refused in one line, by the store that it is put to; nobody
falls back on another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

from llmtraced.answering import StoreAnswers
from llmtraced.config import Config
from llmtraced.errors import ConfigError, LlmtracedError
from llmtraced.payloads.fetching import Fetcher
from llmtraced.questions import Question
from llmtraced.readonly_sql import ReadOnlySql, Table
from llmtraced.store import Store

POSTGRES_SCHEMES = ("postgresql://", "postgres://")


class Reading(Protocol):
    """Answers questions. Blocking; for threads."""

    def answer(self, organization_id: str | None, question: Question) -> object:
        """Return the answer within one organisation; None is every one."""

    def sql(self, text: str) -> Table:
        """Return what one SELECT finds."""

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL from now on, where they are read from it."""

    def interrupt(self) -> None:
        """End the queries that are under way, where that is possible."""

    def close(self) -> None:
        """Let go of the connections."""


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
        with contextlib.suppress(LlmtracedError):
            self._store.run("KILL QUERY WHERE Settings['log_comment'] = {mark:String}", {"mark": self._mark})

    def close(self) -> None:
        self._store.close()
        self._sql.close()


def opened(
    url: str,
    fetcher: Fetcher | None = None,
    *,
    mark: str = "",
    settings: Mapping[str, Any] | None = None,
    timeout_seconds: float = 60.0,
    password_file: str = "",
    sql_url: str = "",
) -> Reading:
    """Return the store that a URL names; ``settings`` are ClickHouse's, ``password_file`` is PostgreSQL's.

    ``fetcher`` brings payloads from object storage.

    Raises ConfigError for a URL that no store can have.
    """
    if not url.startswith(POSTGRES_SCHEMES):
        return ClickHouseReading(
            url,
            fetcher,
            mark=mark,
            settings=settings or {},
            timeout_seconds=timeout_seconds,
            sql_url=sql_url,
        )
    try:
        from llmtraced.postgres.answers import PostgresReading
        from llmtraced.postgres.connections import Connections
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs llmtraced[postgres]: {error}") from None
    connections = Connections(url, password_file=password_file, timeout_seconds=timeout_seconds)
    return PostgresReading(connections, fetcher)


def configured(config: Config, fetcher: Fetcher | None, *, mark: str, settings: Mapping[str, Any]) -> Reading:
    """Return the store that the settings name first."""
    return opened(
        config.read_url,
        fetcher,
        mark=mark,
        settings=settings,
        password_file=config.read_password_file,
        sql_url=config.sql_url,
    )
