"""Reading JSON, also what msgspec refuses, and never changing what is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.json_text import cut_items, cut_members
from llmledgerd.usage.decode import as_bytes, encode, is_json, is_object, items, join, members, text, value

DEEP = b"[" * 10_000 + b"]" * 10_000

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


def parts(raw: bytes) -> dict[str, bytes]:
    return {name: as_bytes(part) for name, part in members(raw).items()}


def test_members_are_the_bytes_that_were_received() -> None:
    assert parts(b'{"a": 1.50 , "b":{"c" : [1, 2]}}') == {"a": b"1.50", "b": b'{"c" : [1, 2]}'}


@pytest.mark.parametrize("raw", [b"", b"null", b"5", b"[1]", b'"x"', b"<html>", b"\xff\xfe"])
def test_what_is_no_object_has_no_members(raw: bytes) -> None:
    assert members(raw) == {}


def test_the_last_of_equal_names_counts_on_both_ways() -> None:
    assert parts(b'{"a":1,"a":2}') == {"a": b"2"}
    assert parts(b'{"a":1,"b":"\\ud800","a":2}')["a"] == b"2"


def test_deep_nesting_costs_only_itself() -> None:
    raw = b'{"deep":' + DEEP + b',"usage":{"a":1}}'
    assert parts(raw)["usage"] == b'{"a":1}'
    assert value(raw) == {"deep": {}, "usage": {"a": 1}}


def test_a_lone_surrogate_is_read_and_written_back_as_its_escape() -> None:
    found = value(b'{"a":"x\\ud800y"}')
    assert encode(found) == b'{"a":"x\\ud800y"}'
    assert text(b'"x\\ud800y"') == "x?y"


def test_what_was_cut_keeps_the_members_before_the_cut() -> None:
    assert parts(b'{"a":1,"b":{"c":2},"d":"unfin') == {"a": b"1", "b": b'{"c":2}'}


def test_numbers_keep_their_value() -> None:
    raw = b"[0.1234567890123456789012345,12345678901234567890123,1e400,0.1,1.0,-0.0]"
    assert encode(value(raw)) == raw


def test_a_raw_part_is_told_by_its_first_byte() -> None:
    found = members(b'{"a":{},"b":[],"c":null}')
    assert [is_object(found.get(name)) for name in "abcd"] == [True, False, False, False]


def test_items_of_a_deep_array_are_its_objects() -> None:
    assert as_bytes(items(b'[{"a":1},' + DEEP + b"]")[0]) == b'{"a":1}'


def test_joining_members_changes_nothing() -> None:
    raw = b'{"a":1.50,"b":{"c":[1,2]}}'
    assert join(members(raw)) == raw


@given(st.dictionaries(st.text(max_size=5), documents, max_size=5), st.sampled_from([None, 1]))
def test_the_scanner_cuts_as_the_decoder_does(document: dict[str, object], indent: int | None) -> None:
    raw = json.dumps(document, indent=indent).encode()
    assert {name: json.loads(part) for name, part in cut_members(raw).items()} == document


@given(st.lists(st.dictionaries(st.text(max_size=3), documents, max_size=3), max_size=4))
def test_the_scanner_finds_every_object_of_an_array(document: list[object]) -> None:
    assert [json.loads(part) for part in cut_items(json.dumps(document).encode())] == document


@given(documents)
def test_a_document_survives_reading_and_writing(document: object) -> None:
    raw = json.dumps(document).encode()
    assert json.loads(encode(value(raw))) == document
    assert is_json(raw)


@given(st.binary(max_size=40))
def test_no_bytes_raise(raw: bytes) -> None:
    members(raw)
    items(raw)
    value(raw)
    text(raw)
