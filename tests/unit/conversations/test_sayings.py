from __future__ import annotations

import pytest

from llmledgerd.conversations.parts import CALL, TEXT, Part
from llmledgerd.conversations.sayings import History, context, provided_ids


@pytest.mark.parametrize(
    "call_id",
    [
        "call_a1B2c3D4e5F6g7H8i9J0k1L2",
        "toolu_01A09q90qw90lq917835lq9",
        "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q",
        "D681PevKs",
        "search_w8z5e1m2k0x9",
        "chatcmpl-tool-2f6d1c0a9b8e4d7c8f1a2b3c4d5e6f70",
        "550e8400-e29b-41d4-a716-446655440000",
        "function-call-18243439723845734210",
    ],
)
def test_random_ids_are_a_providers(call_id: str) -> None:
    assert provided_ids([Part(CALL, "assistant", 0, {}, "search", call_id)]) == [call_id]


@pytest.mark.parametrize(
    "call_id",
    [
        "", "0", "call_0", "call_000000000001", "functions.get_weather:0", "toolcall12", "toolCall12", "getWeather1",
        "weather", "call_run3_step2", "call_getcurrentweatherforcity", "search_files_12",
    ],
)  # fmt: skip
def test_ids_that_are_counted_or_made_of_words_are_not(call_id: str) -> None:
    assert provided_ids([Part(CALL, "assistant", 0, {}, "search", call_id)]) == []


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
