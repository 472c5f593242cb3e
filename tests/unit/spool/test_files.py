"""What is read from a file is what was written, however much it is."""

from __future__ import annotations

import os
from pathlib import Path

from llmledgerd.spool import Files
from llmledgerd.spool.files import BLOCK_BYTES, WINDOW_BYTES


def test_any_part_of_a_file_is_read_as_it_is_by_way_of_a_window_that_stays_small(tmp_path: Path) -> None:
    whole = os.urandom(3 * WINDOW_BYTES + 5 * BLOCK_BYTES)
    (tmp_path / "a").write_bytes(whole)
    files = Files(tmp_path)
    with files.reading("a") as read:
        for start in (0, 1, BLOCK_BYTES, WINDOW_BYTES - 1, len(whole) - 7):
            for size in (1, WINDOW_BYTES, WINDOW_BYTES + 1, 3 * WINDOW_BYTES + 17, len(whole) + 1):
                assert bytes(read(start, size)) == whole[start : start + size]
    assert len(files._window._blocks) <= WINDOW_BYTES + 2 * BLOCK_BYTES
