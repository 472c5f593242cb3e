"""`python -m tests.fuzz.run [--inputs N] [--seed S]`: mutated lines through the daemon's front, whole.

Each round makes some hundred lines, hands them to one-way senders, strangers and sessions, lets them
write in pieces, hang up and come back, and compares what came out with what went in (``scene``). It
ends with an exit code of 1 at the first thing that is wrong, and names the round, which
``--seed S --round N`` plays again alone.

A round that hangs is ended by ``faulthandler``, with the stacks of all threads. A line that takes far
longer than lines of its size do is a finding, if it does so three times in a row. Memory is compared
between a tenth of the way and the end.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from llmledger.protocol import Hello, Record, frame
from llmledgerd.errors import Rejected
from llmledgerd.records import parsing
from tests.fuzz.mutations import mutated, seeds
from tests.fuzz.scene import BUILDER, Fate, Kept, Scene, fate, head, scene
from tests.fuzz.wire import InSession, OneWay

LINES_PER_ROUND: Final = 400
ROUNDS_PER_SPOOL: Final = 25
HANG_SECONDS: Final = 120
"""Rounds take half a second. So long is no slowness of the machine."""
GROWTH_BYTES: Final = 48 << 20
"""Of resident memory. A leak of 100 bytes for each of a million lines would be twice as much."""
SLOW_FACTOR: Final = 300
"""How much longer than the median of its size a line may take."""
SLOW_SECONDS: Final = 0.5
"""Of the processor. What nests 3,000 deep is read a second time, in Python, and takes a tenth of it; a rule
that is quadratic takes far more at 30 KB."""


class Found(AssertionError):
    """Something is wrong."""


class Watch:
    """Compares the time that each line takes with that of others of its size."""

    def __init__(self) -> None:
        self._rates: list[float] = []
        self.slowest = 0.0

    def read(self, line: bytes) -> None:
        """Read the line closely. Raises Found where it takes far too long."""
        seconds = read_closely(line)
        if len(self._rates) < 10_000:
            self._rates.append(seconds / (len(line) + 200))
            return
        if len(self._rates) == 10_000:
            self._rates.append(statistics.median(self._rates))
        expected = self._rates[-1] * (len(line) + 200)
        if seconds > max(SLOW_SECONDS, expected * SLOW_FACTOR):
            seconds = min(seconds, *(read_closely(line) for _ in range(3)))
            if seconds > max(SLOW_SECONDS, expected * SLOW_FACTOR):
                raise Found(f"{seconds:.3f} s where {expected:.6f} s are usual: {line[:500]!r}")
        self.slowest = max(self.slowest, seconds / expected)


def read_closely(line: bytes) -> float:
    """Read a line as the preparer does; return the seconds."""
    began = time.thread_time()
    try:
        parsed = parsing.parse(line)
        if isinstance(parsed, Record):
            BUILDER.row(parsed, line=line, service="", received_us=0, batch_id="", batch_row=0)
    except Rejected:
        pass
    return time.thread_time() - began


class Round:
    """Some lines, and who sends them."""

    def __init__(self, dice: Random, lines: list[bytes]) -> None:
        self.dice = dice
        self.lines = [mutated(dice, lines) for _ in range(LINES_PER_ROUND)]
        left = list(self.lines)
        self.streams = [self._stream(left) for _ in range(12)]
        whole = [part for line in left for part in line.split(b"\n")]
        self.sessions = [whole[index::4] for index in range(4)]

    def _stream(self, left: list[bytes]) -> bytes:
        """Take some of the lines for one connection, which may say hello, well or badly."""
        size = self.dice.choice((0, 1, 2, 10, 40))
        taken, left[:size] = left[:size], []
        if self.dice.random() < 0.4:
            session = f"{self.dice.getrandbits(128):032x}"
            hello = frame("hello", Hello(session=session, first=self.dice.choice((1, 1, 7, 1 << 62))))
            taken.insert(0, hello[:-1] if self.dice.random() < 0.3 else mutated(self.dice, [hello[:-1]]))
        return b"\n".join(taken) + self.dice.choice((b"", b"\n"))

    async def play(self, stage: Scene) -> Counter[str]:
        """Let the lines be sent and settled. Raises Found, or AssertionError."""
        sessions = [InSession(stage.listener, self.dice, lines) for lines in self.sessions]
        one_way = [OneWay(stage.listener, self.dice, stream) for stream in self.streams]
        await stage.play([*sessions, *one_way], self.dice)
        kept, became = await stage.settle()
        for sender in sessions:
            expected = [head(line) for line in sender.lines]
            if kept.pop(sender.id.bytes, (1, [])) != (1, expected):
                raise Found(f"session {sender.id} has other lines than were sent")
        self._compare(kept, [fate(stream) for stream in self.streams])
        return became

    def _compare(self, kept: Kept, fates: list[Fate]) -> None:
        claims = Counter(one.session for one in fates)
        for one in fates:
            if one.session and claims[one.session] == 1:  # two strangers in one session take turns
                _, lines = kept.get(one.session, (0, []))
                if lines != one.lines[: len(lines)]:
                    raise Found("a stranger's session has other lines than were sent")
        found = Counter(kept.get(b"", (0, []))[1])
        expected = Counter(line for one in fates if not one.session for line in one.lines)
        if found != expected:
            raise Found(f"one-way lines: {found - expected} too many, {expected - found} missing")


async def fuzz(inputs: int, seed: int, only: int | None, watch: Watch) -> Counter[str]:
    """Play rounds until so many lines have passed; return what became of them."""
    lines, became, began = seeds(), Counter[str](), time.monotonic()
    rounds = range(-(-inputs // LINES_PER_ROUND)) if only is None else range(only, only + 1)
    memory = 0
    for start in range(rounds.start, rounds.stop, ROUNDS_PER_SPOOL):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            async with scene(Path(folder)) as stage:
                for number in rounds[start - rounds.start :][:ROUNDS_PER_SPOOL]:
                    became += await _one(stage, seed, number, lines, watch)
        done = (number + 1 - rounds.start) * LINES_PER_ROUND
        if not memory and done * 10 >= inputs:
            memory = resident_bytes()
        print(f"{done:,} inputs, {done / (time.monotonic() - began):,.0f} a second", flush=True)
    grown = resident_bytes() - memory
    print(f"memory grew by {grown / 1e6:.1f} MB, from {memory / 1e6:.0f} MB at a tenth of the way")
    if grown > GROWTH_BYTES:
        raise Found("memory grows")
    return became


async def _one(stage: Scene, seed: int, number: int, lines: list[bytes], watch: Watch) -> Counter[str]:
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    played = Round(Random(f"{seed} {number}"), lines)
    try:
        for line in played.lines:
            watch.read(line)
        return await played.play(stage)
    except BaseException:
        print(f"--seed {seed} --round {number}", file=sys.stderr)
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()


def resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=int, help="play this round alone")
    given = parser.parse_args()
    watch = Watch()
    became = asyncio.run(fuzz(given.inputs, given.seed, given.round, watch))
    print(msgspec.json.encode(dict(became.most_common())).decode())
    print(f"the slowest line took {watch.slowest:.0f} times the median of its size")


if __name__ == "__main__":
    main()
