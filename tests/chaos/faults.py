"""The ways to do harm, each a function of the scene.

Invariant: a fault is counted only where it is known to have bitten; one that misses raises, and so
ends the run. Each leaves its harm in place, for ``Chaos.heal`` to undo.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.chaos.harness import Chaos

Fault = Callable[[Chaos], None]

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
    chaos.engine.query("RENAME TABLE default.llm_traces TO default.away")
    try:
        chaos.until(lambda: chaos.status()["store"], "the table to be missed")
        chaos.pause(0.3)
        if chaos.dice.random() < 0.3:
            chaos.daemon_dies()
    finally:
        chaos.engine.query("RENAME TABLE default.away TO default.llm_traces")
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
)
