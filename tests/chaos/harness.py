"""A running scene to do harm to: senders, wire, daemon, engine, disk, and the ledger of it all.

Invariant: nothing here mends what the product should mend. Every harm is undone in ``heal`` alone,
and what was promised before it is judged at the very end.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.ledger import READ_SECONDS, Amnesty, Death, Landed, Ledger
from tests.chaos.senders import GIVE_UP_SECONDS
from tests.helpers import admin
from tests.helpers.daemon import ROOT, DaemonDied, RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.store_rows import replaced
from tests.helpers.waiting import until
from tests.helpers.wire_proxy import WireProxy

CROWD = ("client", "client", "by-hand", "by-hand", "one-way")
"""The senders that are alive at any time."""

ORPHAN_GRACE_SECONDS = 8.0
"""Longer than any sender is kept from its daemon here: else its death would be declared while it lives."""

SETTINGS = {
    "insert_timeout_seconds": 1,
    "batch_max_age_seconds": 0.1,
    "retry_first_seconds": 0.05,
    "orphan_grace_seconds": ORPHAN_GRACE_SECONDS,
    "spool_reserve_bytes": 8 << 20,
    "drain_timeout_seconds": 5,
}
DATABASE = "chaos"
DISK_BYTES = 384 << 20
HEAL_SECONDS = 300
PATIENCE = 4
"""How many of these limits a condition may take where rows are stored meanwhile."""


class SmallDisk:
    """A file system of its own for the spool, where root may mount one; else the folder as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_mounted = False
        self._filler = folder / "filler"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0 and sys.platform == "linux":
            command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self.folder)]
            self.is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def fill(self) -> int:
        """Take all that is free; return how much that was."""
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize
        with self._filler.open("ab") as stream, contextlib.suppress(OSError):
            os.posix_fallocate(stream.fileno(), os.fstat(stream.fileno()).st_size, size)
        return size

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


class Crowd:
    """The sender processes."""

    def __init__(self, folder: Path, paths: dict[str, Path], dice: random.Random) -> None:
        self._folder = folder
        self._paths = paths
        self._dice = dice
        self._made = 0
        self._living: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: set[str] = set()

    def add(self, kind: str) -> None:
        self._made += 1
        name = f"{kind}{self._made}"
        arguments = [kind, name, str(self._paths[kind]), str(self._folder), str(self._dice.random())]
        command = [sys.executable, "-m", "tests.chaos.senders", *arguments]
        with (self._folder / "senders.log").open("ab") as log:
            self._living[name] = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def pick(self) -> str:
        """Return one that holds a session, by chance."""
        return self._dice.choice(self.in_session())

    def in_session(self) -> list[str]:
        """Return those that are alive and hold a session."""
        return [name for name in self._living if not name.startswith("one-way")]

    def signal(self, name: str, number: int) -> None:
        self._living[name].send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL; another of its kind takes its place."""
        process = self._living.pop(name)
        process.kill()
        process.wait()
        self.killed.add(name)
        self.add(name.rstrip("0123456789"))

    def finish(self) -> list[str]:
        """Ask all to end in the ordinary way; return those that failed."""
        for process in self._living.values():
            process.terminate()
        codes = {name: process.wait(timeout=GIVE_UP_SECONDS + 60) for name, process in self._living.items()}
        self._living.clear()
        return [
            f"{name} ended with {code}"
            for name, code in codes.items()
            if code and (code != -signal.SIGTERM or self._has_begun(name))
        ]

    def _has_begun(self, name: str) -> bool:
        """Return whether it has written anything; before that it does not listen to SIGTERM either."""
        return any(self._folder.glob(f"{name}.*"))

    def close(self) -> None:
        for process in self._living.values():
            process.kill()
            process.wait()


class Chaos:
    """The scene. ``bit`` counts what harm was done where it hurt."""

    def __init__(
        self, engine: Engine, daemon: RunningDaemon, proxy: WireProxy, disk: SmallDisk, seed: int
    ) -> None:
        self.engine = engine
        self.url = daemon.url
        self.daemon = daemon
        self.proxy = proxy
        self.disk = disk
        self.dice = random.Random(seed)
        self.bit: Counter[str] = Counter()
        self.skipped: set[str] = set()
        folder = daemon.folder / "ledger"
        folder.mkdir()
        self.ledger = Ledger(folder)
        paths = {"client": proxy.path, "by-hand": proxy.path, "one-way": daemon.socket}
        self.crowd = Crowd(folder, paths, self.dice)
        self.deaths: list[Death] = []
        self.amnesty = Amnesty()
        self._bitten_before: Counter[str] = Counter()

    def status(self) -> dict[str, Any]:
        """Return the daemon's counters; their identity is checked on the way."""
        return admin.status(self.daemon.folder / "admin.sock")

    def pause(self, most_seconds: float) -> None:
        """Let things run for a while; harm is done at a random moment, so this is no condition."""
        time.sleep(self.dice.random() * most_seconds)

    def until(self, condition: Callable[[], object], what: str, limit: float = HEAL_SECONDS) -> None:
        """Wait for a condition; some times longer while rows are stored, as on a machine that others use."""
        for more in reversed(range(PATIENCE)):
            stored = self._stored()
            try:
                until(condition, limit=limit, what=what)
                return
            except AssertionError as error:
                if more and self._stored() != stored:
                    continue
                with contextlib.suppress(OSError, AssertionError):
                    error.add_note(f"status: {self.status()}")
                error.add_note(f"the daemon's last words: {self.daemon.log()[-8:]}")
                raise

    def _stored(self) -> int:
        with contextlib.suppress(OSError, AssertionError):
            return int(self.status()["stored"])
        return -1

    # -- the daemon's life -------------------------------------------------------------------------

    def daemon_dies(self, since: float | None = None) -> None:
        """SIGKILL. ``since`` is when it was stopped, where that was done before."""
        if since is None:
            self._note_where_it_hurts()
        self.bit["daemon killed"] += 1
        self.deaths.append(Death(since or time.monotonic()))
        self.daemon.kill()

    def lasting_death(self) -> None:
        """It is told to go: what is written from now on may find nobody."""
        self.deaths.append(Death(time.monotonic() + READ_SECONDS))

    def daemon_lives(self, *, wait: bool = True) -> None:
        self.daemon.start(wait=wait)
        if wait:
            for death in self.deaths:
                death.end = min(death.end, time.monotonic())

    def _note_where_it_hurts(self) -> None:
        self.bit["  with answers held back"] += self.proxy.held_answers > 0
        with contextlib.suppress(OSError, AssertionError):  # it may be too young to say
            status = self.status()
            self.bit["  with an insert under way"] += status["inserts_in_flight"] > 0
            self.bit["  with lines in the spool"] += status["in_spool"] > 0

    # -- the engine ---------------------------------------------------------------------------------

    def bitten(self) -> Counter[str]:
        """How often each fault of the engine has happened in this run."""
        return self._bitten_before + self.engine.bitten()

    def engine_dies(self) -> None:
        self._bitten_before = self.bitten()
        self.engine.kill()

    def engine_fault(self, kind: str, *, code: int = 0, status: int = 500, times: int = 1) -> None:
        """Order a fault for the next insert, and wait until it has happened."""
        before = self.bitten()[kind]
        self.engine.fault(kind, times=times, only="INSERT INTO llm_traces ", code=code, status=status)
        self.until(lambda: self.bitten()[kind] > before, f"the engine's fault {kind}")

    def engine_rests(self, limit: float = HEAL_SECONDS) -> None:
        """Let everything that was begun come to its end, and return then; the daemon must not begin anything."""
        self.engine.release()
        until(lambda: not self.engine.running(), limit=limit, what="the engine's statements to end")

    # -- what is destroyed ----------------------------------------------------------------------------

    def senders_heard(self) -> None:
        """Cut them off, and return when they have written down what they heard; no daemon must be there."""
        self.proxy.cut()
        self.proxy.release()
        self.ledger.poll()
        before = self.ledger.turns()

        def all_came_round() -> bool:
            self.ledger.poll()
            now = self.ledger.turns()
            return all(now[name] >= before[name] + 2 for name in self.crowd.in_session())

        self.until(all_came_round, "the senders to write down what they heard", HEAL_SECONDS)

    def wipe_spool(self) -> None:
        """Take away all that the dead daemon had on its disk."""
        for path in self.daemon.spool.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def make_database(self) -> None:
        make_database(self.engine, self.url)

    # -- between the rounds ---------------------------------------------------------------------------

    def heal(self, more: int) -> None:
        """Undo every harm; return once the senders have handed over so many more records, and heard."""
        self.proxy.release()
        self.disk.empty()
        self.engine.release()
        if not self.daemon.alive:
            self.daemon_lives()
        self.ledger.poll()
        handed_over, durable = self.ledger.handed_over, self.ledger.durable

        def went_on() -> bool:
            if not self.daemon.alive:
                raise DaemonDied(f"by itself: {self.daemon.log()[-3:]}")
            self.ledger.poll()
            return self.ledger.handed_over >= handed_over + more and self.ledger.durable > durable

        self.until(went_on, "the senders to go on", HEAL_SECONDS)

    def drained(self) -> None:
        """Return when nothing is left in the spool; a backlog takes its time, as long as it becomes less."""

        def is_less(than: int) -> bool:
            return bool(self.status()["in_spool"] < than)

        while left := self.status()["in_spool"]:
            self.until(partial(is_less, left), "the spool to drain", HEAL_SECONDS)

    def finish(self) -> list[str]:
        """End all senders and wait until everything is settled; return what went wrong in that."""
        wrong = self.crowd.finish()
        self.ledger.poll()
        self.drained()
        limit = ORPHAN_GRACE_SECONDS + HEAL_SECONDS
        self.until(lambda: not self.status()["begun_calls"], "begun calls to be settled", limit)
        with contextlib.suppress(AssertionError):  # the verdict names who is missing
            self.until(self._all_dead_are_known, "the dead senders to be declared", limit)
        self.drained()
        with contextlib.suppress(AssertionError):  # likewise
            self.until(lambda: not replaced(self.url), "replaced rows to be deleted", HEAL_SECONDS)
        return wrong

    def _all_dead_are_known(self) -> bool:
        dead = {
            life.session
            for life in self.ledger.lives.values()
            if life.durable > self.amnesty.deaths.get(life.session, 0) and not life.ended and life.session
        }
        return dead <= self.landed_deaths().keys()

    def landed_deaths(self) -> Counter[str]:
        return landed_deaths(self.url)

    def landed(self) -> Landed:
        return landed(self.url, self.daemon.spool)


def landed_deaths(url: str) -> Counter[str]:
    """Return how often each session is in the ledger of losses as one whose sender died."""
    with contextlib.closing(Store(url)) as table:
        rows = table.query(
            "SELECT session, count() AS n FROM llm_trace_losses WHERE reason = 'sender_died' GROUP BY session"
        )
    return Counter({row["session"]: row["n"] for row in rows})


def landed(url: str, spool: Path) -> Landed:
    """Read back what there is."""
    with contextlib.closing(Store(url)) as table:
        rows = table.query("SELECT id, count() AS n FROM llm_traces GROUP BY id")
        (damaged,) = table.query(
            "SELECT countIf(outcome != 'abandoned' AND (request_size_bytes != latency_ms OR length(request_json)"
            " != latency_ms OR toString(prompt_tokens) != splitByChar('-', id)[-1])) AS n FROM llm_traces"
        )
        (full,) = table.query(
            "SELECT sum(count) AS n FROM llm_trace_losses WHERE stage = 'spool' AND reason = 'spool_full'"
        )
    return Landed(
        dropped=full["n"] or 0,
        rows={row["id"]: row["n"] for row in rows},
        letters=Counter(_id_of(letter) for letter in dead_letters.read(spool)),
        sender_died=landed_deaths(url),
        damaged=damaged["n"],
    )


def _id_of(letter: dead_letters.DeadLetter) -> str:
    if letter.line is None:
        return f"{letter.id}: {letter.reason}"
    return str(msgspec.json.decode(letter.line)["provider_trace_id"])


def make_database(engine: Engine, url: str) -> None:
    engine.query(f"CREATE DATABASE {DATABASE}")
    with contextlib.closing(Store(url)) as table:
        migrations.apply(table, migrations.Layout())


@contextlib.contextmanager
def running_chaos(
    folder: Path, seed: int, *, mutant: str = "", settings: Mapping[str, object] | None = None
) -> Iterator[Chaos]:
    """Run a scene with its crowd, until the block ends."""
    in_force = {**SETTINGS, **(settings or {})}
    engine = Engine(folder / "engine")
    daemon = RunningDaemon(folder / "d", url="", settings=in_force, mutant=mutant)
    with SmallDisk(daemon.spool) as disk, WireProxy(folder / "w", daemon.socket) as proxy:
        engine.start()
        try:
            daemon.url = f"{engine.address}/{DATABASE}"
            make_database(engine, daemon.url)
            with daemon:
                chaos = Chaos(engine, daemon, proxy, disk, seed)
                try:
                    for kind in CROWD:
                        chaos.crowd.add(kind)
                    yield chaos
                finally:
                    chaos.crowd.close()
        finally:
            engine.kill()
