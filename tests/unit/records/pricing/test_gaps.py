"""Prices that the list's form cannot date, or has for shorter prompts alone, are no prices."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from llmledgerd.records.pricing.gaps import hides_price, without_long_context
from llmledgerd.records.pricing.list_data import Condition, ConditionalPrice, Model, Prices, Rule
from llmledgerd.records.pricing.rates import Rates, Sheet

WINDOW = Condition(start_time=time(1, tzinfo=UTC), end_time=time(4, tzinfo=UTC))
LATER = Condition(start_date=date(2030, 6, 1))
CHEAP: Prices = {"input_mtok": Decimal(1)}
DEAR: Prices = {"input_mtok": Decimal(2)}
PRICES = (ConditionalPrice(CHEAP), ConditionalPrice(CHEAP, LATER), ConditionalPrice(DEAR, WINDOW))


def model(comment: str = "", name: str = "m", window: int | None = None) -> Model:
    return Model(
        id=name,
        match=Rule(equals=name),
        prices=PRICES,
        price_comments=comment or None,
        context_window=window,
    )


@pytest.mark.parametrize(
    ("moment", "comment", "is_hidden"),
    [
        (datetime(2030, 7, 2, 2, tzinfo=UTC), "", False),
        (datetime(2030, 5, 2, 2, tzinfo=UTC), "", True),
        (datetime(2030, 5, 2, 5, tzinfo=UTC), "", False),
        (datetime(2030, 7, 6, 2, tzinfo=UTC), "", False),
        (datetime(2030, 7, 6, 2, tzinfo=UTC), "Weekends are off-peak all day.", True),
        (datetime(2030, 7, 6, 5, tzinfo=UTC), "Weekends are off-peak all day.", False),
    ],
)
def test_an_open_window_hides_the_price_before_its_time_and_on_weekends(
    moment: datetime, comment: str, is_hidden: bool
) -> None:
    assert hides_price(model(comment), moment) is is_hidden


def test_beyond_the_window_a_model_with_a_longer_one_to_ask_for_has_no_rates() -> None:
    sheet = Sheet((), (Rates(input=1, output=1),))
    found = without_long_context(sheet, model(name="claude-sonnet-4-0", window=200_000))
    assert found.at(200_000).input == 1
    assert found.at(200_001).input is None
    assert without_long_context(sheet, model(name="claude-opus-4-5", window=200_000)) is sheet
