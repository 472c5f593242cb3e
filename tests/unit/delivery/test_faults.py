"""Faults of our own: each is said without its message, and no segment is stranded."""

from __future__ import annotations

from llmledgerd.backoff import Backoff
from llmledgerd.delivery.faults import Faults, described


def faults() -> Faults:
    return Faults(lambda: Backoff(first=1.0, cap=8.0, dice=lambda: 1.0))


def test_a_fault_is_described_by_its_type_and_place_and_never_by_its_message() -> None:
    try:
        raise KeyError("secret")
    except KeyError as error:
        said = described(error)
    assert said.startswith("KeyError in delivery/test_faults.py:")
    assert "secret" not in said
    assert described(ValueError("secret")) == "ValueError"


def test_a_segment_waits_longer_each_time_and_beside_the_others() -> None:
    found = faults()
    assert [found.of_segment(1, "a"), found.of_segment(1, "b"), found.of_segment(2, "c")] == [1.0, 2.0, 1.0]
    assert found.waiting == {1, 2}
    found.due(1)
    found.due(3)
    assert (found.waiting, found.has_met(1), found.has_met(3)) == ({2}, True, False)
    assert found.of_segment(1, "d") == 4.0
    assert found.waiting == {1, 2}
    found.over(1)
    assert (found.waiting, found.has_met(1)) == ({2}, False)
    assert found.of_segment(1, "e") == 1.0


def test_an_operator_hears_of_the_last_segment_and_of_the_lines() -> None:
    found = faults()
    assert found.summary == ""
    found.of_segment(1, "KeyError in a.py")
    found.of_segment(2, "KeyError in b.py")
    found.of_line("ValueError in c.py")
    assert found.summary == (
        "segment 2 is tried again after KeyError in b.py; "
        "1 lines since the start became dead letters, the last by ValueError in c.py"
    )
