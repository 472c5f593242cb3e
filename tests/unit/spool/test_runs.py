"""Runs of numbers are a set of numbers, however they are put together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.spool import runs
from llmledgerd.spool.runs import Runs

NUMBERS = st.integers(0, 12)


@given(st.lists(st.tuples(st.booleans(), NUMBERS)))
def test_runs_are_a_set_that_never_touches_itself(steps: list[tuple[bool, int]]) -> None:
    kept: Runs = []
    plain: set[int] = set()
    for adds, number in steps:
        (runs.add if adds else runs.remove)(kept, number)
        (plain.add if adds else plain.discard)(number)
        assert list(runs.numbers(kept)) == sorted(plain)
        assert all(runs.has(kept, n) == (n in plain) for n in range(14))
        assert all(last + 1 < first for (_, last), (first, _) in pairwise(kept))


def test_a_day_of_segments_is_one_run() -> None:
    kept: Runs = []
    for number in range(86_400):
        runs.add(kept, number)
    assert kept == [(0, 86_399)]
