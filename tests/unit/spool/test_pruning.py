"""Dead letters are kept within their bounds, and what lies among them is no hindrance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmledgerd.spool import dead_letters


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    folder = tmp_path / dead_letters.FOLDER
    folder.mkdir()
    return folder


def put(folder: Path, name: str, age: int, lines: int = 2) -> Path:
    path = folder / name
    path.write_bytes(b"{}\n" * lines)
    os.utime(path, ns=(10**18 - age, 10**18 - age))
    return path


def test_the_oldest_go_first_and_are_counted(letters: Path) -> None:
    old, young = put(letters, "a.ndjson", 2), put(letters, "b.ndjson", 1)
    pruned = dead_letters.prune(letters.parent, 6, 0)
    assert (pruned.gone, pruned.files, pruned.size, pruned.failed) == (2, 1, 6, [])
    assert young.exists()
    assert not old.exists()


def test_what_cannot_be_looked_at_or_deleted_is_named_and_the_rest_is_pruned(letters: Path) -> None:
    (letters / "loop.ndjson").symlink_to("loop.ndjson")
    (letters / "gone.ndjson").symlink_to("nowhere")
    (letters / "folder.ndjson").mkdir()
    os.utime(letters / "folder.ndjson", ns=(0, 0))
    put(letters, "a.ndjson", 1)
    pruned = dead_letters.prune(letters.parent, 0, 0)
    assert pruned.gone == 2
    assert sorted(text.split(":")[0] for text in pruned.failed) == ["folder.ndjson"]


def test_no_folder_is_no_letters_and_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    assert dead_letters.prune(tmp_path, 0, 0).files == 0
    (tmp_path / dead_letters.FOLDER).write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory"):
        dead_letters.prune(tmp_path, 0, 0)
