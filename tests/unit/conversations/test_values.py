"""Content without its spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations.values import without_space

ONE, OTHER = 'one "text" ' * 40, "another\ttext\n" * 40


def test_white_space_is_left_out_however_often_and_in_which_order_texts_are_asked_for() -> None:
    for text in (ONE, OTHER, ONE, "third " * 60, ONE, OTHER, OTHER, "", "short text"):
        assert without_space(text) == "".join(text.split()).encode()


def test_a_lone_surrogate_is_kept() -> None:
    for text in ("\ud800 a", "\ud800 a" * 200):
        assert without_space(text) == text.replace(" ", "").encode("utf-8", "surrogatepass")


def test_line_breaks_never_count_and_spaces_count_in_long_texts_only() -> None:
    for paragraphs, spaces_count in ((40, False), (400, True)):
        text = " ".join(f"paragraph {number} says so" for number in range(paragraphs))
        broken = text.replace("9 ", "9 \r\n\t")

        assert without_space(f"\n {broken} \n") == without_space(text)
        assert (without_space(text.replace(" ", "  ")) != without_space(text)) is spaces_count


@pytest.mark.parametrize("length", [4090, 4096, 4097, 9000])
def test_what_sdks_strip_changes_nothing_also_where_a_text_becomes_long(length: int) -> None:
    text = ("a b " * length)[: length - 1] + "."
    assert without_space(f"\n  {text}{' ' * 20}\n") == without_space(text)


@given(
    st.text(alphabet="ab \n\t", max_size=40),
    st.integers(0, 5_000),
    st.lists(st.integers(0, 5_000), max_size=5),
)
def test_a_line_break_anywhere_changes_nothing_also_where_a_text_becomes_long(
    start: str, letters: int, places: list[int]
) -> None:
    text = f"{start}{'a b ' * (letters // 2)}."
    broken = text
    for at in places:
        broken = f"{broken[:at]}\n{broken[at:]}"

    assert without_space(broken) == without_space(text)
