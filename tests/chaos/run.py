"""``make chaos``: harm at random, then the count of what is lost and what is repeated.

Invariant: the same seed gives the same order of faults; exit code 0 means that every fault that was
ordered has bitten and that nothing was lost, repeated, damaged or left unsettled.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos import floods
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.flooding import FLOODS
from tests.chaos.harness import Chaos, running_chaos
from tests.chaos.ledger import Verdict, judge

RECORDS_PER_ROUND = 420
SHOWN = 5
SAID_EVERY = 50
FEW_ROUNDS = 15
"""Where neither a number nor a time is given."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a run has come to."""

    seed: int
    rounds: int
    seconds: float
    bit: Counter[str]
    skipped: set[str]
    handed_over: int
    durable: int
    status: dict[str, Any]
    rows: int
    letters: int
    sender_died: int
    verdict: Verdict

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and self.bit.total() > 0


def deck(dice: random.Random) -> Iterator[Fault]:
    """Yield faults for ever, each once before any comes again."""
    while True:
        yield from dice.sample(FAULTS, len(FAULTS))


def run(
    folder: Path,
    *,
    seed: int,
    rounds: int = 0,
    seconds: float = 0,
    records: int = RECORDS_PER_ROUND,
    mutant: str = "",
) -> Outcome:
    """Do harm for so many rounds or so long, whichever comes first; then judge."""
    start = time.monotonic()
    with running_chaos(folder, seed, mutant=mutant) as chaos:
        done = _harm(chaos, rounds, start + seconds if seconds else float("inf"), records)
        wrong = chaos.finish()
        status = chaos.status()
        code = chaos.daemon.terminate()
        landed = chaos.landed()
        verdict = judge(chaos.ledger, landed, chaos.deaths, chaos.crowd.killed, chaos.amnesty)
        verdict.other += wrong + ([f"the daemon ended with {code}"] if code else [])
        return Outcome(
            seed=seed,
            rounds=done,
            seconds=time.monotonic() - start,
            bit=chaos.bit,
            skipped=chaos.skipped,
            handed_over=chaos.ledger.handed_over,
            durable=verdict.promised,
            status=status,
            rows=sum(landed.rows.values()),
            letters=sum(landed.letters.values()),
            sender_died=sum(landed.sender_died.values()),
            verdict=verdict,
        )


def _harm(chaos: Chaos, rounds: int, deadline: float, records: int) -> int:
    chaos.heal(1)
    done = 0
    for fault in deck(chaos.dice):
        if (rounds and done >= rounds) or time.monotonic() >= deadline:
            return done
        try:
            fault(chaos)
            chaos.heal(records)
        except Exception as error:
            error.add_note(f"in round {done + 1}, {fault.__name__}")
            raise
        done += 1
        if done % SAID_EVERY == 0:
            chaos.ledger.poll()
            print(f"{done} rounds, {chaos.ledger.handed_over:,} records", flush=True)
    return done


def table(outcome: Outcome) -> str:
    """Return the outcome as people read it."""
    numbers = {
        "rounds": outcome.rounds,
        "records handed over": outcome.handed_over,
        "  promised (called durable, or written and read)": outcome.durable,
        "rows in the table": outcome.rows,
        "dead letters": outcome.letters,
        "senders that died, in the ledger of losses": outcome.sender_died,
        "one-way records that a killed daemon took along": outcome.verdict.excused,
        "destroyed with a spool or a database": outcome.verdict.gone,
        "dropped by a full spool, of which it says so": outcome.verdict.dropped,
        "  lines of which it says so, begins and ends among them": outcome.verdict.declared,
        "LOST": len(outcome.verdict.lost),
        "REPEATED": len(outcome.verdict.repeated),
        "begun calls without a row": len(outcome.verdict.unsettled),
    }
    status = outcome.status
    lines = [
        f"{what:<52}{count:>10,}" for what, count in [*sorted(outcome.bit.items(), key=str), *numbers.items()]
    ]
    lines.append(
        "the daemon's own sum: received {received} = stored {stored} + dead letters {dead_letters}"
        " + lost {lost} + control lines {control_lines} + in the spool {in_spool}".format(**status)
    )
    lines += [f"skipped: {what}" for what in sorted(outcome.skipped)]
    for name, found in outcome.verdict.wrong():
        lines.append(f"{name}: {len(found)}, such as {', '.join(found[:SHOWN])}")
    lines.append(
        f"seed {outcome.seed}, {outcome.seconds:.0f} s: {'clean' if outcome.is_clean else 'VIOLATED'}"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deck", choices=("faults", "floods"), default="faults")
    parser.add_argument("--floods", nargs="*", choices=sorted(FLOODS), default=[], help="only these")
    parser.add_argument("--mutant", default="", help="a daemon broken on purpose: a name of mutants.py")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    arguments = parser.parse_args()
    seed = arguments.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.deck == "floods":
            sys.exit(not floods.run_all(folder, seed=seed, names=arguments.floods))
        outcome = run(
            folder,
            seed=seed,
            rounds=arguments.rounds or (0 if arguments.seconds else FEW_ROUNDS),
            seconds=arguments.seconds,
            mutant=arguments.mutant,
        )
    print(table(outcome))
    sys.exit(not outcome.is_clean)


if __name__ == "__main__":
    main()
