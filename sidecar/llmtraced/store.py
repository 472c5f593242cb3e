"""ClickHouse, embedded or a server: the only module that imports its driver.

Invariants:
- What leaves this module is StoreBusy (nothing of the batch was stored), OutcomeUnknown (ask before
  offering it again), BatchRejected (the rows are at fault) or ConfigError, never a driver exception.
- One call of ``insert`` sends one block under one deduplication token, and sends it once: the
  driver's own replays are kept out of it, since only the caller knows whether to ask first.
- ``chdb:///path`` and ``http(s)://`` take the same path through the driver; where they differ, the
  driver differs.

Calls block and are made from worker threads. Each takes a client of its own from a pool, so that a
slow query holds up no insert: two handles of the embedded engine run side by side, where two calls
on one would wait for each other.
"""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast

import clickhouse_connect
import msgspec
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.insert import InsertContext
from urllib3 import exceptions as transport

from llmtraced.destination import STATEMENT_SECONDS
from llmtraced.errors import BatchRejected, ConfigError, LlmtracedError, OutcomeUnknown, StoreBusy
from llmtraced.store_errors import meaning
from llmtraced.store_url import Target, locked_by, parse_url, with_settings

# The driver warns of every failed request, in its own words, besides raising; one report is enough.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

Buffer = bytes | bytearray | memoryview

CONNECT_SECONDS = 10
"""How long one attempt to connect may take; shorter where an insert may take less."""

IDS_PER_QUERY = 1000
"""Identifiers in one statement: 40 KB as a parameter, well under what servers take (128 KiB)."""

INSERT_SETTINGS: Mapping[str, Any] = {
    # Newer servers default it to 1, which answers before anything is on disk of its own, and merges
    # the blocks of several inserts under one token.
    "async_insert": 0,
    # In 26.x the first rules and the second is ignored; older servers know the second alone.
    "deduplicate_insert": "enable",
    "insert_deduplicate": 1,
    # A view's target then drops the repeat of a block that its source drops.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # A view's part may come after the table's by no more than that; rebuilding waits for longer.
    "max_execution_time": STATEMENT_SECONDS,
    # One insert stays one block, and so one part in each partition and one commit.
    "max_insert_block_size": 1 << 30,
    "min_insert_block_size_rows": 1 << 30,
    "min_insert_block_size_bytes": 1 << 40,
    # Without it a server answers 200 first and appends its exception to the body.
    "wait_end_of_query": 1,
}
NEVER_SENT = (transport.NewConnectionError, transport.ConnectTimeoutError, ssl.SSLCertVerificationError)
"""What can only happen before a byte of the statement has left."""

TRANSPORT_SETTINGS = {"wait_end_of_query"}
"""Consumed by HTTP itself, and in no server's list of settings."""


class Store:
    """One ClickHouse database. Safe to share between threads."""

    def __init__(
        self, url: str, *, timeout_seconds: float = 60.0, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Remember where the store is; nothing is opened before the first call.

        ``timeout_seconds`` is how long a server may keep a call waiting between two bytes;
        ``settings`` of ClickHouse go with every statement, beside those of the URL, which they
        override. Raises ConfigError for a URL that no store can have.
        """
        self._target = with_settings(parse_url(url), settings or {})
        self._timeout = max(1, math.ceil(timeout_seconds))
        self._idle: deque[Client] = deque()
        self._types: dict[str, dict[str, str]] = {}
        self._closed = False

    @property
    def is_embedded(self) -> bool:
        """Whether the engine runs in this process, and is ours to migrate."""
        return self._target.path is not None

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL from now on; calls that are under way end as they are."""
        given = parse_url(url)
        self._target = msgspec.structs.replace(self._target, user=given.user, password=given.password)
        self._let_go()

    def close(self) -> None:
        """Let go of every connection; the embedded engine ends with its last one."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        with contextlib.suppress(IndexError):  # empty, also where another thread took the last one
            while True:
                self._idle.popleft().close()

    def version(self) -> str:
        """Return the version of the server, by asking it."""
        return str(self.query("SELECT version() AS version")[0]["version"])

    def create_database(self) -> None:
        """Create the database that the URL names, where it is missing."""
        try:
            self.version()
        except StoreBusy as error:
            if error.kind != "missing_table" or self._target.database is None:
                raise
            statement = f"CREATE DATABASE IF NOT EXISTS {_identifier(self._target.database)}"
            with (
                contextlib.closing(self._connect(database=None)) as client,
                _translated(self._target.address, writes=False),
            ):
                client.command(statement, use_database=False)

    def run(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement that returns nothing: DDL, or one that moves rows within the store.

        Settings that the server does not know are left out.
        """
        with self._client() as client:
            known = {k: v for k, v in (settings or {}).items() if k in client.server_settings}
            client.command(statement, parameters=dict(parameters or {}), settings=known)
        self._types.clear()

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, raw: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a query, each as a dictionary by column.

        Values enter as ``{name:Type}`` parameters, bound by the engine. The columns named in
        ``raw`` come back as bytes, since payloads need not be UTF-8. Times come back aware, in UTC.
        """
        with self._client() as client:
            result = client.query(
                sql,
                parameters=dict(parameters or {}),
                column_formats=dict.fromkeys(raw, "bytes"),
                tz_mode="aware",
            )
            return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def table(self, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Return names and rows of a query whose columns may share a name."""
        with self._client() as client:
            result = client.query(sql, tz_mode="aware")
            return result.column_names, result.result_rows

    def explain(self, sql: str) -> list[str]:
        """Return the lines of an EXPLAIN, whose FORMAT clause would be the explained statement's."""
        with self._client() as client:
            return client.raw_query(f"EXPLAIN {sql}", fmt="TabSeparated").decode().splitlines()

    def columns(self, table: str) -> dict[str, str]:
        """Return the table's columns and their types, in order; empty where there is no table."""
        rows = self.query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
            " ORDER BY position",
            {"table": table},
        )
        return {row["name"]: row["type"] for row in rows}

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytearray:
        """Return the rows as a block for ``insert_blocks``.

        Text columns take ``str``, or ``bytes`` for all rows; times take whole microseconds since
        1970. Raises BatchRejected for a value that its column cannot hold.
        """
        return _native_block(columns, self._column_types(table, columns), rows)

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], token: str
    ) -> None:
        """Encode the rows and insert them; see ``insert_blocks``."""
        if rows:
            self.insert_blocks(table, columns, [self.encode(table, columns, rows)], token)

    def insert_blocks(self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str) -> None:
        """Insert encoded blocks, which the engine joins to one, under the deduplication token.

        Returns when the server has answered that all is stored.
        """
        try:
            with self._client(writes=True) as client:
                known = client.server_settings
                wanted = {**INSERT_SETTINGS, "insert_deduplication_token": token}
                settings = {k: v for k, v in wanted.items() if k in known or k in TRANSPORT_SETTINGS}
                body = cast("Generator[bytes, None, None]", _SentOnce(blocks))
                client.raw_insert(table, columns, body, settings=settings, fmt="Native")
        except LlmtracedError:
            self._types.pop(table, None)
            raise

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return which ``batch_row`` of a batch the table holds.

        ``from_us`` and ``to_us`` bound ``ingested_at`` of the batch's rows, both inclusive, in
        microseconds since 1970: they save the search through everything older.
        """
        rows = self.query(
            "SELECT batch_row FROM {table:Identifier} WHERE batch_id = {batch:UUID} AND ingested_at BETWEEN"
            " fromUnixTimestamp64Micro({from_us:Int64}) AND fromUnixTimestamp64Micro({to_us:Int64})",
            {"table": table, "batch": batch_id, "from_us": from_us, "to_us": to_us},
        )
        return {row["batch_row"] for row in rows}

    def ids_present(self, ids: Iterable[str], from_us: int, to_us: int) -> set[str]:
        """Return which of the ids ``llm_traces`` holds among calls that started between the two times.

        Rows that stand for a call without its record (``abandoned``) do not count.
        """
        found: set[str] = set()
        for some in _slices(list(ids), IDS_PER_QUERY):
            rows = self.query(
                "SELECT DISTINCT id FROM llm_traces WHERE id IN {ids:Array(String)} AND outcome != 'abandoned'"
                " AND created_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64})"
                " AND fromUnixTimestamp64Micro({to_us:Int64})",
                {"ids": some, "from_us": from_us, "to_us": to_us},
            )
            found.update(row["id"] for row in rows)
        return found

    def delete_abandoned(self, ids: Iterable[str]) -> None:
        """Delete the ``abandoned`` rows of calls whose records have come after all."""
        for some in _slices(list(ids), IDS_PER_QUERY):
            with self._client() as client:
                client.command(
                    "DELETE FROM llm_traces WHERE outcome = 'abandoned' AND id IN {ids:Array(String)}",
                    parameters={"ids": some},
                )

    def _column_types(self, table: str, columns: Sequence[str]) -> list[ClickHouseType]:
        """Return how to encode each column. The table is asked once, not for every insert."""
        types = self._types.get(table)
        if types is None:
            types = self.columns(table)
            if not types:
                raise StoreBusy("missing_table", f"there is no table {table}; run `llmtraced migrate`")
            self._types[table] = types
        missing = [name for name in columns if name not in types]
        if missing:
            del self._types[table]  # somebody may be migrating at this moment
            raise StoreBusy("missing_column", f"{table} lacks {', '.join(missing)}; run `llmtraced migrate`")
        return [_wire_type(types[name]) for name in columns]

    @contextlib.contextmanager
    def _client(self, *, writes: bool = False) -> Iterator[Client]:
        """Lend a client to one call, and drop it where the call failed: its server may be another now."""
        target = self._target
        client = self._pooled() or self._connect(target.database)
        try:
            with _translated(target.address, writes=writes):
                yield client
        except LlmtracedError:
            client.close()
            raise
        if self._closed or target is not self._target:
            client.close()
        else:
            self._idle.append(client)

    def _pooled(self) -> Client | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self, database: str | None) -> Client:
        """Return a new client; whatever fails here, no statement of the caller has been sent."""
        path = self._target.path
        owner = locked_by(path) if path is not None else ""
        if owner:  # asked first, because the engine would say so on standard error alone
            raise ConfigError(
                f"{path} is open in {owner}; one process at a time can open an embedded store:"
                " stop that one, or read through the daemon's admin address"
            )
        try:
            return _open(self._target, database, self._timeout)
        except (ClickHouseError, transport.HTTPError, OSError) as error:
            if path is not None:
                raise ConfigError(f"cannot open {path}: {error}") from error
            raise _settled(_translate(self._target.address, error)) from error


def _open(target: Target, database: str | None, timeout: int) -> Client:
    if target.path is not None:
        return clickhouse_connect.get_client(
            interface="chdb",
            path=target.path,
            database=database,
            settings=dict(target.settings),
            show_clickhouse_errors="scrub",
        )
    return clickhouse_connect.get_client(
        interface=target.scheme,
        host=target.host,
        port=target.port,
        username=target.user or None,
        password=target.password,
        database=database,
        settings=dict(target.settings),
        show_clickhouse_errors="scrub",  # without the request's URL, which says nothing to an operator
        compress=False,  # costs the daemon more than the network between a pod and its cluster
        connect_timeout=min(CONNECT_SECONDS, timeout),
        send_receive_timeout=timeout,
        autogenerate_session_id=False,  # a session runs one statement at a time
        dedicated_pool=True,  # so that closing the client closes its connection
        **cast("dict[str, Any]", target.options),
    )


@contextlib.contextmanager
def _translated(address: str, *, writes: bool) -> Iterator[None]:
    """Raise what the driver's exceptions mean. A call that ``writes`` no rows leaves nothing unknown."""
    try:
        yield
    except (ClickHouseError, transport.HTTPError, OSError) as error:
        found = _translate(address, error)
        raise (found if writes else _settled(found)) from error


def _settled(error: LlmtracedError) -> StoreBusy:
    """Return the same error for a call that stores no rows: offer it again, nothing to ask about."""
    return StoreBusy(error.kind if isinstance(error, StoreBusy) else "other", str(error))


def _translate(address: str, error: Exception) -> LlmtracedError:
    """Return what an exception of the driver means for the batch that was under way."""
    chain = list(_causes(error))
    kinds = tuple(type(cause) for cause in chain)
    # The driver's libraries also handle errors of their own in passing, which are in the chain too.
    said = [cause for cause in chain if isinstance(cause, ClickHouseError | transport.HTTPError | OSError)]
    text = f"{address}: {said[-1]}"
    if any(issubclass(kind, NEVER_SENT) for kind in kinds):
        return StoreBusy("unreachable", text)
    if any(issubclass(kind, transport.TimeoutError) for kind in kinds):
        return OutcomeUnknown("timeout", text)
    if any(issubclass(kind, transport.HTTPError) for kind in kinds):
        return OutcomeUnknown("network", text)
    if isinstance(error, ClickHouseError):
        return meaning(getattr(error, "code", None), " ".join(str(error).split()))
    return StoreBusy("disk", f"{error}")  # the driver's temporary file, before the engine has seen it


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what led to it, as far as it is of this call.

    A caller that tries again while it handles the last failure has that one in the chain too.
    """
    while error is not None and not isinstance(error, LlmtracedError):
        yield error
        reason = getattr(error, "reason", None)  # urllib3 keeps the cause of its last retry here
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__


@cache
def _wire_type(declared: str) -> ClickHouseType:
    """Return the type that values of a column are sent as; the engine converts to the column's own.

    Dictionaries of LowCardinality are left to the engine, which builds them faster. Times go as
    microseconds, whatever precision the table keeps.
    """
    for wrapper in ("LowCardinality(", "SimpleAggregateFunction("):
        if declared.startswith(wrapper):
            declared = declared[len(wrapper) : -1].split(", ")[-1]
    if declared.startswith("DateTime"):
        declared = "DateTime64(6, 'UTC')"
    return get_from_name(declared)


def _native_block(
    names: Sequence[str], types: Sequence[ClickHouseType], rows: Sequence[Sequence[object]]
) -> bytearray:
    """Return the rows as one block of ClickHouse's Native format.

    Written here and not by the driver's own insert, because that one cuts blocks of 1 to 2 MB, puts
    the encoding on the far side of the connection, and loads pandas (80 MB) where it is installed
    to look whether the rows are its own.
    """
    out = bytearray()
    _append_number(out, len(names))
    _append_number(out, len(rows))
    context = InsertContext("", names, types)
    for name, kind, values in zip(names, types, zip(*rows, strict=True), strict=True):
        for text in (name.encode(), kind.insert_name.encode()):
            _append_number(out, len(text))
            out += text
        context.start_column(name)
        try:
            kind.write_column(values, out, context)
        except Exception as error:  # the encoders raise whatever a value makes them raise
            raise BatchRejected(0, f"column {name}: {error!r}") from error
    return out


class _SentOnce:
    """A body that cannot be sent again: the driver replays what it can when a connection is cut."""

    def __init__(self, blocks: Sequence[Buffer]) -> None:
        self._blocks: Iterator[Buffer] | None = iter(blocks)

    def __iter__(self) -> Iterator[Buffer]:
        if self._blocks is None:
            raise ConnectionResetError("a batch is not sent twice without asking")
        blocks, self._blocks = self._blocks, None
        return blocks


def _append_number(out: bytearray, number: int) -> None:
    """Append an unsigned LEB128, the length prefix of the Native format."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _slices(values: list[str], length: int) -> Iterator[list[str]]:
    for start in range(0, len(values), length):
        yield values[start : start + length]
