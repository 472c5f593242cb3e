"""What a list of runs asks its store for, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmledgerd.query.requests import ListRuns
from llmledgerd.stores.clickhouse.runs import WINDOWS_US, RunQueries

NOW_US = 1_800_000_000_000_000


class Asked:
    """A store that answers the first statements, then nothing, and keeps the values of all."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self._answers = list(answers)
        self.ranges: list[tuple[int | None, int | None]] = []

    def __call__(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "AS last_us" in sql:
            self.ranges.append((values.get("start"), values.get("end")))
        return self._answers.pop(0) if self._answers else []


def row(run: str, last_us: int) -> dict[str, Any]:
    return {"organization_id": "a", "id": run, "is_named": 1, "last_us": last_us}


def test_a_list_looks_further_back_without_reading_again_what_it_has_read() -> None:
    asked = Asked()

    RunQueries(asked, lambda: NOW_US).page("a", ListRuns())

    starts = [NOW_US - window for window in WINDOWS_US]
    assert asked.ranges == list(zip([*starts, None], [None, *starts], strict=True))


def test_a_page_after_a_cursor_reads_all_since_each_window_s_start() -> None:
    """The last call of a run may be later than the cursor: an earlier page has the run."""
    asked = Asked()

    RunQueries(asked, lambda: NOW_US).page("a", ListRuns(cursor=f'[{NOW_US - 5},"a","x"]'))

    assert len(asked.ranges) == len(WINDOWS_US) + 1
    assert {end for _, end in asked.ranges} == {None}


def test_a_run_is_listed_by_its_last_call_whatever_earlier_windows_have_of_it() -> None:
    asked = Asked(
        [row("x", NOW_US - 5)], [row("x", NOW_US - 4 * 3600_000_000), row("y", NOW_US - 4 * 3600_000_000)]
    )
    queries = RunQueries(asked, lambda: NOW_US)

    found = queries._latest("a", ListRuns(), 2)

    assert [(one["id"], one["last_us"]) for one in found] == [
        ("x", NOW_US - 5),
        ("y", NOW_US - 4 * 3600_000_000),
    ]
    assert len(asked.ranges) == 2
