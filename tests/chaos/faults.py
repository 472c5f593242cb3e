"""The ways to do harm, each a function of the scene.

Invariant: a fault is counted only where it is known to have bitten; one that misses raises, and so
ends the run. Each leaves its harm in place, for ``Chaos.heal`` to undo.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable

from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.harness import DATABASE, HEAL_SECONDS, Chaos
from tests.chaos.ledger import Pen
from tests.helpers.store_rows import add_traces

Fault = Callable[[Chaos], None]

OTHERS = 4
"""Inserts of somebody else's, of which a window of half as many knows the newest."""

STALLS = ("stall", "commit_then_stall")


def daemon_killed(chaos: Chaos) -> None:
    """At any moment."""
    chaos.pause(0.3)
    chaos.daemon_dies()


def daemon_killed_twice(chaos: Chaos) -> None:
    """The second time while it is starting."""
    chaos.daemon_dies()
    chaos.daemon_lives(wait=False)
    chaos.pause(0.8)
    chaos.daemon.kill()
    chaos.bit["daemon killed while starting"] += 1


def daemon_killed_in_insert(chaos: Chaos) -> None:
    """The server has the insert, has run it or not, and nobody hears what became of it."""
    kind = chaos.dice.choice(STALLS)
    chaos.engine_fault(kind)
    chaos.daemon_dies()
    chaos.bit[f"daemon killed in an insert ({kind})"] += 1


def daemon_killed_unheard(chaos: Chaos) -> None:
    """Lines are on disk, their senders have not heard of it."""
    chaos.proxy.hold_answers()
    chaos.until(lambda: chaos.proxy.held_answers, "answers to be held")
    chaos.daemon_dies()
    chaos.proxy.cut()
    chaos.bit["daemon killed before it was heard"] += 1


def daemon_killed_unheard_after_store(chaos: Chaos) -> None:
    """Lines are rows already and their segment is gone; their senders have not heard of anything."""
    chaos.proxy.hold_answers()
    chaos.until(lambda: chaos.proxy.held_answers, "answers to be held")
    received = chaos.status()["received"]

    def stored() -> bool:
        status = chaos.status()
        return bool(status["received"] - status["in_spool"] >= received)

    chaos.until(stored, "their segment to be gone")
    chaos.daemon_dies()
    chaos.proxy.cut()
    chaos.bit["daemon killed unheard, segment gone"] += 1


def daemon_stopped(chaos: Chaos) -> None:
    """SIGSTOP: connections stay open and nothing answers; then it goes on, or is killed."""
    since = time.monotonic()
    chaos.daemon.signal(signal.SIGSTOP)
    chaos.pause(0.6)
    if chaos.dice.random() < 0.3:
        chaos.daemon_dies(since)
        chaos.bit["daemon killed while stopped"] += 1
    else:
        chaos.daemon.signal(signal.SIGCONT)
        chaos.bit["daemon stopped"] += 1


def daemon_terminated(chaos: Chaos) -> None:
    """SIGTERM, and all the time it needs."""
    chaos.lasting_death()
    code = chaos.daemon.terminate()
    assert code == 0, f"the daemon ended with {code}"
    chaos.bit["daemon drained"] += 1


def daemon_killed_in_drain(chaos: Chaos) -> None:
    chaos.engine_fault(chaos.dice.choice(STALLS))
    chaos.lasting_death()
    chaos.daemon.signal(signal.SIGTERM)
    chaos.until(lambda: not chaos.daemon.socket.exists(), "the drain to begin")
    chaos.pause(0.3)
    assert chaos.daemon.alive, "it was not done"
    chaos.daemon_dies()
    chaos.bit["  in its drain"] += 1


def wire_cut(chaos: Chaos) -> None:
    chaos.pause(0.2)
    chaos.until(chaos.proxy.cut, "a wire to cut")
    chaos.bit["wire cut"] += 1


def wire_cut_mid_line(chaos: Chaos) -> None:
    before = chaos.proxy.counts["cut_mid_line"]
    chaos.proxy.cut_after(chaos.dice.randint(1, 50_000))
    chaos.until(lambda: chaos.proxy.counts["cut_mid_line"] > before, "the wire to be cut")
    chaos.bit["wire cut in the middle of a line"] += 1


def answers_held(chaos: Chaos) -> None:
    """Then cut off while the daemon lives, or let through late."""
    chaos.proxy.hold_answers()
    chaos.until(lambda: chaos.proxy.held_answers, "answers to be held")
    chaos.pause(0.3)
    if chaos.dice.random() < 0.5:
        chaos.proxy.cut()
        chaos.bit["answers held back, then cut off"] += 1
    else:
        chaos.bit["answers held back, then heard late"] += 1


def lines_held(chaos: Chaos) -> None:
    chaos.proxy.hold_lines()
    chaos.pause(0.4)
    chaos.until(chaos.proxy.cut, "a wire to cut")
    chaos.bit["lines held back, then cut off"] += 1


def client_killed(chaos: Chaos) -> None:
    chaos.crowd.kill(chaos.crowd.pick())
    chaos.bit["client killed"] += 1


def client_stopped(chaos: Chaos) -> None:
    name = chaos.crowd.pick()
    chaos.crowd.signal(name, signal.SIGSTOP)
    chaos.pause(0.5)
    if chaos.dice.random() < 0.3:
        chaos.daemon_dies()
    chaos.crowd.signal(name, signal.SIGCONT)
    chaos.bit["client stopped"] += 1


def engine_killed(chaos: Chaos) -> None:
    chaos.pause(0.2)
    chaos.engine_dies()
    chaos.bit["engine killed"] += 1
    chaos.engine.start()


def engine_killed_with_daemon(chaos: Chaos) -> None:
    chaos.engine_fault(chaos.dice.choice(STALLS))
    chaos.engine_dies()
    chaos.daemon_dies()
    chaos.engine.start()
    chaos.bit["engine and daemon killed in an insert"] += 1


def engine_stopped(chaos: Chaos) -> None:
    """SIGSTOP for longer than an insert may take."""
    chaos.engine.stop()
    try:
        chaos.until(lambda: chaos.status()["store"], "the store to be missed")
    finally:
        chaos.engine.cont()
    chaos.bit["engine stopped beyond the time-out"] += 1


def engine_stalls(chaos: Chaos) -> None:
    """The insert is run long after its daemon gave it up."""
    kind = chaos.dice.choice(STALLS)
    timeouts = chaos.status()["retries"].get("timeout", 0)
    chaos.engine_fault(kind)
    chaos.until(lambda: chaos.status()["retries"].get("timeout", 0) > timeouts, "the time-out")
    chaos.bit[f"engine beyond the time-out ({kind})"] += 1


def engine_error(code: int, name: str) -> Fault:
    def fault(chaos: Chaos) -> None:
        chaos.engine_fault("error", code=code, times=chaos.dice.randint(1, 3))
        chaos.bit[f"engine answered {code} {name}"] += 1

    fault.__name__ = f"engine_error_{code}"
    return fault


def engine_answer_lost(kind: str, what: str) -> Fault:
    def fault(chaos: Chaos) -> None:
        chaos.engine_fault(kind)
        chaos.bit[what] += 1

    fault.__name__ = f"engine_{kind}"
    return fault


def table_away(chaos: Chaos) -> None:
    chaos.engine.query(f"RENAME TABLE {DATABASE}.llm_traces TO {DATABASE}.away")
    try:
        chaos.until(lambda: chaos.status()["store"], "the table to be missed")
        chaos.pause(0.3)
        if chaos.dice.random() < 0.3:
            chaos.daemon_dies()
    finally:
        chaos.engine.query(f"RENAME TABLE {DATABASE}.away TO {DATABASE}.llm_traces")
    chaos.bit["table away"] += 1


def disk_filled(chaos: Chaos) -> None:
    if not chaos.disk.is_mounted:
        chaos.skipped.add("disk full: no small file system could be mounted, which takes root")
        return

    def felt() -> bool:
        chaos.disk.fill()  # again, since segments that are stored meanwhile make room
        status = chaos.status()
        return bool(status["spool"]) or not status["ready"]

    chaos.until(felt, "the full disk to be felt")
    chaos.pause(0.3)
    chaos.bit["disk full"] += 1
    if chaos.dice.random() < 0.5:
        chaos.daemon_dies()
        chaos.daemon_lives()
        chaos.bit["  daemon killed, and started on the full disk"] += 1


def window_passed(chaos: Chaos) -> None:
    """An insert is committed and nobody hears of it, until the server's window of tokens has passed."""
    window = "ALTER TABLE llm_traces MODIFY SETTING non_replicated_deduplication_window ="
    name = f"window{chaos.bit['deduplication window passed']}"
    pen = Pen(chaos.ledger.folder, name)
    pen.write("offer", OTHERS)
    pen.close()
    with contextlib.closing(Store(chaos.url)) as table:
        table.run(f"{window} {OTHERS // 2}")
        chaos.engine_fault("commit_then_stall")
        for number in range(1, OTHERS + 1):
            add_traces(table, [{"id": f"{name}-{number}", "prompt_tokens": number}])
        if chaos.dice.random() < 0.5:
            chaos.daemon_dies()
        table.run(f"{window} 1000")
    chaos.bit["deduplication window passed"] += 1


def spool_wiped(chaos: Chaos) -> None:
    """The folder goes with all that is in it, as with a pod; what the senders still hold comes again."""
    if chaos.dice.random() < 0.7:
        chaos.proxy.hold_answers(but_hellos=True)
        chaos.until(lambda: chaos.proxy.held_answers, "answers to be held")
    chaos.daemon_dies()
    chaos.senders_heard()
    chaos.engine_rests()
    chaos.ledger.poll()
    chaos.amnesty.spool_wiped(chaos.ledger, chaos.landed(), chaos.deaths)
    chaos.wipe_spool()
    chaos.bit["spool wiped"] += 1


def database_dropped(chaos: Chaos) -> None:
    """All that was stored goes; what was not is to land in the tables that are made anew."""
    _stop_between_inserts(chaos)
    try:
        chaos.ledger.poll()
        chaos.amnesty.database_dropped(chaos.ledger, chaos.landed())
        chaos.engine.query(f"DROP DATABASE {DATABASE}")
    finally:
        chaos.daemon.signal(signal.SIGCONT)
    if chaos.dice.random() < 0.4:
        chaos.daemon_dies()
        chaos.daemon_lives()
    chaos.until(lambda: chaos.status()["store"], "the database to be missed")
    chaos.make_database()
    chaos.bit["database dropped"] += 1


def _stop_between_inserts(chaos: Chaos) -> None:
    """SIGSTOP at a moment when the engine is not in the middle of reading a statement from the daemon."""
    while True:
        chaos.daemon.signal(signal.SIGSTOP)
        try:
            chaos.engine_rests(limit=5)
        except AssertionError:  # half of an insert was sent: it ends when the daemon goes on
            chaos.daemon.signal(signal.SIGCONT)
        else:
            return


def oldest_dropped(chaos: Chaos) -> None:
    """A small spool without a store, and the order to drop rather than to wait."""
    chaos.daemon_dies()
    settings = chaos.daemon.settings
    chaos.daemon.settings = settings | {"on_full": "drop_oldest", "spool_max_bytes": 2 << 20}
    chaos.engine.query(f"RENAME TABLE {DATABASE}.llm_traces TO {DATABASE}.away")
    try:
        chaos.daemon_lives()
        lost = chaos.status()["lost"]
        chaos.until(lambda: chaos.status()["lost"] > lost, "the oldest to be dropped", HEAL_SECONDS)
    finally:
        chaos.engine.query(f"RENAME TABLE {DATABASE}.away TO {DATABASE}.llm_traces")
        chaos.daemon.settings = settings
    chaos.daemon_dies()
    chaos.senders_heard()
    chaos.engine_rests()
    chaos.ledger.poll()
    chaos.amnesty.oldest_dropped(chaos.ledger, chaos.landed(), chaos.deaths)
    chaos.bit["oldest dropped"] += 1


FAULTS: tuple[Fault, ...] = (
    daemon_killed,
    daemon_killed_twice,
    daemon_killed_in_insert,
    daemon_killed_unheard,
    daemon_killed_unheard_after_store,
    daemon_stopped,
    daemon_terminated,
    daemon_killed_in_drain,
    wire_cut,
    wire_cut_mid_line,
    answers_held,
    lines_held,
    client_killed,
    client_stopped,
    engine_killed,
    engine_killed_with_daemon,
    engine_stopped,
    engine_stalls,
    engine_error(252, "too many parts"),
    engine_error(241, "memory limit"),
    engine_answer_lost("cut", "insert cut off before it ran"),
    engine_answer_lost("commit_then_cut", "insert cut off after its commit"),
    engine_answer_lost("commit_then_status", "insert answered 500 after its commit"),
    table_away,
    disk_filled,
    window_passed,
    spool_wiped,
    database_dropped,
    oldest_dropped,
)
