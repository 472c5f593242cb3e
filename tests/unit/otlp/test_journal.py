from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.otlp import journal as module
from llmledgerd.otlp.journal import NAME, SIZE, Journal
from llmledgerd.otlp.nesting import COVERED, ROW, Nesting

MARKS = [(number.to_bytes(24, "big"), ROW if number % 2 else COVERED) for number in range(1, 6)]


def opened(folder: Path) -> Journal:
    journal = Journal(folder, Nesting(), fsync=False)
    journal.open()
    return journal


def test_decisions_outlive_the_process(tmp_path: Path) -> None:
    opened(tmp_path).add(MARKS)
    assert list(opened(tmp_path).nesting.marks()) == MARKS


@pytest.mark.parametrize("cut", [1, 4, SIZE // 2, SIZE - 1])
def test_a_torn_end_is_cut_off_and_written_over(tmp_path: Path, cut: int) -> None:
    first = opened(tmp_path)
    first.add(MARKS[:3])
    first.close()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    second = opened(tmp_path)
    assert list(second.nesting.marks()) == MARKS[:2]
    second.add(MARKS[3:])
    assert list(opened(tmp_path).nesting.marks()) == [*MARKS[:2], *MARKS[3:]]


def test_what_follows_damage_is_not_believed(tmp_path: Path) -> None:
    opened(tmp_path).add(MARKS)
    path = tmp_path / NAME
    raw = bytearray(path.read_bytes())
    raw[SIZE + 3] ^= 1
    path.write_bytes(raw)
    assert list(opened(tmp_path).nesting.marks()) == MARKS[:1]


def test_the_file_is_rewritten_when_it_holds_much_more_than_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALLEST", 10)
    journal = opened(tmp_path)
    for _ in range(20):
        journal.add(MARKS)
    assert (tmp_path / NAME).stat().st_size <= 5 * len(MARKS) * SIZE
    journal.add([MARKS[0]])
    assert sorted(opened(tmp_path).nesting.marks()) == sorted(MARKS)
