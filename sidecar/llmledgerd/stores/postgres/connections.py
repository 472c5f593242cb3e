"""Connection pool of one PostgreSQL.

Invariant: a connection whose transaction failed is not used again, and a connection whose server sends
nothing for the timeout is closed, because libpq itself has no such timeout.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.stores.postgres.errors import meaning

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 10
"""How long one attempt to connect may take; shorter where an insert may take less."""

_amounts = partial(json.loads, parse_float=Decimal, parse_int=Decimal)
"""Reading of jsonb, which holds amounts here: a float would lose digits of money."""

Row = dict[str, Any]
Statement = sql.SQL | sql.Composed


class Link:
    """One connection, with a limit on the duration of each step."""

    def __init__(self, connection: psycopg.Connection[Row], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.committing = False
        """Whether COMMIT may have been sent."""
        self.timed_out = False

    def run(self, statement: Statement, values: Sequence[object] = ()) -> int:
        """Run a statement; return the number of affected rows."""
        with self._limited():
            return self._connection.execute(statement, values or None).rowcount

    def query(self, statement: Statement, values: Sequence[object] = ()) -> list[Row]:
        with self._limited():
            return self._connection.execute(statement, values or None).fetchall()

    def copy(self, statement: Statement, blocks: Sequence[bytes | bytearray | memoryview]) -> None:
        """Send blocks of encoded rows."""
        with self._limited(), self._connection.cursor().copy(statement) as copy:
            for block in blocks:
                copy.write(block)

    def commit(self) -> None:
        self.committing = True
        with self._limited():
            self._connection.commit()
        self.committing = False

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        timer = threading.Timer(self._seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """Shut the socket down, so that the thread that waits on it gets an error."""
        self.timed_out = True
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self._connection.fileno())) as sock,
        ):
            sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.close()


class Connections:
    """Pool of connections to one server. Safe to share between threads."""

    def __init__(self, url: str, *, password_file: str = "", timeout_seconds: float = 60.0) -> None:
        """No connection is made before the first call. Raises ConfigError for an invalid URL."""
        self._parameters = _parameters(url)
        self._password_file = password_file
        self._seconds = timeout_seconds
        self._idle: deque[psycopg.Connection[Row]] = deque()
        self._closed = False

    @property
    def address(self) -> str:
        """Address for people: without credentials and options."""
        known = self._parameters
        return f"postgresql://{known.get('host', '')}:{known.get('port', '5432')}/{known.get('dbname', '')}"

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.popleft().close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Link]:
        """Run one transaction on a connection of the pool; it is rolled back unless it was committed.

        Raises StoreBusy, OutcomeUnknown or BatchRejected for the driver's errors.
        """
        connection = self._pooled() or self._connect()
        link = Link(connection, self._seconds)
        try:
            yield link
            connection.rollback()
        except psycopg.Error as error:
            link.end()
            raise self._meaning(error, link) from error
        except BaseException:
            link.end()
            raise
        if self._closed:
            link.end()
        else:
            self._idle.append(connection)

    def _pooled(self) -> psycopg.Connection[Row] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> psycopg.Connection[Row]:
        """Return a new connection. An error here means that nothing of the caller was sent."""
        try:
            connection = psycopg.connect(
                **{**self._parameters, **self._password()},
                row_factory=dict_row,
                prepare_threshold=None,  # behind a pooler the next statement may meet another server process
            )
            set_json_loads(_amounts, connection)
            # With synchronous_commit = off the server answers before its log is on the disk.
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
            connection.commit()
        except (psycopg.Error, OSError) as error:
            raise StoreBusy("unreachable", f"{self.address}: {_line(error)}") from error
        return connection

    def _password(self) -> dict[str, str]:
        if not self._password_file:
            return {}
        try:
            return {"password": Path(self._password_file).read_text().strip()}
        except OSError as error:
            raise StoreBusy(
                "authentication", f"postgres.password_file: {self._password_file}: {error.strerror}"
            ) from error

    def _meaning(self, error: psycopg.Error, link: Link) -> Exception:
        text = f"{self.address}: {_line(error)}"
        return meaning(error.sqlstate, text, committing=link.committing, timed_out=link.timed_out)


def _parameters(url: str) -> dict[str, Any]:
    if not url.startswith(SCHEMES):
        raise ConfigError(f"postgres.url: {url.partition(':')[0]!r} is not postgresql")
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text has the password in it
        raise ConfigError(
            "postgres.url: invalid URL (use postgresql://user:password@host:port/database)"
        ) from None
    defaults = {
        "client_encoding": "UTF8",
        "application_name": "llmledgerd",
        "connect_timeout": CONNECT_SECONDS,
    }
    return {**defaults, **given}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
