"""Masks: as long as what they hide, and JSON stays JSON at every depth."""

from __future__ import annotations

import json

import pytest

from llmledgerd.redaction.masks import masked, ones, whole

LABEL = b"[secret]"


@pytest.mark.parametrize(
    "secret", ["a", "sk-0123456789abcdef", 'é\n\\"', "x\u2028" * 9, "\\u00e9", "tab\there"]
)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_mask_is_as_long_as_the_secret_and_leaves_the_json_whole(secret: str, depth: int) -> None:
    text = secret
    for _ in range(depth):
        text = json.dumps(text)
    body = text[1:-1].encode()
    mask = masked(body, LABEL)
    assert len(mask) == len(body)
    found = '"' + mask.decode() + '"'
    for _ in range(depth):
        found = json.loads(found)
    assert len(found) == len(secret)


def test_the_label_stands_once_where_it_fits() -> None:
    assert masked(b"0123456789", LABEL) == b"[secret]**"
    assert masked(b"0123", LABEL) == b"****"
    assert masked(rb"0123456789\n0123456789", LABEL) == rb"[secret]**\n**********"


@pytest.mark.parametrize(("start", "end"), [(3, 9), (4, 9), (8, 9), (2, 5)])
def test_a_stretch_is_widened_to_whole_escapes(start: int, end: int) -> None:
    raw = rb"ab\u00e9cd"
    low, high = whole(raw, start, end)
    assert low <= start
    assert high >= end
    assert json.loads(b'"' + raw[:low] + masked(raw[low:high], b"") + raw[high:] + b'"')


def test_the_number_in_the_place_of_a_card_has_its_digits() -> None:
    assert ones(b"4111111111111111") == b"1111111111111111"
