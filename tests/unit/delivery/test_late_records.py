"""The first abandoned row goes at once, and further ones together."""

from __future__ import annotations

from llmledgerd.delivery.late_records import MOST, SECONDS, LateRecords


def test_the_first_goes_at_once_and_further_ones_are_collected_for_a_time() -> None:
    late = LateRecords()
    assert not late.are_due(0, 100.0)
    assert late.are_due(1, 100.0)
    late.deleted(100.0)
    assert not late.are_due(MOST - 1, 100.0 + SECONDS - 1)
    assert late.are_due(1, 100.0 + SECONDS)
    assert not late.are_due(0, 100.0 + SECONDS)


def test_many_do_not_wait() -> None:
    late = LateRecords()
    late.deleted(100.0)
    assert late.are_due(MOST, 100.1)
