"""Client of one ClickHouse database, embedded or on a server.

Invariants:
- This module raises StoreBusy (nothing of the batch was stored), OutcomeUnknown (query the table before a
  repeat), BatchRejected (the rows are invalid) or ConfigError, never an exception of the driver.
- One call of ``insert`` sends one block under one deduplication token, and sends it once: the
  driver's own retries are disabled, since the caller must query the table before a repeat.
- ``chdb:///path`` and ``http(s)://`` use the same methods of the driver.

Calls block; worker threads make them. Each call takes its own client from a pool, so that a slow query
delays no insert: two calls on one handle of the embedded engine would run one after the other.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from llmledgerd.errors import LlmledgerdError, StoreBusy
from llmledgerd.stores.clickhouse import server_identity
from llmledgerd.stores.clickhouse.compression import Buffer, compressed, is_compressed
from llmledgerd.stores.clickhouse.connecting import connect, translated
from llmledgerd.stores.clickhouse.failover import Addresses
from llmledgerd.stores.clickhouse.insert_settings import insert_settings
from llmledgerd.stores.clickhouse.native_format import native_block, native_pieces
from llmledgerd.stores.clickhouse.options import Compression, InsertMode
from llmledgerd.stores.clickhouse.sent_settings import Declared, changeable, sendable
from llmledgerd.stores.clickhouse.topology import DDL_SETTINGS, Placement, placement
from llmledgerd.stores.clickhouse.url import targets

if TYPE_CHECKING:
    from clickhouse_connect.datatypes.base import ClickHouseType
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.insert import InsertContext

UNREADABLE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
"""What the driver's decoders were seen to raise, or may, for values that they cannot make."""

UNAVAILABLE = {"unreachable", "network", "timeout"}
"""Kinds of StoreBusy after which any call is tried at another address."""


class Store:
    """One ClickHouse database, behind one or several addresses. Safe to share between threads.

    ``at`` is the number of an address; without it a call goes to the current address, and to the next if
    that one is unreachable.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 60.0,
        settings: Mapping[str, Any] | None = None,
        insert_mode: InsertMode = "sync",
        compression: Compression = "auto",
    ) -> None:
        """Parse the URL; no connection is made before the first call.

        ``timeout_seconds`` is how long a server may keep a call waiting between two bytes;
        ``settings`` of ClickHouse are sent with every statement and override those of the URL.
        Raises ConfigError for an invalid URL.
        """
        self._targets = targets(url, settings or {})
        self._timeout = max(1, math.ceil(timeout_seconds))
        # The embedded engine has one writer, and no queue in which inserts could meet.
        self.insert_mode: InsertMode = "sync" if self.is_embedded else insert_mode
        self._compresses = is_compressed(compression, self._targets)
        self.addresses = Addresses(len(self._targets))
        self._idle: list[deque[Client]] = [deque() for _ in self._targets]
        self._types: dict[str, dict[str, str]] = {}
        self._placements: dict[str, Placement] = {}
        self._servers = server_identity.Servers()
        self._closed = False
        self.inserts = 0
        """Inserts so far, whatever came of them."""

    @property
    def is_embedded(self) -> bool:
        """Whether the engine runs in this process, so that no other process can migrate it."""
        return self._targets[0].path is not None

    @property
    def settings_of_url(self) -> Mapping[str, str]:
        """Settings that go with every statement."""
        return self._targets[0].settings  # all addresses share them

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL for new calls; running calls keep their connection."""
        given = targets(url, {})[0]  # all addresses share them
        self._targets = [
            msgspec.structs.replace(target, user=given.user, password=given.password)
            for target in self._targets
        ]
        self._close_idle()

    def close(self) -> None:
        """Close every connection; the embedded engine stops with its last one."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        for idle in self._idle:
            with contextlib.suppress(IndexError):  # empty, also where another thread took the last one
                while True:
                    idle.popleft().close()

    def placement(self, table: str) -> Placement:
        """Return the placement of a table's rows. Raises StoreBusy if the table is missing."""
        if table not in self._placements:
            rows = self.query(
                "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
                {"table": table},
            )
            if not rows:
                raise _missing_table(table)
            self._placements[table] = placement(table, rows[0]["engine_full"])
        return self._placements[table]

    def independent_addresses(self, table: str) -> Sequence[int | None]:
        """Return the addresses that may have rows of the table which no other address has.

        A statement over all rows has to run at each of them. Replicas count as one: None is any address.
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
            contextlib.closing(connect(target, None, self._timeout)) as client,
            translated(target.address, writes=False),
        ):
            settings = sendable(DDL_SETTINGS if on_cluster else {}, client.server_settings)
            client.command(statement, settings=settings, use_database=False)

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
            chosen = sendable(settings or {}, client.server_settings)
            client.command(statement, parameters=dict(parameters or {}), settings=chosen)
        self._types.clear()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        raw: Collection[str] = (),
        settings: Mapping[str, Any] | None = None,
        hints: Mapping[str, Any] | None = None,
        at: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a query, each as a dictionary by column.

        Values enter as ``{name:Type}`` parameters, bound by the engine. The columns named in
        ``raw`` come back as bytes, since payloads need not be UTF-8. Times come back aware, in UTC.
        Settings that the server does not know are left out. ``hints`` are settings for speed alone, which are
        also left out where the user may not change them.
        """
        with self._client(at) as client:
            chosen = sendable(settings or {}, client.server_settings)
            chosen.update(changeable(hints or {}, client.server_settings))
            result = client.query(
                sql,
                parameters=dict(parameters or {}),
                settings=chosen,
                column_formats=dict.fromkeys(raw, "bytes"),
                tz_mode="aware",
            )
            return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def table(self, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Return names and rows of a query whose columns may share a name.

        Raises ValueError for values that the driver cannot make: of some types, or out of Python's range.
        """
        with self._client() as client:
            from llmledgerd.stores.clickhouse.driver import NotSupportedError

            try:
                result = client.query(sql, tz_mode="aware")
                return result.column_names, result.result_rows
            except RecursionError:
                raise ValueError("the answer is nested too deeply") from None
            except (NotSupportedError, *UNREADABLE) as error:
                raise ValueError(f"the answer has a value that cannot be returned: {error}") from error

    def explain(self, sql: str) -> list[str]:
        """Return the lines of an EXPLAIN, whose FORMAT clause would be the explained statement's."""
        return self.text(f"EXPLAIN {sql}").split("\n")

    def text(self, statement: str) -> str:
        """Return the answer of a statement that the driver does not know as a query."""
        with self._client() as client:
            return client.raw_query(statement, fmt="TabSeparated").decode(errors="replace")

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
        types, context = self._encoding(table, columns)
        return native_block(columns, types, rows, context)

    def encode_in_pieces(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> list[Buffer]:
        """Return the same as pieces for ``insert_blocks``, which refer to large values; these may be views."""
        types, context = self._encoding(table, columns)
        return native_pieces(columns, types, rows, context)

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
        self.inserts += 1
        body = compressed(blocks) if self._compresses else blocks
        # With a length the blocks go out as they are; as chunks each would be copied first.
        headers = {} if self.is_embedded else {"Content-Length": str(sum(map(len, body)))}
        if self._compresses:
            headers["Content-Encoding"] = "zstd"
        try:
            with self._client(at, writes=True) as client:
                settings = insert_settings(
                    self.insert_mode, token, self.settings_of_url, client.server_settings
                )
                # The embedded engine's backend writes pieces to a file, and knows no views.
                pieces = map(bytes, body) if self.is_embedded else body
                sent = cast("Generator[bytes, None, None]", _SentOnce(pieces))
                client.raw_insert(
                    table, columns, sent, settings=settings, fmt="Native", transport_settings=headers
                )
        except LlmledgerdError:
            self._types.pop(table, None)
            raise

    def _encoding(self, table: str, columns: Sequence[str]) -> tuple[list[ClickHouseType], InsertContext]:
        """Return how to encode each column. The table is asked once, not for every insert."""
        from llmledgerd.stores.clickhouse.driver import InsertContext, column_type

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
        encoders = [column_type(types[name]) for name in columns]
        return encoders, InsertContext("", columns, encoders)

    @contextlib.contextmanager
    def _client(self, at: int | None = None, *, writes: bool = False) -> Iterator[Client]:
        """Lend a client to one call, and drop it where the call failed: its server may be another now."""
        targets = self._targets
        number, client = self._reached() if at is None else (at, self._opened(at))
        try:
            with translated(targets[number].address, writes=writes):
                yield client
        except LlmledgerdError as error:
            client.close()
            if isinstance(error, StoreBusy) and (writes or error.kind in UNAVAILABLE):
                self.addresses.failed(number)
            raise
        except BaseException:
            client.close()  # an answer may be half read
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
            client = connect(target, target.database, self._timeout)
        except StoreBusy:
            self.addresses.failed(number)
            raise
        try:
            self._meet(number, client)
        except LlmledgerdError:
            client.close()
            raise
        return client

    def _meet(self, number: int, client: Client) -> None:
        """Ask a new connection which server it leads to. Raises StoreBusy for another one than before."""
        if not self.is_embedded:
            with translated(self._targets[number].address, writes=False):
                result = client.query(server_identity.QUERY)
            row = dict(zip(result.column_names, result.result_rows[0], strict=True))
            self._servers.met(number, server_identity.server(row))

    def meet_servers(self, at: int) -> None:
        """Open several connections to an address. Raises StoreBusy where they lead to several servers."""
        for _ in range(0 if self.is_embedded else server_identity.TRIES):
            target = self._targets[at]
            with contextlib.closing(connect(target, target.database, self._timeout)) as client:
                self._meet(at, client)
                self._meet(at, client)  # a balancer may choose a server for each request

    def declared_settings(self) -> Mapping[str, Declared]:
        """Return the settings of this user, by name."""
        with self._client() as client:
            return client.server_settings


def _missing_table(table: str) -> StoreBusy:
    return StoreBusy("missing_table", f"missing table {table}; run `llmledgerd migrate`")


class _SentOnce:
    """A body that cannot be sent again: the driver replays what it can when a connection is cut."""

    def __init__(self, blocks: Iterable[Buffer]) -> None:
        self._blocks: Iterator[Buffer] | None = iter(blocks)

    def __iter__(self) -> Iterator[Buffer]:
        if self._blocks is None:
            raise ConnectionResetError("a batch is not sent again without a check")
        blocks, self._blocks = self._blocks, None
        return blocks


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
