"""Restarts by socket activation under load: what is refused, lost or repeated by them.

Invariant: the verdict is that of ``make chaos``, from the same ledger. After SIGTERM nothing is excused;
after SIGKILL what a one-way sender had in the daemon's own socket is, since the kernel drops it.

Run as ``python -m tests.chaos.restarts --restarts 100``, and with ``--kill`` for SIGKILL.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.harness import HEAL_SECONDS, ORPHAN_GRACE_SECONDS, Crowd, landed
from tests.chaos.ledger import Death, Landed, Ledger, Verdict, judge
from tests.helpers import admin
from tests.helpers.engine import Engine
from tests.helpers.supervised import SupervisedDaemon
from tests.helpers.waiting import until

SENDERS = ("client",) * 5 + ("by-hand",) * 5 + ("one-way",) * 10
"""Sessions of version 4 by our client and by hand, and versions 1 to 3."""

SETTINGS = {
    "batch_max_age_seconds": 0.1,
    "orphan_grace_seconds": ORPHAN_GRACE_SECONDS,
    "drain_timeout_seconds": 10,
    "spool_reserve_bytes": 8 << 20,
}
MORE_RECORDS = 100
"""How many are handed over between two restarts, at least."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a run has come to."""

    restarts: int
    seconds: float
    handed_over: int
    rows: int
    letters: int
    refused: list[str]
    """By a daemon that was told to stop; one that is killed cuts connections off."""
    verdict: Verdict

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.refused


class Restarts:
    """Senders, an engine, and a daemon that comes and goes."""

    def __init__(self, folder: Path, engine: Engine, daemon: SupervisedDaemon, seed: int) -> None:
        self._engine = engine
        self._daemon = daemon
        self._dice = random.Random(seed)
        self._deaths: list[Death] = []
        ledger = folder / "ledger"
        ledger.mkdir()
        self.ledger = Ledger(ledger)
        paths = dict.fromkeys(SENDERS, daemon.socket)
        self.crowd = Crowd(ledger, paths, self._dice)

    def once(self, number: int) -> None:
        """Restart at a random moment, and return when the senders have gone on."""
        time.sleep(self._dice.random() * 0.3)
        death = Death(time.monotonic())
        code = self._daemon.restart(number)
        assert code == (0 if number == signal.SIGTERM else -number), f"the daemon ended with {code}"
        if number == signal.SIGKILL:
            death.end = time.monotonic()
            self._deaths.append(death)
        self.ledger.poll()
        before = self.ledger.handed_over

        def went_on() -> bool:
            self.ledger.poll()
            return self.ledger.handed_over >= before + MORE_RECORDS

        until(went_on, limit=HEAL_SECONDS, what="the senders to go on")

    def finish(self) -> Verdict:
        """End all senders, wait until everything is settled, and judge."""
        wrong = self.crowd.finish()
        self.ledger.poll()
        until(self._is_settled, limit=ORPHAN_GRACE_SECONDS + HEAL_SECONDS, what="all to be settled")
        assert self._daemon.terminate() == 0
        verdict = judge(self.ledger, self.landed(), self._deaths, ())
        verdict.other += wrong
        return verdict

    def landed(self) -> Landed:
        return landed(self._engine.url, self._daemon.spool)

    def _is_settled(self) -> bool:
        status = admin.status(self._daemon.folder / "admin.sock")
        return not status["in_spool"] and not status["begun_calls"]


def run(folder: Path, *, restarts: int, number: int = signal.SIGTERM, seed: int = 1) -> Outcome:
    """Restart the daemon so often by the signal; then judge."""
    start = time.monotonic()
    with running(folder, seed) as scene:
        for _ in range(restarts):
            scene.once(number)
        verdict = scene.finish()
        found = scene.landed()
    return Outcome(
        restarts=restarts,
        seconds=time.monotonic() - start,
        handed_over=scene.ledger.handed_over,
        rows=sum(found.rows.values()),
        letters=sum(found.letters.values()),
        refused=[text for life in scene.ledger.lives.values() for text in life.refused],
        verdict=verdict,
    )


@contextlib.contextmanager
def running(folder: Path, seed: int) -> Iterator[Restarts]:
    """Run engine, daemon and senders until the block ends."""
    engine = Engine(folder / "engine")
    engine.start()
    try:
        with contextlib.closing(Store(engine.url)) as table:
            migrations.apply(table, migrations.Layout())
        with SupervisedDaemon(folder / "d", url=engine.url, settings=SETTINGS) as daemon:
            scene = Restarts(folder, engine, daemon, seed)
            try:
                for kind in SENDERS:
                    scene.crowd.add(kind)
                yield scene
            finally:
                scene.crowd.close()
    finally:
        engine.kill()


def table_of(outcome: Outcome) -> str:
    """Return the outcome as people read it."""
    verdict = outcome.verdict
    wrong = {
        name: getattr(verdict, name)
        for name in ("lost", "repeated", "unknown", "unsettled", "deaths", "other")
    }
    lines = [
        f"{outcome.restarts} restarts, {len(SENDERS)} senders, {outcome.seconds:.0f} s:"
        f" {outcome.handed_over:,} records handed over, {verdict.promised:,} promised,"
        f" {outcome.rows:,} rows, {outcome.letters:,} dead letters",
        f"refused {len(outcome.refused)}, lost {len(verdict.lost)}, repeated {len(verdict.repeated)},"
        f" excused {verdict.excused}",
        *(f"{name}: {len(found)}, such as {', '.join(found[:5])}" for name, found in wrong.items() if found),
        *outcome.refused[:5],
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--kill", action="store_true", help="SIGKILL and not SIGTERM")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    number = signal.SIGKILL if arguments.kill else signal.SIGTERM
    with tempfile.TemporaryDirectory(prefix="restarts-", ignore_cleanup_errors=True) as folder:
        outcome = run(Path(folder), restarts=arguments.restarts, number=number, seed=arguments.seed)
    print(table_of(outcome))
    sys.exit(not outcome.verdict.is_clean if arguments.kill else not outcome.is_clean)


if __name__ == "__main__":
    main()
