"""Exactly once, whatever dies: one scene for each way in which a record could be lost or repeated.

Each test takes the scene as its only argument, because ``tests/chaos/test_mutants.py`` runs the same
scenes against daemons that are broken on purpose, and wants to see them fail.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from llmledger import TraceClient
from llmledgerd.importing.dead_letters import replay
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from llmledgerd.stores.clickhouse import migrations
from tests.helpers.daemon import ROOT
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.migrated_databases import LAYOUT
from tests.helpers.scene import INSERT, Scene, running_scene
from tests.helpers.session import Session
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

SHORT_GRACE = {"orphan_grace_seconds": 0.6}
NO_MEMORY = {"session_memory_seconds": 0}
SLOW_GROUPS = {"group_interval_ms": 1000}
"""So slow that a test can act between the arrival of a line and its sync."""


@pytest.fixture
def scene(request: pytest.FixtureRequest, engine: Engine, server_url: str, tmp_path: Path) -> Iterator[Scene]:
    without_faults()
    settings = getattr(request, "param", None)
    with running_scene(engine, server_url, tmp_path, settings=settings) as running:
        yield running


def lines(name: str, first: int, last: int) -> list[bytes]:
    """Return records whose ids tell which line of a session each is."""
    return [line(f"{name}-{number}", number) for number in range(first, last + 1)]


def once(name: str, first: int, last: int) -> dict[str, int]:
    """What the table has to say of these lines."""
    return {f"{name}-{number}": 1 for number in range(first, last + 1)}


# -- the store's answer is lost ----------------------------------------------------------------


def test_an_insert_whose_answer_was_cut_off_is_not_repeated(scene: Scene) -> None:
    scene.engine.fault("commit_then_cut", only=INSERT)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 50)))
    scene.settled(50)
    scene.bitten("commit_then_cut")
    scene.holds(once("a", 1, 50))


def test_an_insert_that_ended_in_a_500_after_its_commit_is_not_repeated(scene: Scene) -> None:
    scene.engine.fault("commit_then_status", only=INSERT)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 50)))
    scene.settled(50)
    scene.bitten("commit_then_status")
    scene.holds(once("a", 1, 50))


def test_an_insert_whose_answer_was_lost_is_not_repeated_when_the_window_has_passed(scene: Scene) -> None:
    scene.forget_inserts()
    scene.engine.fault("commit_then_stall", only=INSERT)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 20)))
    scene.bitten("commit_then_stall")  # the daemon waits for its answer, for a second
    scene.others(4)
    scene.settled(20)
    scene.holds(once("a", 1, 20) | once("other", 1, 4))


def test_an_insert_that_the_daemon_did_not_live_to_hear_of_is_not_repeated(scene: Scene) -> None:
    scene.forget_inserts()
    scene.engine.fault("commit_then_stall", only=INSERT)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 20)))
    scene.bitten("commit_then_stall")
    scene.daemon.kill()
    scene.others(4)
    scene.engine.release()
    scene.daemon.start()
    scene.settled(20)
    scene.holds(once("a", 1, 20) | once("other", 1, 4))


def test_a_daemon_killed_before_its_insert_was_run_inserts_it_after_its_restart(scene: Scene) -> None:
    scene.engine.fault("error", times=1000, only=INSERT, code=202)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 20)))
    scene.bitten("error")
    scene.daemon.kill()
    scene.engine.release()
    scene.holds({})
    scene.daemon.start()
    scene.settled(20)
    scene.holds(once("a", 1, 20))


def test_an_insert_that_the_server_runs_long_after_its_time_out_is_not_repeated(scene: Scene) -> None:
    scene.engine.fault("stall", only=INSERT)
    scene.daemon.send_one_way(b"".join(lines("a", 1, 20)))
    scene.settled(20)  # by a second insert: the table was asked, and had nothing
    scene.engine.release()
    scene.bitten("ran_late")
    scene.holds(once("a", 1, 20))


# -- the store refuses, or is not there --------------------------------------------------------


def test_the_one_bad_row_of_a_segment_is_a_dead_letter_and_the_others_land(scene: Scene) -> None:
    scene.table.run("ALTER TABLE llm_traces ADD CONSTRAINT no_poison CHECK agent_id != 'poison'")
    sent = lines("a", 1, 60)
    sent[16] = line("bad-1", 17, agent_id="poison")
    sent[41] = line("bad-2", 42, agent_id="poison")
    scene.daemon.send_one_way(b"".join(sent))
    status = scene.settled(60)
    scene.holds({key: 1 for key in once("a", 1, 60) if key not in ("a-17", "a-42")})
    assert (status["stored"], status["dead_letters"]) == (58, 2)
    assert sorted((letter.reason, letter.line or "") for letter in scene.letters()) == [
        ("refused_by_store", sent[16].decode().rstrip("\n")),
        ("refused_by_store", sent[41].decode().rstrip("\n")),
    ]


def test_a_daemon_killed_while_it_looks_for_a_bad_row_decides_the_same_after_its_restart(
    scene: Scene,
) -> None:
    scene.forget_inserts()
    scene.table.run("ALTER TABLE llm_traces ADD CONSTRAINT no_poison CHECK agent_id != 'poison'")
    scene.engine.fault(
        "commit_then_stall", times=2, only=INSERT
    )  # the whole is refused, its first half taken
    scene.daemon.send_one_way(b"".join([*lines("a", 1, 30), line("bad", 31, agent_id="poison")]))
    scene.bitten("commit_then_stall", 2)
    scene.daemon.kill()
    scene.others(4)
    scene.engine.release()
    scene.daemon.start()
    status = scene.settled(31)
    scene.holds(once("a", 1, 30) | once("other", 1, 4))
    assert (status["stored"], status["dead_letters"]) == (30, 1)


def test_tables_that_are_dropped_and_made_again_get_what_has_waited(scene: Scene) -> None:
    scene.daemon.send_one_way(b"".join(lines("before", 1, 5)))
    scene.settled(5)
    for table in ("llm_traces", "llm_trace_losses", "llmledger_migrations"):
        scene.table.run(f"DROP TABLE {table} SYNC")
    scene.daemon.send_one_way(b"".join(lines("a", 1, 5)))
    until(lambda: scene.status()["store"])
    migrations.apply(scene.table, LAYOUT)
    scene.settled(10)
    scene.holds(once("a", 1, 5))


def test_a_database_that_is_dropped_and_made_again_gets_what_has_waited(scene: Scene) -> None:
    name = scene.url.rpartition("/")[2]
    scene.engine.query(f"DROP DATABASE {name} SYNC")
    scene.daemon.send_one_way(b"".join(lines("a", 1, 5)))
    until(lambda: scene.status()["store"])
    scene.engine.query(f"CREATE DATABASE {name}")
    migrations.apply(scene.table, LAYOUT)
    scene.settled(5)
    scene.holds(once("a", 1, 5))


def test_records_wait_for_a_store_that_is_away_when_the_daemon_starts(scene: Scene) -> None:
    scene.daemon.kill()
    scene.engine.fault("status", times=1_000_000, only="", status=503)
    scene.daemon.start()
    scene.daemon.send_one_way(b"".join(lines("a", 1, 5)))
    until(lambda: scene.status()["in_spool"] == 5)
    scene.restart()  # a second time, now with a backlog
    scene.engine.release()
    scene.settled(5)
    scene.holds(once("a", 1, 5))


# -- daemon, client or wire die ----------------------------------------------------------------


@pytest.mark.parametrize("scene", [SLOW_GROUPS], indirect=True)
def test_what_was_called_durable_survives_a_kill_at_that_moment(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        for number in (1, 2):
            session.send(lines("a", number, number))
            session.wait_durable(number)  # the second waits for the group's turn
        scene.daemon.kill()
        scene.daemon.start()
        assert session.hello() == 2
    scene.settled(2)
    scene.holds(once("a", 1, 2))


@pytest.mark.parametrize("scene", [SLOW_GROUPS], indirect=True)
def test_a_session_that_connects_again_is_told_what_is_on_disk_and_not_what_was_read(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        for number in (1, 2):
            session.send(lines("a", number, number))
            session.wait_durable(1)
        until(lambda: scene.status()["connections"] == 1)  # an answer, so the line before has been read
        told = session.hello()  # while the second line waits for its group
        scene.restart()
        assert session.hello() >= told
        session.send(lines("a", session.durable + 1, 3), first=session.durable + 1)
        session.wait_durable(3)
    scene.settled(3)
    scene.holds(once("a", 1, 3))


@pytest.mark.parametrize("scene", [SLOW_GROUPS], indirect=True)
def test_a_hello_is_answered_when_what_the_older_connection_sent_is_on_disk(scene: Scene) -> None:
    with Session(scene.daemon.socket) as session:
        session.hello()
        session.send(lines("a", 1, 1))
        session.wait_durable(1)
        session.send(lines("a", 2, 60))
        until(lambda: scene.status()["connections"] == 1)  # an answer, so the lines have been read
        first = session.hello() + 1  # while they wait for their group
        session.send(lines("a", first, 61), first=first)
        session.wait_durable(61)
    scene.settled(61)
    scene.holds(once("a", 1, 61))


def test_answers_that_were_held_back_while_the_daemon_died_cost_and_repeat_nothing(scene: Scene) -> None:
    client = TraceClient(scene.path)
    assert client.record(provider_trace_id="a-1", **openai_chat(1))
    assert client.flush(20)
    scene.proxy.hold_answers()
    for number in range(2, 101):
        client.record(provider_trace_id=f"a-{number}", **openai_chat(number))
    until(lambda: scene.status()["received"] == 100)
    assert client.stats().waiting == 99
    scene.daemon.kill()
    assert scene.proxy.cut() == 1
    scene.proxy.release()
    scene.daemon.start()
    assert client.flush(20)
    client.close()
    scene.settled(100)
    scene.holds(once("a", 1, 100))


def test_a_session_that_was_quiet_until_its_segment_was_gone_repeats_nothing(scene: Scene) -> None:
    with Session(scene.path) as quiet:
        quiet.hello()
        scene.proxy.hold_answers()  # it will not hear of its lines
        quiet.send(lines("a", 1, 10))
        scene.settled(10)
        until(lambda: not scene.status()["spool_segments"])
        scene.others_by_wire(2)  # headers upon headers
        scene.daemon.kill()
        scene.proxy.cut()
        scene.proxy.release()
        scene.daemon.start()
        scene.restart()  # and once more, with nothing in between
        assert quiet.hello() == 10
        quiet.send(lines("a", 11, 12))
        quiet.wait_durable(12)
    scene.settled(14)
    scene.holds(once("a", 1, 12) | once("other", 1, 2))


def test_a_session_that_the_daemon_has_forgotten_repeats_nothing_that_was_stored(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        session.send(lines("a", 1, 3))
        session.wait_durable(3)
        scene.proxy.hold_answers()
        session.send(lines("a", 4, 6))
        scene.settled(6)
        scene.wipe_spool()
        scene.proxy.cut()
        scene.proxy.release()
        assert session.hello() == 3, "it must not ask for what the sender no longer has"
        session.send(lines("a", 4, 8), first=4)
        session.wait_durable(8)
    scene.settled(2)
    scene.holds(once("a", 1, 8))


@pytest.mark.parametrize("scene", [NO_MEMORY], indirect=True)
def test_a_session_of_which_lines_wait_is_remembered_whatever_its_age(scene: Scene) -> None:
    scene.engine.fault("status", times=1_000_000, only=INSERT, status=503)
    with Session(scene.path) as session, Session(scene.path) as witness:
        session.hello()
        scene.proxy.hold_answers()
        session.send(lines("a", 1, 3))
        until(lambda: scene.status()["in_spool"] == 3)
        scene.proxy.cut()
        scene.proxy.release()
        witness.hello()
        until(lambda: scene.status()["sessions"] == 2)
        witness.end_input()
        until(lambda: scene.status()["sessions"] == 1, limit=scene.patience_seconds)  # it has no lines
        assert session.hello() == 3, "what waits for the store can be asked for nowhere else"
    scene.engine.release()
    scene.settled(3)
    scene.holds(once("a", 1, 3))


def test_a_forgotten_session_that_never_heard_of_a_line_repeats_nothing_that_was_stored(
    scene: Scene,
) -> None:
    with Session(scene.path) as session:
        session.hello()
        scene.proxy.hold_answers()
        session.send(lines("a", 1, 5))
        scene.settled(5)
        scene.wipe_spool()
        scene.proxy.cut()
        scene.proxy.release()
        assert session.hello() == 0
        session.send(
            [*lines("a", 1, 7), line("a-7", 7)]
        )  # two lines with one id, that were never sent before
        session.wait_durable(8)
    scene.settled(3)
    scene.holds(once("a", 1, 6) | {"a-7": 2})


def test_a_client_that_heard_nothing_of_its_lines_repeats_none_when_it_is_forgotten(scene: Scene) -> None:
    scene.proxy.hold_answers(but_hellos=True)
    client = TraceClient(scene.path)
    for number in range(1, 31):
        client.record(provider_trace_id=f"a-{number}", **openai_chat(number))
    scene.settled(30)
    scene.wipe_spool()
    scene.proxy.cut()
    scene.proxy.release()
    client.record(provider_trace_id="a-31", **openai_chat(31))
    assert client.flush(20)
    client.close()
    until(lambda: not scene.status()["in_spool"])
    scene.holds(once("a", 1, 31))


@pytest.mark.parametrize("scene", [SHORT_GRACE], indirect=True)
def test_a_call_that_a_forgotten_session_begins_anew_is_not_given_up_once_its_record_is_stored(
    scene: Scene,
) -> None:
    begin = b'{"protocol_version":4,"begin":{"provider_trace_id":"a-1","org_id":"org-1"}}\n'
    with Session(scene.path) as session:
        session.hello()
        scene.proxy.hold_answers()
        session.send([begin, line("a-1", 1)])
        until(lambda: scene.ids()["a-1"])
        scene.wipe_spool()
        scene.proxy.cut()
        scene.proxy.release()
        assert session.hello() == 0
        session.send([begin], first=1)
        session.wait_durable(1)
    until(lambda: scene.losses("by-hand"))  # its death
    until(lambda: not scene.status()["begun_calls"] and not scene.status()["in_spool"])
    scene.holds({"a-1": 1})


@pytest.mark.parametrize("scene", [{"session_memory_seconds": 1}], indirect=True)
def test_a_session_whose_memory_has_passed_repeats_nothing_that_was_stored(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        scene.proxy.hold_answers()
        session.send(lines("a", 1, 5))
        scene.settled(5)
        scene.proxy.cut()
        scene.proxy.release()
        until(lambda: not scene.status()["sessions"])
        assert session.hello() == 0
        session.send(lines("a", 1, 7), first=1)
        session.wait_durable(7)
    until(lambda: not scene.status()["in_spool"])
    scene.holds(once("a", 1, 7))


def has_segments(scene: Scene, count: int) -> bool:
    return bool(scene.status()["spool_segments"] >= count)


def letter(call: str, index: int) -> DeadLetter:
    body = line(call, index).rstrip(b"\n")
    return with_line(DeadLetter(id=f"{call}:0", reason="any", received_us=0, size=len(body)), body)


@pytest.mark.parametrize("scene", [{"batch_max_age_seconds": 1.0}], indirect=True)
def test_a_letter_that_is_replayed_twice_within_a_batch_is_one_row(scene: Scene) -> None:
    replay(scene.daemon.socket, [letter("a-1", 1), letter("a-2", 2)])
    replay(scene.daemon.socket, [letter("a-2", 2), letter("a-3", 3)])
    scene.settled(3)
    scene.holds(once("a", 1, 3))


def test_a_letter_that_is_replayed_while_the_store_is_away_is_one_row(scene: Scene) -> None:
    scene.engine.fault("error", times=1000, only=INSERT, code=202)
    for number in range(1, 6):
        replay(scene.daemon.socket, [letter("a-1", 1)])
        until(partial(has_segments, scene, number))
    scene.bitten("error")
    scene.restart()
    scene.engine.release()
    until(lambda: not scene.status()["in_spool"])
    scene.holds(once("a", 1, 1))


@pytest.mark.parametrize(
    "timestamps",
    [
        ["2026-01-01T00:00:00Z"] * 3,
        [""] * 3,
        ["2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-31T00:00:00Z"],
        ["2026-02-01T00:00:00Z", "2026-01-31T00:00:00Z", "2026-01-02T00:00:00Z"],
    ],
    ids=["one time", "no time", "fetched later", "dated back"],
)
def test_a_record_that_may_repeat_is_one_row_in_whatever_segments_it_comes(
    scene: Scene, timestamps: list[str]
) -> None:
    fields = {"protocol_version": 4, "may_repeat": True, "response": {"custom_id": "a"}}
    for times, timestamp in enumerate(timestamps, 1):
        named = ({**fields, "timestamp": timestamp, "provider_trace_id": f"batch-{one}"} for one in range(50))
        scene.daemon.send_one_way(b"".join(json.dumps(record).encode() + b"\n" for record in named))
        until(lambda: scene.status()["received"] >= 50 * times and not scene.status()["in_spool"])  # noqa: B023 - called in this round
    assert scene.ids() == {f"batch-{number}": 1 for number in range(50)}


def test_a_line_that_says_neither_id_nor_time_is_known_again_when_months_have_passed(scene: Scene) -> None:
    body = b'{"protocol_version":1,"request":{"model":"gpt-4o"}}'
    scene.daemon.send_one_way(body + b"\n")
    scene.settled(1)
    scene.table.run(
        "INSERT INTO llm_traces SELECT * REPLACE (created_at - INTERVAL 60 DAY AS created_at,"
        " generateUUIDv4() AS batch_id) FROM llm_traces"
    )
    scene.table.run("DELETE FROM llm_traces WHERE created_at > now() - INTERVAL 1 DAY")
    replay(
        scene.daemon.socket, [with_line(DeadLetter(id="a:0", reason="", received_us=0, size=len(body)), body)]
    )
    until(lambda: not scene.status()["in_spool"])
    assert list(scene.ids().values()) == [1]


def test_what_another_organization_has_under_its_id_keeps_no_replay_out(scene: Scene) -> None:
    scene.daemon.send_one_way(line("a-1", 1, org_id="org-2"))
    scene.settled(1)
    replay(scene.daemon.socket, [letter("a-1", 1)])
    scene.settled(2)
    scene.holds({"a-1": 2})


def test_rows_that_an_unheard_insert_of_their_own_batch_has_stored_are_not_taken_for_others(
    scene: Scene,
) -> None:
    scene.engine.fault("commit_then_stall", only=INSERT)
    replay(scene.daemon.socket, [letter("a-1", 1), letter("a-2", 2)])
    scene.bitten("commit_then_stall")
    scene.daemon.kill()
    scene.engine.release()
    scene.daemon.start()
    until(lambda: not scene.status()["in_spool"])
    scene.holds(once("a", 1, 2))
    assert scene.status()["stored"] == 2


def test_losses_whose_insert_the_daemon_did_not_live_to_see_are_stored_after_its_restart(
    scene: Scene,
) -> None:
    scene.engine.fault("error", times=1000, only="INSERT INTO llm_trace_losses ", code=202)
    with Session(scene.path, service="lossy") as session:
        session.hello()
        session.send([b'{"protocol_version":4,"dropped":{"buffer_full":3}}\n'])
        session.wait_durable(1)
        scene.bitten("error")
        scene.daemon.kill()
        scene.engine.release()
        scene.daemon.start()
        until(lambda: not scene.status()["in_spool"])
        assert scene.losses("lossy") == {("client", "buffer_full"): 1}


def test_a_line_that_was_cut_in_the_middle_is_sent_again_whole(scene: Scene) -> None:
    client = TraceClient(scene.path)
    assert client.record(provider_trace_id="a-1", **openai_chat(1))
    assert client.flush(20)
    scene.proxy.cut_after(30_000)
    for number in range(2, 51):
        client.record(provider_trace_id=f"a-{number}", **openai_chat(number, size=5000))
    assert client.flush(20)
    client.close()
    assert scene.proxy.counts["cut_mid_line"] == 1
    scene.settled(50)
    scene.holds(once("a", 1, 50))
    assert not scene.letters()


def test_a_daemon_killed_in_the_middle_of_a_run_loses_and_repeats_nothing(scene: Scene) -> None:
    client = TraceClient(scene.path)
    for number in range(1, 10_001):
        client.record(provider_trace_id=f"a-{number}", **openai_chat(number))
        if number in (3000, 6000):
            scene.restart()
    assert client.flush(30)
    client.close()
    scene.settled(10_000)
    scene.holds(once("a", 1, 10_000))


def test_two_lines_with_one_id_are_two_rows(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        session.send([line("same", 1), line("same", 1)])
        session.wait_durable(2)
    scene.daemon.send_one_way(line("same", 1))
    scene.settled(3)
    scene.holds({"same": 3})


def die(scene: Scene, name: str) -> None:
    """Break a session off, and wait until that is in the ledger of losses."""
    with Session(scene.path, service=name) as session:
        session.hello()
        session.send(lines(name, 1, 1))
        session.wait_durable(1)
    until(lambda: scene.losses(name), limit=scene.patience_seconds)


# -- calls that never finished ------------------------------------------------------------------

DYING = """
import os, signal, sys
from llmledger import TraceClient
client = TraceClient(sys.argv[1], service="dying")
client.begin(provider_trace_id="begun", provider="openai", model="gpt-4o")
client.begin(provider_trace_id="finished", provider="openai", model="gpt-4o")
client.record(provider_trace_id="finished", provider="openai", model="gpt-4o", response={})
assert client.flush(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("scene", [SHORT_GRACE], indirect=True)
def test_a_killed_client_leaves_an_abandoned_row_until_its_record_comes_late(scene: Scene) -> None:
    died = subprocess.run([sys.executable, "-c", DYING, str(scene.path)], check=False, cwd=ROOT)
    assert died.returncode == -signal.SIGKILL
    scene.settled(1)
    scene.others_by_wire(1)  # by now the begin lives in a header alone
    scene.restart()
    until(lambda: len(scene.ids()) == 3, limit=scene.patience_seconds)
    assert scene.outcomes() == {"begun": "abandoned", "finished": "ok", "other-1": "ok"}
    until(lambda: scene.losses(), limit=scene.patience_seconds)
    assert scene.losses() == {("client", "sender_died"): 1}
    scene.settled(3)
    scene.restart()
    scene.daemon.send_one_way(line("begun", 1))
    scene.settled(4)
    assert scene.outcomes() == {"begun": "ok", "finished": "ok", "other-1": "ok"}
    assert scene.losses() == {("client", "sender_died"): 1}


def begun(call: str, timestamp: str = "") -> bytes:
    named = {"provider_trace_id": call, "org_id": "org-1", "timestamp": timestamp}
    return json.dumps({"protocol_version": 4, "begin": named}).encode() + b"\n"


def given_up(scene: Scene, session: Session, line: bytes) -> None:
    """Announce a call and leave, until its abandoned row is settled."""
    abandoned = scene.status()["stored"] + 1
    session.hello()
    session.send([line])
    session.wait_durable(1)
    session.end_input()
    until(lambda: scene.status()["stored"] == abandoned and not scene.status()["in_spool"])


@pytest.mark.parametrize("scene", [{**SHORT_GRACE, "session_memory_seconds": 0.001}], indirect=True)
@pytest.mark.parametrize("timestamp", ["2026-01-01T00:00:00Z", ""])
def test_the_record_of_a_client_that_was_paused_until_it_was_forgotten_replaces_the_abandoned_row(
    scene: Scene, timestamp: str
) -> None:
    with Session(scene.path) as session, Session(scene.path) as other:
        given_up(scene, session, begun("a-1", timestamp))
        given_up(scene, other, begun("b-1", timestamp))  # with it, what was known of the first one goes
        session.hello()
        session.send([line("a-1", 1, timestamp=timestamp)])
        session.wait_durable(2)
    ended = [{"outcome": "ok"}]
    until(
        lambda: scene.table.query("SELECT outcome FROM llm_traces WHERE id = 'a-1'") == ended,
        limit=scene.patience_seconds,
    )
    assert scene.outcomes() == {"a-1": "ok", "b-1": "abandoned"}


@pytest.mark.parametrize("scene", [SHORT_GRACE], indirect=True)
def test_a_dead_sender_is_counted_once_however_often_the_daemon_starts(scene: Scene) -> None:
    die(scene, "first")
    scene.restart()
    die(scene, "second")  # by then the daemon has looked for the first one again
    assert scene.losses("first") == scene.losses("second") == {("client", "sender_died"): 1}


@pytest.mark.parametrize("scene", [SHORT_GRACE], indirect=True)
def test_a_record_that_overtakes_the_segment_of_its_begin_leaves_no_call_open(scene: Scene) -> None:
    with Session(scene.path) as session:
        session.hello()
        scene.engine.fault("stall", only=INSERT)
        begin = b'{"protocol_version":4,"begin":{"provider_trace_id":"a-1"}}\n'
        session.send([begin, *lines("first", 1, 1)])
        scene.bitten("stall")  # the first segment is under way
        session.send([line("a-1", 1), b'{"protocol_version":4,"end":{"taken":2}}\n'])
        until(lambda: "a-1" in scene.ids())  # the second has overtaken it
        scene.engine.release()
    status = scene.settled(2)
    assert status["begun_calls"] == 0
    assert scene.outcomes() == {"first-1": "ok", "a-1": "ok"}
    assert not scene.losses()
