"""A PostgreSQL that says nothing, is locked, or stands behind a pooler: the books hold."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from tests.chaos.postgres.books import balance
from tests.chaos.postgres.stage import restart, says_why, send
from tests.helpers.object_storage import Folder
from tests.helpers.pgbouncer import SERVER_PROCESSES, running_pgbouncer
from tests.helpers.postgres import query
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

OURS = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'llmledgerd'"
SEEN = """
CREATE TABLE seen (setting text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT ON provider_traces FOR EACH STATEMENT EXECUTE FUNCTION see()
"""


def test_silence_is_told_and_ends_with_the_server(two: TwoStores, storage: Folder) -> None:
    send(two, "a", 5)
    two.settled("postgres", 5)
    two.server.freeze()
    send(two, "b", 5)
    until(lambda: says_why(two, "timeout"), limit=60)
    two.settled("clickhouse", 10)
    two.server.thaw()
    two.settled("postgres", 10)
    balance(two, storage)


def test_a_daemon_that_is_told_to_stop_does_not_wait_for_the_limit_of_a_silent_server(
    two: TwoStores, storage: Folder
) -> None:
    restart(two, insert_timeout_seconds=3600)
    send(two, "a", 5)
    two.settled("postgres", 5)
    two.server.freeze()
    send(two, "b", 5)
    until(lambda: two.of("postgres")["inserts_in_flight"])
    assert two.daemon.terminate() == 0
    two.server.thaw()
    two.daemon.start()
    two.settled("postgres", 10)
    balance(two, storage)


def test_a_locked_table_costs_no_server_process(two: TwoStores, storage: Folder) -> None:
    restart(two, insert_timeout_seconds=0.5)
    with psycopg.connect(two.postgres_url) as other:
        other.execute("LOCK TABLE provider_traces IN ACCESS EXCLUSIVE MODE")
        send(two, "a", 5)
        until(lambda: sum(two.of("postgres")["retries"].values()) >= 8, limit=60)
        until(lambda: int(str(query(two.postgres_url, OURS)[0]["n"])) <= 3)
    two.settled("postgres", 5)
    balance(two, storage)


def test_each_insert_behind_a_pooler_waits_for_the_disk(two: TwoStores, storage: Folder) -> None:
    query(
        two.postgres_url, f"ALTER DATABASE {two.postgres_url.rpartition('/')[2]} SET synchronous_commit = off"
    )
    query(two.postgres_url, SEEN)
    with running_pgbouncer(two.server, two.postgres_url) as url:
        with contextlib.ExitStack() as others:
            for _ in range(
                SERVER_PROCESSES
            ):  # one after another serves the daemon's transactions from now on
                others.enter_context(psycopg.connect(url)).execute("SELECT 1")
        restart(two, postgres_url=url)
        for number in range(20):
            send(two, f"a{number}", 2)
            two.settled("postgres", 2 * number + 2)
        balance(two, storage)
    assert query(two.postgres_url, "SELECT DISTINCT setting FROM seen") == [{"setting": "on"}]
