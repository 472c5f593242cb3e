"""The cost that a provider reports: its own digits, or nothing."""

from __future__ import annotations

import pytest

from llmledgerd.usage.costs import cost_in
from llmledgerd.usage.decode import members


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (b'{"cost":0.00014}', "0.00014"),
        (b'{"cost":0.12345678901234567891}', "0.12345678901234567891"),
        (b'{"cost":1e-7}', "0.0000001"),
        (b'{"cost":0}', "0"),
        (b'{"cost":{"total_cost":0.006}}', "0.006"),
        (b'{"cost_in_usd_ticks":12345}', "0.0000012345"),
        (b'{"cost":2,"cost_in_usd_ticks":12345}', "2"),
    ],
)
def test_the_digits_are_the_providers_own(usage: bytes, cost: str) -> None:
    assert cost_in(members(usage)) == cost


NO_COSTS = [
    b"{}",
    b'{"cost":null}',
    b'{"cost":true}',
    b'{"cost":"1"}',
    b'{"cost":-1}',
    b'{"cost":[1]}',
    b'{"cost":{}}',
    b'{"cost":1e-999999999}',
    b'{"cost":1e31}',
    b'{"cost":1e999}',
    b'{"cost":1.00000000000000000001e-999999999}',
    b'{"cost":-0.12345678901234567891}',
    b'{"cost":0.%s}' % (b"1" * 64),
    b'{"cost_in_usd_ticks":0}',
]


@pytest.mark.parametrize("usage", NO_COSTS)
def test_what_is_no_sensible_amount_of_dollars_is_no_cost(usage: bytes) -> None:
    assert cost_in(members(usage)) is None
