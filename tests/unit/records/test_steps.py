"""Steps of several rows, taken together (``records.steps``)."""

from __future__ import annotations

import pytest

from llmledgerd.records.steps import Steps, alone, together


def _counting(name: str, last: int, taken: list[tuple[int, str]], fault: int = -1) -> Steps[str]:
    for step in range(last):
        if step == fault:
            raise KeyError(name)
        taken.append((step, name))
        yield
    return name


def test_each_step_is_taken_for_all_before_the_next() -> None:
    taken: list[tuple[int, str]] = []

    assert together([_counting(name, last, taken) for name, last in (("a", 3), ("b", 1), ("c", 2))]) == [
        "a",
        "b",
        "c",
    ]

    assert taken == [(0, "a"), (0, "b"), (0, "c"), (1, "a"), (1, "c"), (2, "a")]


def test_what_one_raises_is_its_own() -> None:
    found = together([_counting("a", 3, []), _counting("b", 3, [], fault=1), _counting("c", 3, [])])

    assert isinstance(found[1], KeyError)
    assert [found[0], found[2]] == ["a", "c"]


def test_steps_that_are_taken_alone_make_the_same() -> None:
    assert alone(_counting("a", 3, [])) == "a"
    with pytest.raises(KeyError):
        alone(_counting("b", 3, [], fault=2))
    assert together([]) == []
