"""Text of others has no effect on a terminal, and JSON keeps its value."""

from __future__ import annotations

import json

import pytest

from llmledgerd.printable import clean, clean_json, one_line

EFFECTS = ["\x1b[2J", "\x07", "\r", "\x9b1m", "\u202egnp.", "\u200b", "\u2028", "\ufeff", "\ud800"]


@pytest.mark.parametrize("text", EFFECTS)
def test_what_has_an_effect_is_replaced_and_the_rest_stays(text: str) -> None:
    assert clean(f"a{text[0]}b") == "a\ufffdb"
    assert clean("line\n\ttab é 鍵") == "line\n\ttab é 鍵"


def test_one_line_has_neither_newlines_nor_tabs() -> None:
    assert one_line("a\nb\tc\x1b") == "a b c\ufffd"


@pytest.mark.parametrize("text", [text for text in EFFECTS if text != "\ud800"])
def test_json_keeps_its_value_and_shows_nothing_that_has_an_effect(text: str) -> None:
    shown = clean_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(shown) == {"a": text}
    assert clean(shown) == shown
