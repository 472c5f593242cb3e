"""Times as people write them: spans back from now, and dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from llmledgerd.cli.time_arguments import moment

NOW = datetime(2025, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(hours=24)),
        (" 7d ", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_span_of_time_is_counted_back_from_now(text: str, ago: timedelta) -> None:
    assert moment(text, NOW) == NOW - ago


def test_a_date_without_a_zone_is_utc_and_any_other_keeps_its_own() -> None:
    assert moment("2025-03-01", NOW) == datetime(2025, 3, 1, tzinfo=UTC)
    assert moment("2025-03-01T10:00+02:00", NOW) == datetime(2025, 3, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["7 parsecs", "", "7", "-7d", "1234567d", "2025-13-01"])
def test_anything_else_is_refused_with_the_option_that_was_typed(text: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        moment(text, NOW, "--until")
    assert refused.value.param_hint == "--until"
