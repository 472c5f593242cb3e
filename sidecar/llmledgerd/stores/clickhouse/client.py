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
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import clickhouse_connect
import msgspec
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver import options as driver_options
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.insert import InsertContext
from urllib3 import exceptions as transport

from llmledgerd.config.options import InsertMode
from llmledgerd.config.store_url import Target, locked_by, targets
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.stores.clickhouse.engine_text import plain
from llmledgerd.stores.clickhouse.error_codes import settled, translate
from llmledgerd.stores.clickhouse.failover import Addresses
from llmledgerd.stores.clickhouse.insert_settings import insert_settings
from llmledgerd.stores.clickhouse.native_format import native_block, native_pieces, wire_type
from llmledgerd.stores.clickhouse.topology import Placement, placement
from llmledgerd.system.folders import make_folder
from llmledgerd.system.permissions import refusal

# Its encoders look for numpy and pandas at their first use, to see whether values are theirs, and load
# them where they are installed: 40 MB and more. None is the driver's own sign that there are none.
driver_options.np = driver_options.pd = driver_options.pd_time_test = None
# The driver warns of every failed request, in its own words, besides raising; one report is enough.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

Buffer = bytes | bytearray | memoryview

CONNECT_SECONDS = 10
"""How long one attempt to connect may take; shorter where an insert may take less."""

AWAY = {"unreachable", "network", "timeout"}
"""Kinds of trouble after which any call does better at another address."""


class Store:
    """One ClickHouse database, behind one or several addresses. Safe to share between threads.

    ``at`` is an address by its number; without it a call goes to the one in turn, and where that
    cannot be reached, to the next.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 60.0,
        settings: Mapping[str, Any] | None = None,
        insert_mode: InsertMode = "sync",
    ) -> None:
        """Remember where the store is; nothing is opened before the first call.

        ``timeout_seconds`` is how long a server may keep a call waiting between two bytes;
        ``settings`` of ClickHouse go with every statement, beside those of the URL, which they
        override. Raises ConfigError for a URL that no store can have.
        """
        self._targets = targets(url, settings or {})
        self._timeout = max(1, math.ceil(timeout_seconds))
        # The embedded engine has one writer, and no queue in which inserts could meet.
        self.insert_mode: InsertMode = "sync" if self.is_embedded else insert_mode
        self.addresses = Addresses(len(self._targets))
        self._idle: list[deque[Client]] = [deque() for _ in self._targets]
        self._types: dict[str, dict[str, str]] = {}
        self._placements: dict[str, Placement] = {}
        self._closed = False

    @property
    def is_embedded(self) -> bool:
        """Whether the engine runs in this process, and is ours to migrate."""
        return self._targets[0].path is not None

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL from now on; calls that are under way end as they are."""
        given = targets(url, {})[0]  # all addresses share them
        self._targets = [
            msgspec.structs.replace(target, user=given.user, password=given.password)
            for target in self._targets
        ]
        self._let_go()

    def close(self) -> None:
        """Let go of every connection; the embedded engine ends with its last one."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        for idle in self._idle:
            with contextlib.suppress(IndexError):  # empty, also where another thread took the last one
                while True:
                    idle.popleft().close()

    def placement(self, table: str) -> Placement:
        """Return where the rows of a table lie. Raises StoreBusy where there is no such table."""
        if table not in self._placements:
            rows = self.query(
                "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
                {"table": table},
            )
            if not rows:
                raise _missing_table(table)
            self._placements[table] = placement(table, rows[0]["engine_full"])
        return self._placements[table]

    def apart(self, table: str) -> Sequence[int | None]:
        """Return the addresses that may have rows of the table which no other has.

        What concerns every row has to be said or asked at each. Replicas are one: any address does.
        """
        if len(self._targets) == 1 or self.placement(table).is_replicated:
            return [None]
        return self.addresses.in_turn()

    def version(self) -> str:
        """Return the version of the server, by asking it."""
        return str(self.query("SELECT version() AS version")[0]["version"])

    def create_database(self, on_cluster: str = "") -> None:
        """Create the database that the URL names, where it is missing; ``on_cluster`` on all its hosts."""
        target = self._targets[self.addresses.current]
        try:
            self.version()
        except StoreBusy as error:
            if error.kind != "missing_table" or target.database is None:
                raise
        else:
            if not on_cluster:
                return
        statement = f"CREATE DATABASE IF NOT EXISTS {_identifier(target.database or 'default')} {on_cluster}"
        with (
            contextlib.closing(self._connect(target, database=None)) as client,
            _translated(target.address, writes=False),
        ):
            client.command(statement, use_database=False)

    def run(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        at: int | None = None,
    ) -> None:
        """Run a statement that returns nothing: DDL, or one that moves rows within the store.

        Settings that the server does not know are left out.
        """
        with self._client(at) as client:
            known = {k: v for k, v in (settings or {}).items() if k in client.server_settings}
            client.command(statement, parameters=dict(parameters or {}), settings=known)
        self._types.clear()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        raw: Collection[str] = (),
        at: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a query, each as a dictionary by column.

        Values enter as ``{name:Type}`` parameters, bound by the engine. The columns named in
        ``raw`` come back as bytes, since payloads need not be UTF-8. Times come back aware, in UTC.
        """
        with self._client(at) as client:
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
            return client.raw_query(f"EXPLAIN {sql}", fmt="TabSeparated").decode(errors="replace").split("\n")

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
        types = self._column_types(table, columns)
        return native_block(columns, types, rows, InsertContext("", columns, types))

    def encode_in_pieces(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> list[Buffer]:
        """Return the same as pieces for ``insert_blocks``, which refer to large values; these may be views."""
        types = self._column_types(table, columns)
        return native_pieces(columns, types, rows, InsertContext("", columns, types))

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], token: str
    ) -> None:
        """Encode the rows and insert them; see ``insert_blocks``."""
        if rows:
            self.insert_blocks(table, columns, [self.encode(table, columns, rows)], token)

    def insert_blocks(
        self,
        table: str,
        columns: Sequence[str],
        blocks: Sequence[Buffer],
        token: str,
        *,
        at: int | None = None,
    ) -> None:
        """Insert encoded blocks, which the engine joins to one, under the deduplication token.

        Returns when the server has answered that all is stored.
        """
        try:
            with self._client(at, writes=True) as client:
                of_url = self._targets[0].settings  # all addresses share them
                settings = insert_settings(self.insert_mode, token, of_url, client.server_settings)
                body = cast("Generator[bytes, None, None]", _SentOnce(blocks))
                # With a length the blocks go out as they are; as chunks each would be copied first.
                length = {} if self.is_embedded else {"Content-Length": str(sum(map(len, blocks)))}
                client.raw_insert(
                    table, columns, body, settings=settings, fmt="Native", transport_settings=length
                )
        except LlmledgerdError:
            self._types.pop(table, None)
            raise

    def _column_types(self, table: str, columns: Sequence[str]) -> list[ClickHouseType]:
        """Return how to encode each column. The table is asked once, not for every insert."""
        types = self._types.get(table)
        if types is None:
            types = self.columns(table)
            if not types:
                raise _missing_table(table)
            self._types[table] = types
        missing = [name for name in columns if name not in types]
        if missing:
            del self._types[table]  # somebody may be migrating at this moment
            raise StoreBusy("missing_column", f"{table} lacks {', '.join(missing)}; run `llmledgerd migrate`")
        return [_column_type(types[name]) for name in columns]

    @contextlib.contextmanager
    def _client(self, at: int | None = None, *, writes: bool = False) -> Iterator[Client]:
        """Lend a client to one call, and drop it where the call failed: its server may be another now."""
        targets = self._targets
        number, client = self._reached() if at is None else (at, self._opened(at))
        try:
            with _translated(targets[number].address, writes=writes):
                yield client
        except LlmledgerdError as error:
            client.close()
            if isinstance(error, StoreBusy) and (writes or error.kind in AWAY):
                self.addresses.failed(number)
            raise
        if self._closed or targets is not self._targets:
            client.close()
        else:
            self._idle[number].append(client)

    def _reached(self) -> tuple[int, Client]:
        """Return a client of the first address in turn that can be reached."""
        *others, last = self.addresses.in_turn()
        for number in others:
            with contextlib.suppress(StoreBusy):
                return number, self._opened(number)
        return last, self._opened(last)

    def _opened(self, number: int) -> Client:
        try:
            return self._idle[number].pop()
        except IndexError:
            target = self._targets[number]
        try:
            return self._connect(target, target.database)
        except StoreBusy:
            self.addresses.failed(number)
            raise

    def _connect(self, target: Target, database: str | None) -> Client:
        """Return a new client; whatever fails here, no statement of the caller has been sent."""
        path = target.path
        owner = locked_by(path) if path is not None else ""
        if owner:  # asked first, because the engine would say so on standard error alone
            raise ConfigError(
                f"{path} is open in {owner}; one process at a time can open an embedded store:"
                " stop that one, or read through the daemon's admin address"
            )
        refused = refusal(path, writes=True) if path is not None else ""
        if refused:
            raise ConfigError(refused)
        try:
            return _open(target, database, self._timeout)
        except (ClickHouseError, transport.HTTPError, OSError) as error:
            if path is not None:
                raise ConfigError(f"cannot open the store {path}: {plain(str(error))}") from error
            raise settled(translate(target.address, error, ClickHouseError)) from error


def _missing_table(table: str) -> StoreBusy:
    return StoreBusy("missing_table", f"missing table {table}; run `llmledgerd migrate`")


def _open(target: Target, database: str | None, timeout: int) -> Client:
    if target.path is not None:
        make_folder(Path(target.path))
        return clickhouse_connect.get_client(
            interface="chdb",
            path=target.path,
            database=database,
            settings=dict(target.settings),
            show_clickhouse_errors="scrub",
        )
    client = clickhouse_connect.get_client(
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
    # Its second try would take up the body where the first, refused, had left it, and hide the refusal.
    cast("HttpClient", client).http_retries = 0
    return client


@contextlib.contextmanager
def _translated(address: str, *, writes: bool) -> Iterator[None]:
    """Raise what the driver's exceptions mean. A call that ``writes`` no rows leaves nothing unknown."""
    try:
        yield
    except (ClickHouseError, transport.HTTPError, OSError) as error:
        found = translate(address, error, ClickHouseError)
        raise (found if writes else settled(found)) from error


@cache
def _column_type(declared: str) -> ClickHouseType:
    return get_from_name(wire_type(declared))


class _SentOnce:
    """A body that cannot be sent again: the driver replays what it can when a connection is cut."""

    def __init__(self, blocks: Sequence[Buffer]) -> None:
        self._blocks: Iterator[Buffer] | None = iter(blocks)

    def __iter__(self) -> Iterator[Buffer]:
        if self._blocks is None:
            raise ConnectionResetError("a batch is not sent again without a check")
        blocks, self._blocks = self._blocks, None
        return blocks


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
