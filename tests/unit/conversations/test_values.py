"""Content without its spelling."""

from __future__ import annotations

from llmledgerd.conversations.values import without_space

ONE, OTHER = 'one "text" ' * 40, "another\ttext\n" * 40


def test_white_space_is_left_out_however_often_and_in_which_order_texts_are_asked_for() -> None:
    for text in (ONE, OTHER, ONE, "third " * 60, ONE, OTHER, OTHER, "", "short text"):
        assert without_space(text) == "".join(text.split()).encode()


def test_a_lone_surrogate_is_kept() -> None:
    for text in ("\ud800 a", "\ud800 a" * 200):
        assert without_space(text) == text.replace(" ", "").encode("utf-8", "surrogatepass")
