"""Connection pool of one PostgreSQL.

Invariants:
- A connection whose transaction failed is not used again.
- Each step has a limit on both sides: the server ends a statement and a wait for a lock by itself, so that
  no server process outlives its client; and a connection whose server sends nothing for the timeout is
  cancelled and closed, because libpq itself has no such timeout.
- Settings of the session are those of the transaction, because behind a pooler the next transaction can
  have another server process.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
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
from llmledgerd.stores.postgres import pieces
from llmledgerd.stores.postgres.errors import described, meaning
from llmledgerd.stores.postgres.silence import Silence
from llmledgerd.system.watchdog import renew

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 10
"""How long one attempt to connect may take."""

GRACE_SECONDS = 2.0
"""How much longer than the server's own limits a silence may last, so that its answer is heard."""

CANCEL_SECONDS = 2.0
"""How long the request to cancel a statement may take."""

BEGIN = sql.SQL(
    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),"
    " set_config('idle_in_transaction_session_timeout', %s, true), set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, true)"
)
"""With ``synchronous_commit = off`` the server would answer before its log is on the disk."""

STATEMENT_TIMEOUT = sql.SQL("SELECT set_config('statement_timeout', %s, true)")

_amounts = partial(json.loads, parse_float=Decimal, parse_int=Decimal)
"""Reading of jsonb, which holds amounts here: a float would lose digits of money."""

Row = dict[str, Any]
Statement = sql.SQL | sql.Composed


class Link:
    """One connection in one transaction, with a limit on the duration of each step."""

    def __init__(self, connection: psycopg.Connection[Row], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.committing = False
        """Whether COMMIT may have been sent."""
        self.timed_out = False

    def begin(self) -> None:
        """Begin the transaction with its limits."""
        whole = _milliseconds(self._seconds)
        self.query(BEGIN, (whole, _milliseconds(self._seconds / 2), whole))

    def run(self, statement: Statement, values: Sequence[object] = ()) -> int:
        """Run a statement; return the number of affected rows."""
        with self._limited():
            return self._connection.execute(statement, values or None).rowcount

    def query(self, statement: Statement, values: Sequence[object] = ()) -> list[Row]:
        with self._limited():
            return self._connection.execute(statement, values or None).fetchall()

    def copy(self, statement: Statement, blocks: Sequence[bytes | bytearray | memoryview]) -> None:
        """Send blocks of encoded rows. Only silence is limited, however long all of it takes.

        Rows go in parts that the server confirms: no other sign of progress comes through a relay that
        buffers. A part that is confirmed at once is followed by a larger one.
        """
        self.query(STATEMENT_TIMEOUT, ("0",))
        size = pieces.SMALLEST
        for given in blocks:
            block, start = bytes(given) if isinstance(given, memoryview) else given, 0
            while start < len(block):
                end = pieces.end_of_row(block, start + size)
                began = time.monotonic()
                self._copy(statement, memoryview(block)[start:end])
                renew()
                size = pieces.next_size(size, time.monotonic() - began, self._seconds)
                start = end
        self.query(STATEMENT_TIMEOUT, (_milliseconds(self._seconds),))

    def _copy(self, statement: Statement, part: memoryview) -> None:
        with self._limited() as silence, self._connection.cursor().copy(statement) as copy:
            for start in range(0, len(part), pieces.WRITTEN_AT_ONCE):
                copy.write(bytes(part[start : start + pieces.WRITTEN_AT_ONCE]))
                silence.broken()
                renew()

    def commit(self) -> None:
        # A COMMIT that waits for a standby and is ended by the timeout reports success without it.
        self.query(STATEMENT_TIMEOUT, ("0",))
        self.committing = True
        with self._limited():
            self._connection.commit()
        self.committing = False

    def rollback(self) -> None:
        with self._limited():
            self._connection.rollback()

    def _limited(self) -> Silence:
        return Silence(self._seconds + GRACE_SECONDS, self._connection.fileno(), self._time_out)

    def _time_out(self) -> None:
        self.timed_out = True
        if not self.committing and psycopg.capabilities.has_cancel_safe():
            with contextlib.suppress(psycopg.Error, OSError):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        self.cut()

    def cut(self) -> None:
        """Shut the socket down, so that the thread that waits on it gets an error. For any thread."""
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
        """No connection is made before the first call. Raises ConfigError for an invalid URL or file."""
        self._parameters = _parameters(url)
        self._password_file = password_file
        self._seconds = timeout_seconds
        self._idle: deque[psycopg.Connection[Row]] = deque()
        self._active: set[Link] = set()
        self._closed = threading.Event()
        with contextlib.suppress(OSError):  # a file that is missing now may be there at the connection
            _read_password(password_file)

    @property
    def address(self) -> str:
        """Address for people: without credentials and options."""
        known = self._parameters
        return f"postgresql://{known.get('host', '')}:{known.get('port', '5432')}/{known.get('dbname', '')}"

    def close(self) -> None:
        """Close all connections; what waits on one of them in another thread gets an error."""
        self._closed.set()
        while self._idle:
            self._idle.popleft().close()
        for link in self._active.copy():
            link.cut()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Link]:
        """Run one transaction on a connection of the pool; it is rolled back unless it was committed.

        Raises StoreBusy, OutcomeUnknown or BatchRejected for the driver's errors.
        """
        connection = self._pooled() or self._connect()
        link = Link(connection, self._seconds)
        self._active.add(link)
        try:
            if self._closed.is_set():
                raise StoreBusy("unreachable", f"{self.address}: closed")
            link.begin()
            yield link
            link.rollback()
        except psycopg.Error as error:
            link.end()
            raise self._meaning(error, link) from error
        except BaseException:
            link.end()
            raise
        finally:
            self._active.discard(link)
        if self._closed.is_set():
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
        limits = {"tcp_user_timeout": _milliseconds(self._seconds)}
        try:
            connection = psycopg.connect(
                **{**limits, **self._parameters, **self._password()},
                row_factory=dict_row,
                prepare_threshold=None,  # behind a pooler the next statement may meet another server process
            )
        except (psycopg.Error, OSError) as error:
            raise StoreBusy("unreachable", f"{self.address}: {_line(error)}") from error
        set_json_loads(_amounts, connection)
        return connection

    def _password(self) -> dict[str, str]:
        try:
            password = _read_password(self._password_file)
        except OSError as error:
            raise StoreBusy(
                "authentication", f"postgres.password_file: {self._password_file}: {error.strerror}"
            ) from error
        except ConfigError as error:
            raise StoreBusy("authentication", str(error)) from None
        return {"password": password} if self._password_file else {}

    def _meaning(self, error: psycopg.Error, link: Link) -> Exception:
        said = described(error.diag) if error.sqlstate else _line(error)
        return meaning(
            error.sqlstate, f"{self.address}: {said}", committing=link.committing, timed_out=link.timed_out
        )


def _read_password(file: str) -> str:
    """Return the password in a file; empty without one. Raises OSError, and ConfigError for another encoding."""
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"postgres.password_file: {file}: not UTF-8") from None


def _milliseconds(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))


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
        # A peer that is gone without a word is noticed within 25 seconds.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return {**defaults, **given}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
