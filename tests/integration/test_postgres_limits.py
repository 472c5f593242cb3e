"""Every wait on PostgreSQL ends: silence, locks, a slow wire, and a server that is behind a pooler."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.postgres.connections import Connections
from llmledgerd.stores.postgres.migrations import apply
from llmledgerd.stores.postgres.sink import Postgres
from tests.helpers.postgres import PostgresServer, fresh_postgres_database, query, running_postgres
from tests.helpers.postgres_proxy import running_postgres_proxy
from tests.helpers.waiting import until
from tests.integration.test_copy import row

AT_US = 1_750_000_000_000_000
OURS = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'llmledgerd' AND datname = current_database()"


@pytest.fixture
def store(postgres_url: str) -> Iterator[Postgres]:
    with contextlib.closing(Postgres(postgres_url, timeout_seconds=1)) as opened:
        apply(opened)
        yield opened


def offer(store: Postgres, batch: str, *places: int, size: int = 0) -> set[int]:
    rows = [row(batch, place, AT_US) for place in places]
    at = COLUMNS.index("request_json")
    rows = [(*one[:at], b"x" * size or one[at], *one[at + 1 :]) for one in rows]
    blocks = [store.encode(TRACES, COLUMNS, [one]) for one in rows]
    return store.insert_blocks(TRACES, COLUMNS, blocks, "t")


def go_silent_before(connections: Connections, server: PostgresServer, step: str) -> None:
    """Run a transaction, in which the server stops before a step."""
    with connections.transaction() as link:
        link.query(sql.SQL("SELECT 1"))
        server.freeze()
        if step == "commit":
            link.commit()


@pytest.mark.parametrize("step", ["begin", "rollback", "commit"])
def test_no_step_waits_longer_than_its_limit_for_a_server_that_says_nothing(step: str) -> None:
    with (
        running_postgres() as server,
        fresh_postgres_database(server.address) as url,
        contextlib.closing(Connections(url, timeout_seconds=0.5)) as connections,
    ):
        with connections.transaction() as link:
            link.query(sql.SQL("SELECT 1"))
        if step == "begin":
            server.freeze()
        with pytest.raises(StoreBusy) as caught:
            go_silent_before(connections, server, step)
        assert caught.value.kind == "timeout"
        server.thaw()


def test_what_waits_on_a_connection_ends_when_the_connections_are_closed(postgres_url: str) -> None:
    connections = Connections(postgres_url, timeout_seconds=3600)
    failed: list[LlmledgerdError] = []

    def wait() -> None:
        try:
            with connections.transaction() as link:
                link.query(sql.SQL("SELECT pg_sleep(3600)"))
        except LlmledgerdError as error:
            failed.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    until(lambda: query(postgres_url, OURS + " AND query LIKE '%pg_sleep%'")[0]["n"])
    connections.close()
    thread.join(20)
    assert len(failed) == 1
    with pytest.raises(StoreBusy), connections.transaction():
        pass


def test_no_server_process_is_left_by_attempts_at_a_table_that_somebody_has_locked(
    store: Postgres, postgres_url: str
) -> None:
    batch = str(uuid.uuid4())
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE provider_traces IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            with pytest.raises(StoreBusy) as caught:
                offer(store, batch, 1)
            assert caught.value.kind in {"locked", "timeout"}
        until(lambda: query(postgres_url, OURS)[0]["n"] == 0)
    assert offer(store, batch, 1) == set()


def sleep_without_the_servers_limit(connections: Connections) -> None:
    with connections.transaction() as link:
        link.query(sql.SQL("SELECT set_config('statement_timeout', '0', true)"))
        link.query(sql.SQL("SELECT pg_sleep(3600)"))


def test_a_statement_that_the_server_does_not_end_by_itself_is_cancelled_before_the_socket_is_cut(
    postgres_url: str,
) -> None:
    with contextlib.closing(Connections(postgres_url, timeout_seconds=0.2)) as connections:
        with pytest.raises(StoreBusy) as caught:
            sleep_without_the_servers_limit(connections)
        assert caught.value.kind == "timeout"
        until(lambda: query(postgres_url, OURS)[0]["n"] == 0)


def test_a_slow_wire_delivers_what_takes_many_times_the_limit(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with contextlib.closing(Postgres(postgres_url)) as straight:
        apply(straight)
    batch = str(uuid.uuid4())
    with running_postgres_proxy(postgres_server.port) as proxy:
        url = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        proxy.bytes_per_second = 300_000
        with contextlib.closing(Postgres(url, timeout_seconds=0.4)) as store:
            began = time.monotonic()
            assert offer(store, batch, *range(12), size=200_000) == set()
            assert time.monotonic() - began > 2 * (0.4 + 2), "the wire was not slow"
            assert store.landed_rows(TRACES, batch, AT_US, AT_US) == set(range(12))


def test_a_password_file_that_is_not_utf_8_is_refused_by_its_name(postgres_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(b"caf\xe9\n")
    with pytest.raises(ConfigError, match=r"postgres\.password_file: .*/password: not UTF-8"):
        Postgres(postgres_url, password_file=str(secret))
    secret.write_text("right")
    with contextlib.closing(Postgres(postgres_url, password_file=str(secret))) as store:
        secret.write_bytes(b"caf\xe9\n")
        with pytest.raises(StoreBusy, match="not UTF-8") as caught:
            store.version()
    assert caught.value.kind == "authentication"


def test_each_transaction_of_a_connection_waits_for_the_disk(postgres_url: str) -> None:
    query(postgres_url, f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    with contextlib.closing(Connections(postgres_url)) as connections:
        for _ in range(3):
            with connections.transaction() as link:
                assert link.query(sql.SQL("SHOW synchronous_commit")) == [{"synchronous_commit": "on"}]
                link.run(sql.SQL("DISCARD PLANS"))
                link.commit()
            # What a pooler gives to the next transaction is a session without our settings.
            raw = connections._idle[0]
            assert raw.execute("SHOW synchronous_commit").fetchall() == [{"synchronous_commit": "off"}]
            raw.rollback()
