from __future__ import annotations

from tests.helpers.followed_runs import LATEST_OPENING_US, Place, Step, places


def step(turn: str, parent: str = "", conversation: str = "", **more: object) -> Step:
    return Step("acme", conversation or turn, turn, parent, **more)  # type: ignore[arg-type]  # as the test names them


def test_calls_of_one_conversation_are_a_run_and_forks_share_their_parent() -> None:
    found = places([step("a"), step("b", "a", "a"), step("c", "a", "a"), step("x")])

    assert [(one.run, one.parent) for one in found] == [(0, -1), (0, 0), (0, 0), (3, -1)]


def test_a_conversation_that_is_anothers_turn_is_a_part_of_that_run() -> None:
    kept = [step("r1"), step("r2", "r1", "r1"), step("r3", "r2", "r2"), step("r4", "r3", "r3")]

    assert [(one.run, one.parent) for one in places(kept)] == [(0, -1), (0, 0), (0, 1), (0, 2)]


def test_further_names_are_as_good_as_the_first() -> None:
    found = places([step("a", turn_names=["a2"]), step("b", "a2", "a2")])

    assert found[1] == Place(run=0, parent=0)


def test_of_equal_names_that_of_the_same_conversation_is_meant() -> None:
    found = places(
        [step("a"), step("yes", "a", "a"), step("b"), step("yes", "b", "b"), step("c", "yes", "a")]
    )

    assert found[4] == Place(run=0, parent=1)
    assert [one.run for one in found] == [0, 0, 2, 2, 0]


def test_a_call_that_continues_none_comes_from_what_handed_on_its_opening() -> None:
    found = places(
        [step("a", turn_names=["task"]), step("b", opening_names=["x", "task"]), step("c", "b", "b")]
    )

    assert found == [Place(run=0, parent=-1), Place(run=0, parent=-1, origin=0), Place(run=0, parent=1)]


def test_an_opening_comes_from_no_call_of_long_ago_and_from_no_equal_one() -> None:
    late = step("b", opening_names=["task"], created_us=LATEST_OPENING_US + 1)

    assert places([step("a", turn_names=["task"]), late])[1].origin == -1
    assert places([step("a", turn_names=["task"]), step("a", opening_names=["task"])])[1].origin == -1


def test_names_of_another_organization_mean_nothing() -> None:
    found = places([step("a"), Step("apex", "a", "b", "a")])

    assert found[1] == Place(run=1, parent=-1)


def test_names_that_no_call_bears_and_calls_without_ids_join_nothing() -> None:
    found = places([Step("acme", "", "", ""), Step("acme", "", "", ""), step("b", "gone", "gone")])

    assert [one.run for one in found] == [0, 1, 2]
