"""Windows of a recomputation: every hour with rows once, within the range."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llmledgerd.query.repricing import Reprice
from llmledgerd.stores.clickhouse import reprice
from llmledgerd.stores.clickhouse.reprice import HOUR_US, windows


@pytest.mark.parametrize("page", [1, 5, 10, 1000])
def test_windows_cover_each_hour_with_rows_once_and_end_with_a_full_page(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "PAGE_ROWS", page)
    hours = [(hour * HOUR_US, hour % 7 + 1) for hour in (0, 1, 2, 5, 6, 30, 31, 32, 33, 90)]
    wanted = Reprice(from_us=HOUR_US // 2, to_us=90 * HOUR_US + 5)
    found = list(windows(hours, wanted))
    assert found[0][0] == wanted.from_us
    assert found[-1][1] == wanted.to_us
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    for hour, _ in hours:
        first = max(hour, wanted.from_us)
        assert sum(start <= first < end for start, end in found) == 1
    for start, end in found[:-1]:
        assert sum(count for hour, count in hours if start <= max(hour, wanted.from_us) < end) >= page


def test_a_range_without_rows_has_no_window() -> None:
    assert not list(windows([], Reprice(from_us=0, to_us=10)))
