from __future__ import annotations

import itertools
import random

from llmledgerd.otlp.calls import Role
from llmledgerd.otlp.nesting import Nesting, Node


def key(number: int) -> bytes:
    return number.to_bytes(24, "big")


def node(
    number: int, parent: int = 0, role: Role = Role.CALL, *, usage: bool = True, failed: bool = False
) -> Node:
    return Node(
        key=key(number),
        parent=key(parent) if parent else b"",
        role=role,
        has_usage=usage,
        is_failure=failed,
        step="tool x" if role is Role.STEP else "",
    )


def rows(nesting: Nesting, *requests: list[Node]) -> list[int]:
    """The spans that became rows, over requests in order."""
    found = []
    for nodes in requests:
        are_rows, marks = nesting.decide(nodes)
        for one, mark in marks:
            nesting.remember(one, mark)
        found += [
            int.from_bytes(one.key, "big") for one, is_row in zip(nodes, are_rows, strict=True) if is_row
        ]
    return sorted(found)


def test_of_nested_calls_the_innermost_with_usage_is_the_row() -> None:
    assert rows(Nesting(), [node(3, 2), node(2, 1, Role.OTHER), node(1)]) == [3]
    assert rows(Nesting(), [node(1), node(2, 1), node(3, 2, usage=False)]) == [2]


def test_without_usage_in_any_the_innermost_is_the_row() -> None:
    assert rows(Nesting(), [node(1, usage=False), node(2, 1, usage=False)]) == [2]


def test_a_call_that_was_covered_by_an_earlier_request_is_no_row() -> None:
    assert rows(Nesting(), [node(3, 2)], [node(2, 1, Role.OTHER)], [node(1)]) == [3]


def test_a_call_below_one_that_is_a_row_already_is_no_row() -> None:
    assert rows(Nesting(), [node(1)], [node(3, 2), node(2, 1, Role.OTHER)]) == [1]


def test_calls_on_both_sides_of_an_agent_or_a_tool_are_two() -> None:
    assert rows(Nesting(), [node(3, 2), node(2, 1, Role.AGENT), node(1)]) == [1, 3]
    assert rows(Nesting(), [node(3, 2), node(2, 1, Role.STEP), node(1)]) == [1, 2, 3]


def test_siblings_are_two_calls() -> None:
    assert rows(Nesting(), [node(2, 1), node(3, 1), node(1, role=Role.OTHER)]) == [2, 3]


def test_a_failed_attempt_stays_a_row_beside_the_one_that_succeeded() -> None:
    assert rows(Nesting(), [node(2, 1, usage=False, failed=True), node(3, 1), node(1)]) == [2, 3]


def test_usage_above_a_row_without_any_is_counted_when_it_comes_later() -> None:
    assert rows(Nesting(), [node(2, 1, usage=False)], [node(1)]) == [1, 2]
    assert rows(Nesting(), [node(2, 1, usage=False)], [node(1, usage=False)]) == [2]


def test_of_a_tool_that_is_reported_twice_the_inner_span_is_the_row() -> None:
    assert rows(Nesting(), [node(2, 1, Role.STEP), node(1, role=Role.STEP)]) == [2]


def test_a_repeat_is_decided_as_before_however_it_is_cut() -> None:
    nesting = Nesting()
    nodes = [node(3, 2), node(2, 1, Role.OTHER), node(1)]
    first = rows(nesting, nodes)
    assert rows(nesting, nodes) == first
    assert rows(nesting, *[[one] for one in reversed(nodes)]) == first


def test_a_cycle_and_a_span_that_is_its_own_parent_end() -> None:
    assert len(rows(Nesting(), [node(1, 2), node(2, 1)])) == 1
    assert rows(Nesting(), [node(1, 1)]) == [1]


def test_a_span_twice_in_a_request_is_one_row() -> None:
    assert rows(Nesting(), [node(1), node(1)]) == [1]


def test_of_direct_parent_and_child_one_is_a_row_in_any_order_and_any_cut() -> None:
    dice = random.Random(7)
    for _ in range(500):
        chain = [node(number, number - 1) for number in range(1, dice.randint(2, 6))]
        dice.shuffle(chain)
        nesting = Nesting()
        requests: list[list[Node]] = [[]]
        for one in chain:
            requests[-1].append(one)
            if dice.random() < 0.4:
                requests.append([])
        found = rows(nesting, *requests)
        assert found
        assert not any(below - 1 == above for above, below in itertools.pairwise(found))


def test_memory_is_limited() -> None:
    nesting = Nesting(most=10)
    rows(nesting, [node(number) for number in range(1, 50)])
    assert len(nesting) == 10
