"""Two stores behind one spool: each has each record once, and neither waits for the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from llmledgerd.importing.dead_letters import replay
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from tests.helpers import admin
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line
from tests.helpers.postgres import PostgresServer, query
from tests.helpers.session import Session
from tests.helpers.two_stores import TwoStores, running_two_stores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

BOTH = ("clickhouse", "postgres")


@pytest.fixture
def two(
    engine: Engine, server_url: str, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> Iterator[TwoStores]:
    without_faults()
    with running_two_stores(engine, postgres_server, (server_url, postgres_url), tmp_path) as running:
        yield running


def send(two: TwoStores, name: str, count: int) -> dict[str, int]:
    """Send records; return what each store has to say of them in the end."""
    two.daemon.send_one_way(b"".join(line(f"{name}-{number}", number) for number in range(count)))
    return {f"{name}-{number}": 1 for number in range(count)}


def test_each_store_has_each_record_once_and_the_spool_is_empty(two: TwoStores) -> None:
    sent = send(two, "a", 200)
    for store in BOTH:
        two.settled(store, 200)
        assert two.ids(store) == sent
    until(lambda: two.status()["spool_segments"] == 0)


def test_a_store_that_is_away_holds_up_nothing_of_the_other_and_gets_all_of_it_later(two: TwoStores) -> None:
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    sent: dict[str, int] = {}
    for number in range(5):
        sent |= send(two, f"a{number}", 20)
        two.settled("clickhouse", len(sent))
    waiting = two.of("postgres")
    assert waiting["in_spool"] == 100
    # Said by the look at the tables before the first insert, or by an insert, as the start went.
    assert waiting["trouble"].startswith(("missing table", "missing_table"))
    assert two.status()["store"] == ""
    assert "postgres, which is unavailable" in admin.get(two.daemon.folder / "admin.sock", "/readyz")[1]
    two.daemon.kill()
    two.daemon.start()
    assert two.of("clickhouse")["stored"] == 100, "it is not sent to ClickHouse again"
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    two.settled("postgres", 100)
    for store in BOTH:
        assert two.ids(store) == sent


def test_two_lines_with_one_id_are_two_rows_in_clickhouse_and_one_and_a_repeat_in_postgres(
    two: TwoStores,
) -> None:
    two.daemon.send_one_way(line("same", 1) + line("same", 2) + line("other", 3))
    assert two.settled("clickhouse", 3)["stored"] == 3
    until(lambda: two.of("postgres")["stored"] == 2)
    second = two.of("postgres")
    assert (second["control_lines"], second["counts"]["repeated"]) == (1, 1)
    assert two.ids("clickhouse") == {"same": 2, "other": 1}
    assert two.ids("postgres") == {"same": 1, "other": 1}


def test_a_row_that_one_store_refuses_is_a_dead_letter_of_that_store_alone(two: TwoStores) -> None:
    query(
        two.postgres_url, "ALTER TABLE provider_traces ADD CONSTRAINT no_poison CHECK (agent_id <> 'poison')"
    )
    poison = line("poison", 1, agent_id="poison")
    two.daemon.send_one_way(line("a-1", 1) + poison + b"no JSON\n" + line("a-2", 2))
    assert two.settled("clickhouse", 4)["dead_letters"] == 1
    assert two.settled("postgres", 4)["dead_letters"] == 2
    assert two.ids("clickhouse") == {"a-1": 1, "a-2": 1, "poison": 1}
    assert two.ids("postgres") == {"a-1": 1, "a-2": 1}
    letters = [(found.reason, found.store, found.line) for found in dead_letters.read(two.daemon.spool)]
    assert sorted(letters) == [
        ("not_json", "", "no JSON"),
        ("refused_by_store", "postgres", poison.decode().strip()),
    ]


def test_a_record_that_comes_late_replaces_its_abandoned_row_in_each_store(two: TwoStores) -> None:
    two.daemon.kill()
    two.daemon = two.another(orphan_grace_seconds=0.3)
    two.daemon.start()
    with Session(two.daemon.socket) as session:
        session.hello()
        session.send([b'{"protocol_version":4,"begin":{"provider_trace_id":"call"}}\n'])
        session.wait_durable(1)
    for store in BOTH:
        until(lambda store=store: two.outcomes(store) == [("call", "abandoned")], limit=30)  # type: ignore[misc]  # a default argument
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    two.daemon.send_one_way(line("call", 1))
    until(lambda: two.outcomes("clickhouse") == [("call", "ok")], limit=30)
    two.daemon.kill()  # what is late is remembered for the store that has not heard of it
    two.daemon.start()
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    until(lambda: two.outcomes("postgres") == [("call", "ok")], limit=30)
    for store in BOTH:
        assert two.losses(store) == {"sender_died": 0}


def test_a_spool_that_is_full_for_one_store_costs_that_store_its_oldest_and_nobody_else(
    two: TwoStores,
) -> None:
    two.daemon.kill()
    two.daemon = two.another(spool_max_bytes=300_000, batch_max_bytes=50_000)
    two.daemon.start()
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    sent: dict[str, int] = {}
    for number in range(30):
        payload = {"noise": "".join(f"{number * 7919 + n * n:x}" for n in range(4000))}
        two.daemon.send_one_way(line(f"a-{number}", number, request=payload))
        sent[f"a-{number}"] = 1
        two.settled("clickhouse", len(sent))
    until(lambda: two.of("postgres")["lost"] > 0)
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    second = two.settled("postgres", 30)
    assert two.ids("clickhouse") == sent
    assert (two.of("clickhouse")["lost"], second["stored"] + second["lost"]) == (0, 30)
    until(lambda: two.losses("postgres") == {"spool_full": second["lost"]}, limit=20)
    assert two.losses("clickhouse") == {}


def test_a_store_that_is_added_begins_at_now_and_one_that_is_removed_is_forgotten(two: TwoStores) -> None:
    two.daemon.kill()
    two.daemon = two.another(stores="clickhouse")
    two.daemon.start()
    first = send(two, "first", 10)
    two.settled("clickhouse", 10)
    two.daemon.kill()
    two.daemon = two.another()
    two.daemon.start()
    second = send(two, "second", 10)
    two.settled("postgres", 10)
    assert two.ids("postgres") == second
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    third = send(two, "third", 5)
    two.settled("clickhouse", 25)
    two.daemon.kill()
    two.daemon = two.another(stores="clickhouse")
    two.daemon.start()
    said = [entry for entry in two.daemon.log() if entry["event"].startswith("store ")]
    assert [(entry["store"], entry["level"]) for entry in said] == [
        ("postgres", "info"),
        ("postgres", "warning"),
    ]
    assert said[-1]["lines_not_stored_there"] == 5
    assert two.ids("clickhouse") == first | second | third
    assert two.status()["in_spool"] == 0


def test_a_backlog_that_no_store_has_goes_to_the_one_that_takes_its_place(two: TwoStores) -> None:
    two.daemon.kill()
    two.daemon = two.another(stores="clickhouse")
    two.table.run("RENAME TABLE llm_traces TO away")
    two.daemon.start()
    sent = send(two, "a", 30)
    until(lambda: two.of("clickhouse")["in_spool"] == 30)
    two.daemon.kill()
    two.daemon = two.another(stores="postgres")
    two.daemon.start()
    assert two.settled("postgres", 30)["stored"] == 30
    assert two.ids("postgres") == sent


def has_segments(two: TwoStores, count: int) -> bool:
    return bool(two.status()["spool_segments"] >= count)


def test_a_letter_that_is_replayed_while_both_stores_are_away_is_one_row_in_each(two: TwoStores) -> None:
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    two.engine.fault("error", times=1000, only="INSERT INTO llm_traces ", code=202)
    body = line("a-1", 1).rstrip(b"\n")
    letter = DeadLetter(id="a-1:0", reason="any", received_us=0, size=len(body))
    for number in range(1, 4):
        replay(two.daemon.socket, [dead_letters.with_line(letter, body)])
        until(partial(has_segments, two, number))
    two.engine.release()
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    until(lambda: two.status()["spool_segments"] == 0, limit=40)
    for store in BOTH:
        assert two.ids(store) == {"a-1": 1}
        assert two.of(store)["stored"] == 1
