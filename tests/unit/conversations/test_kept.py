"""Values within a bound (``conversations.kept``)."""

from __future__ import annotations

from llmledgerd.conversations import read_request
from llmledgerd.conversations.kept import Kept


def test_the_oldest_value_goes_first_when_all_take_more_than_the_bound() -> None:
    kept: Kept[int] = Kept(10_000)
    for number in range(100):
        assert kept.put(number, number, b"x" * 500)
        assert kept.size <= 10_000
    assert kept.get(0) is None
    assert kept.get(99) == 99
    assert 98 in kept


def test_a_value_is_counted_as_the_objects_that_its_text_becomes() -> None:
    kept: Kept[int] = Kept(10_000)
    assert not kept.put(1, 1, b"[" + b"0," * 200 + b"0]")
    assert kept.size == 0


def test_a_value_is_counted_once() -> None:
    kept: Kept[int] = Kept(10_000)
    kept.put(1, 1, b"text")
    size = kept.size
    kept.put(1, 2, b"text")
    assert kept.size == size
    assert kept.get(1) == 1


def test_tools_that_were_sent_before_are_the_same_object() -> None:
    request = b'{"messages":[],"tools":[{"type":"function","function":{"name":"%b"}}]}'
    one, other = read_request(request % b"one"), read_request(request % b"other")
    assert read_request(request % b"one").tools is one.tools
    assert [tool.name for tool in other.tools] == ["other"]
