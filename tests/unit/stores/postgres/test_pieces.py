"""Parts of encoded rows end with a row, and grow while the link is fast."""

from __future__ import annotations

import pytest

from llmledgerd.stores.postgres.pieces import SMALLEST, end_of_row, next_size


@pytest.mark.parametrize("wanted", range(1, 20))
def test_every_cut_is_at_the_end_of_a_row_and_not_before_what_was_wanted(wanted: int) -> None:
    block = bytearray(b"one\ntwo\n\nthree\n")
    end = end_of_row(block, wanted)
    assert block[:end].endswith(b"\n")
    assert end >= min(wanted, len(block))
    assert end_of_row(block, end) == end


def test_parts_double_on_a_fast_link_and_halve_on_a_slow_one() -> None:
    assert next_size(SMALLEST, 0.1, 10) == 2 * SMALLEST
    assert next_size(4 * SMALLEST, 9, 10) == 2 * SMALLEST
    assert next_size(SMALLEST, 9, 10) == SMALLEST
