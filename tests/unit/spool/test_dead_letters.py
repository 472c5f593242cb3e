"""Dead letters on a disk that refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter


def test_what_could_not_be_written_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    letter = DeadLetter(id="b:1", reason="not_json", received_us=1, size=3, line="{}}")
    with pytest.raises(OSError, match="No space"):
        dead_letters.write(tmp_path, "b", [letter])
    assert list((tmp_path / dead_letters.FOLDER).iterdir()) == []
