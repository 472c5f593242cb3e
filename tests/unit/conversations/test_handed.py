"""Texts that one call hands to another."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations import handed, parts
from llmledgerd.conversations.parts import Part

PIECES = st.text(alphabet='ab .:;!?\n<>()"\t\x1f', max_size=120)
LONG = "one piece of a text that has more than forty characters"


def opening(*texts: str) -> list[str]:
    return handed.opening(7, [Part(parts.TEXT, "user", 0, text) for text in texts])


@given(st.lists(st.one_of(PIECES, st.just(LONG)), max_size=8))
def test_the_fragments_of_a_text_are_what_stands_between_punctuation(pieces: list[str]) -> None:
    text = "".join(pieces)
    between = [one.strip() for one in re.split(r'[.:;!?\n<>()"]+', text) if len(one) >= 40]
    worth = [one for one in between if len(one) >= 40 and one.count(" ") >= 3]
    expected = sorted(worth, key=len, reverse=True)[:3]
    assert handed._fragments(text, 3) == expected
    assert handed._fragments(f"é. {text}", 3) == expected


def test_a_text_has_the_same_names_beside_others_and_with_other_scripts_near_it() -> None:
    beside, after = "Some short ones. Before. And more.", "And with é. And more. And so on."
    assert set(opening(f"{LONG}. {after}")) & set(opening(f"{beside} {LONG}!")) == set(opening(LONG))


def test_a_text_that_is_asked_twice_is_named_once() -> None:
    assert opening(LONG, LONG) == [*dict.fromkeys(opening(LONG, LONG))]
    assert opening(LONG) == opening(f" {LONG} ")


def test_what_an_answer_hands_on_is_named_once_where_it_is_one_piece() -> None:
    answer = [Part(parts.TEXT, "assistant", 1, f"{LONG} and so on until it is prose")]
    assert len(handed.on(7, answer, [])) == 1
