"""The tree of a run: chains, retries, forks, sub-agents, and turns that nobody should have sent."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from llmledgerd.query.run_tree import Link, Place, Shape, outline, places, shape
from tests.helpers.growth import grows_linearly

SECOND = 1_000_000


def link(
    turn: str,
    parent: str = "",
    start: float = 0,
    *,
    took: float = 0.5,
    of: str = "c",
    is_error: bool = False,
    names: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> Link:
    start_us = round(start * SECOND)
    return Link(turn, parent, of, start_us, start_us + round(took * SECOND), is_error, names, asked)


def kinds(links: Sequence[Link]) -> list[tuple[int | None, str, int]]:
    return [(place.parent, place.kind, place.level) for place in places(links)]


def test_a_chain_is_one_branch_whose_depth_is_its_length() -> None:
    found = places([link(f"t{n}", f"t{n - 1}" if n else "", n) for n in range(5)])

    assert found == [Place(None, "root", 0, 1), *(Place(n - 1, "next", 0, n + 1) for n in range(1, 5))]
    assert shape(found) == Shape(depth=5, forks=0, sub_agents=0)


def test_a_turn_that_is_continued_twice_is_a_fork() -> None:
    links = [link("a", "", 0), link("b", "a", 1), link("c", "a", 2), link("d", "c", 3), link("e", "b", 4)]

    assert kinds(links) == [
        (None, "root", 0),
        (0, "next", 0),
        (0, "fork", 1),
        (2, "next", 1),
        (1, "next", 0),
    ]
    assert shape(places(links)) == Shape(depth=3, forks=1, sub_agents=0)


def test_retries_are_no_forks_and_the_next_step_continues_the_one_that_succeeded() -> None:
    links = [
        link("a", "", 0),
        link("x", "a", 1, is_error=True),
        link("b", "a", 2),
        link("b", "a", 3),
        link("c", "b", 4),
        link("c", "b", 3.2),
    ]
    links.sort(key=lambda one: one.start_us)

    assert kinds(links) == [
        (None, "root", 0),
        (0, "next", 0),
        (0, "next", 0),
        (0, "next", 0),
        (2, "next", 0),  # the second call of its turn had not ended
        (3, "next", 0),
    ]
    assert shape(places(links)) == Shape(depth=3, forks=0, sub_agents=0)


def test_a_conversation_that_was_asked_what_a_waiting_call_handed_on_is_its_sub_agent() -> None:
    links = [
        link("a", "", 0, names=["task", "other task"]),
        link("s1", "", 1, of="s", asked=["unknown", "task"]),
        link("s2", "s1", 2, of="s"),
        link("b", "a", 3),
    ]

    assert kinds(links) == [(None, "root", 0), (0, "sub_agent", 1), (1, "next", 1), (0, "next", 0)]
    assert shape(places(links)) == Shape(depth=3, forks=0, sub_agents=1)


def test_a_conversation_that_carries_the_summary_of_one_that_ended_continues_it() -> None:
    links = [
        link("a", "", 0),
        link("b", "a", 1, names=["summary"]),
        link("c", "", 2, of="new", asked=["summary"]),
    ]

    assert kinds(links) == [(None, "root", 0), (0, "next", 0), (1, "next", 0)]
    assert shape(places(links)) == Shape(depth=3, forks=0, sub_agents=0)


def test_a_turn_is_continued_under_any_of_its_names() -> None:
    links = [link("a", "", 0, names=["resp"]), link("b", "resp", 1), link("c", "a", 2)]

    assert kinds(links) == [(None, "root", 0), (0, "next", 0), (0, "fork", 1)]


def test_a_conversation_that_begins_while_another_waits_for_its_tools_is_below_it() -> None:
    links = [
        link("a", "", 0),
        link("s1", "", 1, of="s"),
        link("u1", "", 2, of="u"),
        link("s2", "s1", 3, of="s"),
        link("b", "a", 4),
        link("v1", "", 6, of="v"),
    ]

    assert kinds(links) == [
        (None, "root", 0),
        (0, "sub_agent", 1),
        (1, "sub_agent", 2),
        (1, "next", 1),
        (0, "next", 0),
        (None, "root", 0),  # nobody waits any more
    ]


def test_calls_without_turns_are_beside_each_other() -> None:
    links = [Link(0, 0, 0, n, n + 1) for n in range(3)]

    assert kinds(links) == [(None, "root", 0)] * 3


def test_a_parent_that_is_not_in_the_run_leaves_a_root() -> None:
    assert kinds([link("b", "a", 1)]) == [(None, "root", 0)]


@pytest.mark.parametrize("seed", range(20))
def test_no_turns_make_a_loop_and_every_call_is_listed_once(seed: int) -> None:
    dice = random.Random(seed)
    links = [
        link(
            dice.choice("abcdef"),
            dice.choice("abcdefg"),
            dice.random(),
            of=dice.choice(["", "x", "y"]),
            took=dice.random() / 10,
            is_error=dice.random() < 0.3,
            names=dice.choices("abcdefgh", k=2),
            asked=dice.choices("abcdefgh", k=dice.randrange(2)),
        )
        for _ in range(60)
    ]
    links.sort(key=lambda one: one.start_us)
    found = places(links)

    assert all(place.parent is None or place.parent < number for number, place in enumerate(found))
    listed = list(outline([place.parent for place in found], [place.kind for place in found]))
    assert sorted(listed) == list(range(60))


def test_forks_and_sub_agents_are_listed_below_their_step_before_it_goes_on() -> None:
    links = [
        link("a", "", 0),
        link("b", "a", 1, names=["task"]),
        link("c", "a", 2),
        link("s", "", 3, of="s", asked=["task"]),
        link("d", "b", 4),
        link("e", "c", 5),
    ]
    found = places(links)
    order = outline([place.parent for place in found], [place.kind for place in found])

    assert [links[number].turn for number in order] == ["a", "c", "e", "b", "s", "d"]


@pytest.mark.parametrize("kind", ["chain", "one turn", "conversations", "fan"])
def test_the_work_is_in_proportion_to_the_calls(kind: str) -> None:
    def made(count: int) -> list[Link]:
        if kind == "one turn":
            return [link("a", "a", n) for n in range(count)]
        if kind == "conversations":
            return [link(f"t{n}", f"t{n - count // 2}", n, of=f"c{n % (count // 2)}") for n in range(count)]
        return [link(f"t{n}", f"t{n - 1}" if kind == "chain" else "t0", n) for n in range(count)]

    def arranged(links: list[Link]) -> None:
        found = places(links)
        list(outline([place.parent for place in found], [place.kind for place in found]))

    grows_linearly(arranged, made)
