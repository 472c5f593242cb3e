from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations import sayings
from llmledgerd.conversations.parts import CALL, RESULT, TEXT, Part
from llmledgerd.conversations.sayings import History, context

PROSE = "so many words that nobody says the same again " * 5
PARTS = st.tuples(
    st.sampled_from([TEXT, TEXT, CALL, RESULT]),
    st.sampled_from(["user", "assistant", "assistant", "system", "tool"]),
    st.sampled_from(["", "a", "a ", "wait", "wait for it", "<think>b</think>a", '{"a": 1}' * 40, PROSE]),
)


def test_a_history_is_turns_without_system_messages_and_without_an_answer_that_it_begins() -> None:
    said = [
        Part("text", role, number, text)
        for number, (role, text) in enumerate(
            [
                ("system", "s"),
                ("user", "a"),
                ("assistant", "b"),
                ("system", "s"),
                ("assistant", "c"),
                ("user", "d"),
            ]
        )
    ]

    history = History(said)
    assert history.last is history.first
    assert history.last is not None
    assert [part.value for part in history.last.said] == ["b", "c"]
    assert [part.value for part in history.after] == ["d"]

    begun = History([*said, Part("text", "assistant", 6, "e")])
    assert begun.last is not None
    assert [part.value for part in begun.last.said] == ["b", "c"]
    assert [part.value for part in begun.after] == ["d"]


def test_a_request_that_begins_its_answer_has_no_turn_before() -> None:
    history = History([Part("text", "user", 0, "a"), Part("text", "assistant", 1, "b")])

    assert history.last is None
    assert history.first is None
    assert [part.value for part in history.after] == ["a"]


LONG = "a question without a time " * 400


@pytest.mark.parametrize("text", ["at 10:15 {}", "{} at 10:15", "at 10:15"])
def test_a_time_near_either_end_of_what_was_asked_makes_no_difference(text: str) -> None:
    asked = [text.format(LONG), text.format(LONG).replace("10:15", "11:37")]
    assert len({context([Part(TEXT, "user", 0, one)]) for one in asked}) == 1


def test_a_time_in_the_middle_of_a_long_text_is_its_content() -> None:
    asked = [f"{LONG}{time}{LONG}" for time in ("10:15", "11:37", "")]
    assert len({context([Part(TEXT, "user", 0, one)]) for one in asked}) == 3


def _read(said: list[tuple[str, str, str]]) -> list[Part]:
    return [Part(kind, role, number, value, "tool") for number, (kind, role, value) in enumerate(said)]


def _keys(history: History, answer: list[Part]) -> list[Any]:
    return [
        history.first_key(),
        history.last_key(),
        history.next_key(answer),
        history.beginning(answer),
        history.asked(),
    ]


@given(st.lists(PARTS, max_size=12), st.lists(PARTS, max_size=3))
def test_what_is_remembered_of_a_history_changes_none_of_its_keys(
    said: list[tuple[str, str, str]], answered: list[tuple[str, str, str]]
) -> None:
    answer = [(kind, "assistant", value) for kind, _, value in answered]
    expected = _keys(History(_read(said)), _read(answer))
    shared = _read(said)
    for known in range(len(said)):
        notes: dict[Any, Any] = {}
        for messages in (shared, [*shared[:known], *_read(said)[known:]]):
            assert _keys(History(messages, known, notes), _read(answer)) == expected


@given(st.text(alphabet="0123459:- .,TAaPpMm\n", max_size=40))
def test_a_content_is_without_its_times_whatever_stands_around_them(text: str) -> None:
    expected = sayings._CLOCK.sub(b"", text.encode()).translate(None, b" \t\r\n\f\v")
    assert sayings._constant(text) == expected
