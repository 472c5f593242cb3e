"""Token columns: what was not reported stays unknown, and the provider's total is compared with its parts."""

from __future__ import annotations

from typing import Any

import pytest

from llmledgerd.usage.tokens import add, counted, first, plus


def columns(**given: Any) -> tuple[int | None, str, str]:
    """Return total, source and check."""
    whole: dict[str, Any] = {"prompt": None, "completion": None, "priced": [], "is_whole": True}
    facts = counted(**(whole | given))
    return facts.total_tokens, facts.usage_source, facts.usage_check


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, (None, "unknown", "")),
        ({"prompt": 3, "completion": 4}, (7, "reported", "")),
        ({"prompt": 3, "completion": 4, "total": 7}, (7, "reported", "ok")),
        ({"prompt": 3, "completion": 4, "total": 9}, (9, "reported", "mismatch")),
        ({"prompt": 3, "completion": 4, "total": 0}, (7, "reported", "")),
        ({"total": 9}, (9, "partial", "")),
        ({"prompt": 3}, (3, "partial", "")),
        ({"prompt": 0, "completion": 0}, (0, "reported", "")),
        ({"prompt": 3, "is_whole": False}, (3, "partial", "")),
        ({"prompt": 3, "total": 9, "has_parts": False}, (9, "partial", "")),
    ],
)
def test_the_total_is_the_providers_own_or_the_sum_of_what_it_reported(
    given: dict[str, Any], found: tuple[int | None, str, str]
) -> None:
    assert columns(**given) == found


def test_a_sum_of_nothing_is_unknown_and_zero_is_a_number() -> None:
    assert (plus(None, None), plus(None, 0), plus(2, 3)) == (None, 0, 5)
    assert (add(), add(None, None), add(None, 0, 2)) == (None, None, 2)
    assert (first(None, None), first(None, 0, 2)) == (None, 0)
