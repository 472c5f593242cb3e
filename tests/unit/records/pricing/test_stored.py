"""Stored rows: whether they keep what they say of their cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llmledgerd.records.pricing import Price, stored

ROW: dict[str, Any] = {"cost_usd": Decimal("0.3"), "cost_reason": "", "cost_parts": {"input": Decimal("0.3")}}
SAME = Price(Decimal("0.3"), "list_price", "", "m", "a list", {"input": Decimal("0.3")})


def test_another_list_of_the_same_amounts_is_no_change() -> None:
    assert stored.is_same(SAME, {**ROW, "price_list": "an older list"})


@pytest.mark.parametrize(
    "row",
    [
        {"cost_usd": Decimal("0.4")},
        {"cost_usd": None},
        {"cost_reason": "no_price"},
        {"cost_parts": {"output": Decimal("0.3")}},
        {"cost_parts": {}},
    ],
)
def test_another_amount_reason_or_part_is_a_change(row: dict[str, Any]) -> None:
    assert not stored.is_same(SAME, {**ROW, **row})


@pytest.mark.parametrize(
    ("usage", "is_emptied"),
    [
        (b"", False),
        (b'{"prompt_tokens":1,"service_tier":"standard"}', False),
        (b'{"prompt_tokens":1,"service_tier":"","speed": "", "inference_geo":""}', False),
        (b'{"promptTokensDetails":[{"modality":"","tokenCount":1}]}', True),
        (b'{"promptTokensDetails":[{"modality":"AUDIO","tokenCount":1}]}', False),
        (b'{"iterations":[{"model" : "" ,"input_tokens":1}]}', True),
        (b'{"tools":["",""]}', True),
        (b'{"trafficType":"","x":1}', False),
    ],
)
def test_texts_that_an_erasure_emptied_are_seen(usage: bytes, is_emptied: bool) -> None:
    assert stored.is_emptied({"usage_json": usage}) is is_emptied
