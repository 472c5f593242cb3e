"""The simulation behind docs/fleet.md: what it may not get wrong, whatever is assumed of the server."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fleet import Batch, Fleet, Mode, Server, fleets, gather, merge, seal, simulate, verdict

SECONDS = 20.0


@settings(max_examples=30, deadline=None)
@given(
    pods=st.integers(1, 30),
    calls=st.floats(0.05, 20),
    age=st.floats(0.1, 15),
    rows=st.integers(1, 50),
    mode=st.sampled_from(["sync", "async"]),
    seed=st.integers(0, 1000),
)
def test_every_record_is_in_an_open_segment_or_in_a_part(
    pods: int, calls: float, age: float, rows: int, mode: Mode, seed: int
) -> None:
    fleet = Fleet(pods, calls, age, batch_max_rows=rows, insert_mode=mode)
    outcome = simulate(fleet, Server(), SECONDS, seed)
    assert outcome.arrived == outcome.open_rows + sum(outcome.merged.parts)
    assert outcome == simulate(fleet, Server(), SECONDS, seed)
    assert outcome.parts_made <= outcome.inserts
    assert outcome.merged.peak_parts <= outcome.parts_made


def test_a_segment_is_sealed_by_age_or_when_it_is_full() -> None:
    fleet = Fleet(pods=5, calls_per_second=50, batch_max_age_seconds=2, batch_max_rows=60)
    batches = seal(fleet, SECONDS, seed=1).batches
    assert batches == sorted(batches)
    assert {batch.rows for batch in batches} == {60}
    slow = seal(Fleet(pods=1, calls_per_second=50, batch_max_age_seconds=2), SECONDS, seed=1).batches
    ages = [later.at - one.at for one, later in pairwise(slow)]
    assert all(age >= 2 for age in ages)


def test_bytes_fill_a_segment_as_rows_do() -> None:
    assert Fleet(pods=1, calls_per_second=1).rows_at_most == (8 << 20) // 20_000
    assert Fleet(pods=1, calls_per_second=1, line_bytes=100 << 20).rows_at_most == 1


def test_the_server_makes_one_part_of_what_comes_together() -> None:
    server, fleet = (
        Server(async_seconds=1, async_bytes=1_000),
        Fleet(pods=1, calls_per_second=1, row_bytes=10),
    )
    together = [Batch(0.0, 3), Batch(0.5, 4), Batch(2.0, 5)]
    assert gather(together, fleet, server) == [Batch(1.0, 7), Batch(3.0, 5)]
    assert gather([Batch(0.0, 90), Batch(0.1, 20)], fleet, server) == [Batch(0.1, 110)], (
        "full before it is old"
    )
    assert gather([], fleet, server) == []


def test_merges_keep_parts_few_until_their_threads_are_used_up() -> None:
    inserts = [Batch(number / 100, 1) for number in range(2_000)]
    quick = merge(inserts, 1, Server(merge_seconds=0.01), SECONDS)
    slow = merge(inserts, 1, Server(merge_seconds=10.0, merge_threads=1), SECONDS)
    assert quick.peak_parts < 60
    assert slow.peak_parts > 1_500
    assert sum(quick.parts) == sum(slow.parts) == 2_000
    assert quick.busy < 1 <= slow.busy + 0.5


@pytest.mark.parametrize(
    ("fleet", "says"),
    [
        (Fleet(pods=100, calls_per_second=1), "fine"),
        (Fleet(pods=5_000, calls_per_second=1), "inserts queue"),
        (Fleet(pods=5_000, calls_per_second=1, insert_mode="async"), "fine"),
        (Fleet(pods=1_000, calls_per_second=1, batch_max_age_seconds=30), "fine"),
    ],
)
def test_the_advice_of_the_document_follows_from_it(fleet: Fleet, says: str) -> None:
    assert verdict(simulate(fleet, Server(), SECONDS * 3), Server()) == says


def test_the_limits_of_the_server_come_first() -> None:
    stuck = Server(merge_threads=1, merge_seconds=1e6)
    outcome = simulate(Fleet(pods=50, calls_per_second=5), stuck, SECONDS)
    assert verdict(outcome, Server(delays_at=100, refuses_at=10_000)) == "delayed"
    assert verdict(outcome, Server(delays_at=100, refuses_at=200)) == "refused"


def test_an_older_batch_means_fewer_inserts_and_as_many_records() -> None:
    young, old = (simulate(Fleet(50, 2.0, age), Server(), 60.0) for age in (1.0, 10.0))
    assert old.inserts < young.inserts / 5
    assert abs(old.arrived - young.arrived) < young.arrived / 3
    assert len(fleets()) == len(set(fleets()))
