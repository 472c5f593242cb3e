"""The second deck: some processes ask too much of the daemon while others go about their business.

Invariant: each flood has a scene of its own, so that one that ends the daemon fails alone. While it lasts,
the daemon's memory and its largest header stay within the bounds below, and each healthy sender becomes
durable again and again; after it everything settles, and the ledger is exact.
"""

from __future__ import annotations

import contextlib
import random
import resource
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmledgerd.spool import format as fmt
from llmledgerd.spool.bounds import Limits
from tests.chaos.flooding import APART, FLOODS
from tests.chaos.harness import Chaos, running_chaos
from tests.chaos.ledger import Pen, judge
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.waiting import until

PROCESSES = 3
SECONDS = 12.0
PROGRESS_SECONDS = 20.0
"""The longest that a healthy sender may wait to hear that something more of its is durable."""
HEADER_BYTES = Limits().reserve
"""A header has to fit the reserve, or a full disk could not be written off."""
INFLIGHT_BYTES = 64 << 20
MEMORY_BYTES = INFLIGHT_BYTES + (128 << 20)
"""More than before the flood: all that may be in flight, and what allocators keep of it."""
FILES = 1024
"""The usual soft limit of descriptors."""
CHECK_SECONDS = 0.05
HEAD_BYTES = 64 << 10


class Flooded(msgspec.Struct, kw_only=True):
    """What one flood came to."""

    name: str
    done: int = 0
    """Hellos, begins, connections, writes."""
    growth_bytes: int = 0
    """Of the daemon's peak of resident memory, over what it took before."""
    header_bytes: int = 0
    """The largest."""
    waited_seconds: float = 0.0
    """The longest time in which some healthy sender heard of nothing."""
    promised: int = 0
    seconds: float = 0.0
    wrong: list[str] = []

    def __str__(self) -> str:
        said = (
            f"{'held' if not self.wrong else 'FELL'}  {self.name:<18}{self.done:>9,} times,"
            f" memory +{self.growth_bytes >> 20:>4} MiB, largest header {self.header_bytes:>10,} bytes,"
            f" healthy senders waited {self.waited_seconds:4.1f} s, {self.promised:,} promised,"
            f" {self.seconds:.0f} s"
        )
        return "\n      ".join([said, *(text[:300] for text in self.wrong)])


class Headers(threading.Thread):
    """Looks at a spool's newest headers."""

    def __init__(self, spool: Path) -> None:
        super().__init__(daemon=True)
        self.largest = 0
        self._spool = spool
        self._seen: set[Path] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(CHECK_SECONDS):
            for path in set(self._spool.glob("*.seg")) - self._seen:
                with contextlib.suppress(OSError), path.open("rb") as file:  # it may be gone
                    start = file.read(HEAD_BYTES)
                    head = fmt.read_head(start[: fmt.MARKER_BYTES], start)
                    if head is not None:  # else it is being written
                        self.largest = max(self.largest, head.size)
                        self._seen.add(path)

    def end(self) -> None:
        self._over.set()
        self.join()


def run(folder: Path, name: str, seed: int) -> Flooded:
    """Flood a scene, and say what came of it."""
    flooded = Flooded(name=name)
    start = time.monotonic()
    settings = {"max_inflight_bytes": INFLIGHT_BYTES}
    try:
        with _few_files(), running_chaos(folder, seed, settings=settings) as chaos:
            chaos.heal(1)
            _flood(chaos, flooded, seed)
            flooded.wrong += chaos.finish()
            code = chaos.daemon.terminate()
            verdict = judge(chaos.ledger, chaos.landed(), chaos.deaths, chaos.crowd.killed)
            flooded.promised = verdict.promised
            flooded.wrong += [f"the daemon ended with {code}"] if code else []
            flooded.wrong += [f"{kind}: {len(found)}, such as {found[:3]}" for kind, found in verdict.wrong()]
    except Exception as error:  # noqa: BLE001 - whatever it was, the next flood has a scene of its own
        flooded.wrong.append("".join(traceback.format_exception_only(error)).strip())
    flooded.seconds = time.monotonic() - start
    return flooded


def _flood(chaos: Chaos, flooded: Flooded, seed: int) -> None:
    pen = Pen(chaos.ledger.folder, "flood")
    pen.write("offer", (PROCESSES + 1) * APART)
    pen.close()
    before = _forget_peak(chaos.daemon)
    headers = Headers(chaos.daemon.spool)
    headers.start()
    try:
        with _processes(chaos, flooded, seed):
            over = time.monotonic() + SECONDS
            while time.monotonic() < over:
                flooded.waited_seconds = max(flooded.waited_seconds, _progress(chaos))
        chaos.heal(1)
    finally:
        headers.end()
        flooded.header_bytes = headers.largest
        if chaos.daemon.alive:
            flooded.growth_bytes = chaos.daemon.peak_memory_bytes() - before
    if flooded.header_bytes > HEADER_BYTES:
        flooded.wrong.append(f"a header of {flooded.header_bytes:,} bytes; {HEADER_BYTES:,} fit the reserve")
    if flooded.growth_bytes > MEMORY_BYTES:
        flooded.wrong.append(f"memory grew by {flooded.growth_bytes:,} bytes, of {MEMORY_BYTES:,}")


def _progress(chaos: Chaos) -> float:
    """Return how long it took until every healthy sender had heard that more of its is durable."""
    since = time.monotonic()
    chaos.ledger.poll()
    before = chaos.ledger.durable_by_sender()

    def all_went_on() -> bool:
        if not chaos.daemon.alive:
            raise AssertionError(f"the daemon ended by itself, with exit code {chaos.daemon.wait()}")
        chaos.ledger.poll()
        now = chaos.ledger.durable_by_sender()
        return all(now[name] > before[name] for name in chaos.crowd.in_session())

    until(all_went_on, limit=PROGRESS_SECONDS, what="every healthy sender to become durable")
    return time.monotonic() - since


@contextlib.contextmanager
def _processes(chaos: Chaos, flooded: Flooded, seed: int) -> Iterator[None]:
    """Flood from several processes, since each has limits of its own."""
    dice = random.Random(seed)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.flooding", flooded.name, chaos.daemon.socket, str(number),
             str(dice.random())],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for number in range(1, PROCESSES + 1)
    ]  # fmt: skip
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                flooded.done += int(process.communicate(timeout=30)[0] or 0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _forget_peak(daemon: RunningDaemon) -> int:
    """Let the kernel measure the daemon's peak anew, and return what it takes now."""
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")
    return daemon.peak_memory_bytes()


@contextlib.contextmanager
def _few_files() -> Iterator[None]:
    """Give processes that are started the usual number of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run_all(folder: Path, *, seed: int, names: list[str]) -> bool:
    """Run these floods, each in a scene of its own, in an order by chance; return whether all were held."""
    chosen = [name for name in FLOODS if not names or name in names]
    held = True
    for name in random.Random(seed).sample(chosen, len(chosen)):
        (folder / name).mkdir()
        flooded = run(folder / name, name, seed)
        print(flooded, flush=True)
        held = held and not flooded.wrong
    print(f"seed {seed}: {'clean' if held else 'VIOLATED'}")
    return held
