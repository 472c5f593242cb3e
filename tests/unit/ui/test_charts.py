"""Axes of charts are of what they show."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llmledgerd.ui.charts import TITLES, UNITS, options


@pytest.mark.parametrize("name", TITLES)
def test_an_axis_of_what_is_counted_has_no_half_of_a_call(name: str) -> None:
    axis = options(name, [], [datetime(2026, 11, 22, tzinfo=UTC)], "hour")["yAxis"]
    assert (axis.get("minInterval") == 1) == (UNITS[name] == "count" and name != "speed")
