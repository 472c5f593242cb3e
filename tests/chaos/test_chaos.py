"""A short run of ``make chaos`` with a fixed seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import run, table


@pytest.mark.chaos
def test_each_fault_bites_once_and_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    outcome = run(tmp_path, seed=20, rounds=len(FAULTS), records=100)
    assert outcome.is_clean, table(outcome)
    assert outcome.rounds == len(FAULTS)
