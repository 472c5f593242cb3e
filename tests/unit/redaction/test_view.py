"""The view that patterns match: what a terminal does not show is one ESC, however it was written."""

from __future__ import annotations

import pytest

from llmledgerd.redaction.view import view


@pytest.mark.parametrize("start", ["\x1b[", "\x9b", "\u241b["])
def test_a_control_sequence_is_one_escape_also_where_it_is_the_only_rare_thing(start: str) -> None:
    assert view(f"a{start}31mkey".encode()).text == b"a\x1bkey"
