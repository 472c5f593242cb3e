"""What an SQLSTATE means depends on whether COMMIT was sent."""

from __future__ import annotations

import pytest

from llmledgerd.errors import BatchRejected, LlmledgerdError, OutcomeUnknown, StoreBusy
from llmledgerd.stores.postgres.errors import meaning

BEFORE, DURING = False, True


@pytest.mark.parametrize(
    ("state", "committing", "expected", "kind"),
    [
        (None, BEFORE, StoreBusy, "network"),
        (None, DURING, OutcomeUnknown, "network"),
        ("57P01", BEFORE, StoreBusy, "shutting_down"),
        ("57P01", DURING, OutcomeUnknown, "shutting_down"),
        ("08006", DURING, OutcomeUnknown, "network"),
        ("40001", DURING, StoreBusy, "other"),
        ("53100", BEFORE, StoreBusy, "disk"),
        ("53300", BEFORE, StoreBusy, "overloaded"),
        ("42P01", BEFORE, StoreBusy, "missing_table"),
        ("42703", BEFORE, StoreBusy, "missing_column"),
        ("28P01", BEFORE, StoreBusy, "authentication"),
        ("25006", BEFORE, StoreBusy, "read_only"),
    ],
)
def test_time_acts_and_only_a_lost_answer_to_commit_is_uncertain(
    state: str | None, committing: bool, expected: type[LlmledgerdError], kind: str
) -> None:
    found = meaning(state, "why", committing=committing)
    assert type(found) is expected
    assert isinstance(found, StoreBusy)
    assert found.kind == kind


@pytest.mark.parametrize("state", ["22003", "23514", "23502", "54000"])
@pytest.mark.parametrize("committing", [BEFORE, DURING])
def test_rows_at_fault_are_rejected_also_by_a_check_that_waits_for_commit(
    state: str, committing: bool
) -> None:
    assert isinstance(meaning(state, "why", committing=committing), BatchRejected)


def test_silence_is_a_time_out_and_uncertain_once_commit_was_sent() -> None:
    before = meaning(None, "cut", committing=BEFORE, timed_out=True)
    during = meaning(None, "cut", committing=DURING, timed_out=True)
    assert (type(before), type(during)) == (StoreBusy, OutcomeUnknown)
    assert isinstance(before, StoreBusy)
    assert before.kind == "timeout"
