"""Restarts by socket activation under load, a few; ``LLMLEDGER_RESTARTS`` asks for more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.chaos.restarts import run, table_of

RESTARTS = int(os.environ.get("LLMLEDGER_RESTARTS", "5"))


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restarts_lose_nothing_and_repeat_nothing(tmp_path: Path, number: signal.Signals) -> None:
    outcome = run(tmp_path, restarts=RESTARTS, number=number)
    assert outcome.verdict.is_clean, table_of(outcome)
    if number == signal.SIGTERM:
        assert outcome.is_clean, table_of(outcome)
        assert not outcome.verdict.excused
