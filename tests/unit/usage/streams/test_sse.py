"""Cutting a stream's text: whatever the form, the same events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.usage.streams.sse import events
from tests.unit.usage.examples import data_events, lines, named_events

ONE, TWO = {"a": 1}, {"b": "x\u2028\u0085y"}


def pairs(text: str) -> list[tuple[str, object]]:
    found = events(text)
    return [(found.name(position), found.value(position)) for position in range(len(found.data))]


UNNAMED = [("", ONE), ("", TWO)]
NAMED = [("first", ONE), ("second", TWO)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n", "\n\n\n\n"])
def test_line_ends_and_a_missing_last_blank_line_change_nothing(end: str, tail: str) -> None:
    unnamed = data_events(ONE, TWO).rstrip() + tail
    named = named_events(("first", ONE), ("second", TWO)).rstrip() + tail
    assert pairs(unnamed.replace("\n", end)) == UNNAMED
    assert pairs(named.replace("\n", end)) == NAMED


def test_comments_ids_and_retries_are_no_events() -> None:
    text = ': hello\n\nid: 1\nretry: 5\ndata: {"a":1}\n\n: ping\n\n' + data_events(TWO)
    assert pairs(text) == UNNAMED


def test_a_space_behind_the_colon_is_optional() -> None:
    assert pairs('event:first\ndata:{"a":1}\n\n') == [("first", ONE)]


def test_lines_of_one_event_are_one_text() -> None:
    assert pairs('data: {"a":\ndata: 1}\n\n') == [("", ONE)]


def test_events_without_blank_lines_between_them_are_events() -> None:
    assert pairs('data: {"a":1}\ndata: {"a":1}\n') == [("", ONE), ("", ONE)]


def test_done_is_no_event_and_is_remembered() -> None:
    for text in (data_events(ONE, done=True), 'event: done\ndata: [DONE]\n\ndata: {"a":1}\n\n'):
        found = events(text)
        assert found.is_done
        assert len(found.data) == 1
    assert not events(data_events(ONE)).is_done


def test_data_that_speaks_of_data_is_data() -> None:
    event = {"a": 'event: x\ndata: {"b":1}\n\ndata: [DONE]'}
    assert pairs(data_events(event, event)) == [("", event), ("", event)]


def test_ndjson_is_one_event_a_line() -> None:
    assert pairs(lines(ONE, TWO)) == UNNAMED
    assert pairs(lines(ONE, TWO).replace("\n", "\r\n")) == UNNAMED


def test_an_object_printed_over_several_lines_is_one_event() -> None:
    assert pairs(json.dumps(TWO, indent=2)) == [("", TWO)]


@pytest.mark.parametrize("separator", [",", "\n,\r\n", " , "])
def test_an_array_is_one_event_an_item(separator: str) -> None:
    assert pairs("[" + separator.join((json.dumps(ONE), json.dumps(TWO))) + "]") == UNNAMED


def test_an_array_that_was_cut_has_its_whole_items() -> None:
    assert pairs('[{"a":1},\n{"b":"un') == [("", ONE)]


def test_an_event_that_was_cut_is_left_as_text() -> None:
    assert pairs('data: {"a":1}\n\ndata: {"b":"un') == [("", ONE), ("", '{"b":"un')]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "data:"])
def test_text_without_events_has_none_or_empty_ones(text: str) -> None:
    assert [one for one in pairs(text) if one[1]] == []


def test_text_that_is_no_stream_is_kept_as_one_event() -> None:
    assert pairs("<html>\n\nBad Gateway</html>") == [("", "<html>\n\nBad Gateway</html>")]


plain = st.dictionaries(st.text(max_size=3), st.text(max_size=6), max_size=2)


@given(st.lists(plain, min_size=1, max_size=12), st.integers(0, 11), st.sampled_from(["\n", "\r\n"]))
def test_the_fast_cut_and_the_standards_agree(found: list[dict[str, str]], where: int, end: str) -> None:
    text = data_events(*found).replace("\n", end)
    blocks = text.split(end * 2)
    blocks.insert(min(where, len(found)), ": a comment makes it irregular")
    assert pairs(text) == pairs((end * 2).join(blocks)) == [("", one) for one in found]
