"""What people say before they say what they want."""

from __future__ import annotations

import pytest

from llmledgerd.conversations.greetings import LONGEST, is_greeting
from llmledgerd.conversations.parts import Part


def text(value: str, kind: str = "text") -> Part:
    return Part(kind, "user", 0, value)


@pytest.mark.parametrize(
    "said",
    [
        "Hello",
        "hi!",
        "Hey there :)",
        "Good morning, how are you?",
        "Guten Tag",
        "¡Hola!",
        "你好",
        "ping",
        "",
        "👋",
    ],
)
def test_words_that_start_any_conversation_are_a_greeting(said: str) -> None:
    assert is_greeting(text(said))


@pytest.mark.parametrize(
    "said", ["Fix the bug", "hello 17", "step 1", "Hello, where is my order?", "hi " * LONGEST]
)
def test_a_word_more_or_a_number_is_none(said: str) -> None:
    assert not is_greeting(text(said))


def test_an_image_is_no_greeting() -> None:
    assert not is_greeting(text("Hello", "image"))
    assert not is_greeting(Part("text", "user", 0, {"text": "Hello"}))
