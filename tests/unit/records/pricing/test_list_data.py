"""What the daemon reads of genai-prices is what the library reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from genai_prices import types as theirs
from genai_prices.data_snapshot import get_snapshot

import build_prices
from llmledgerd.records.pricing import list_data
from llmledgerd.records.pricing.list_data import Condition, Rule, TieredPrices

MOMENTS = [
    datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=53 * number, hours=5 * number, minutes=30)
    for number in range(24)
]
CONTEXTS: list[dict[str, str]] = [{}, {"processing": "batch"}, {"service_tier": "flex"}, {"speed": "fast"}]


def test_the_package_has_the_release_that_the_tests_run_with() -> None:
    """``python build_prices.py`` writes the file, as each build of the package does."""
    assert list_data.BUNDLED.read_bytes() == build_prices.text()


def test_the_fields_that_are_written_are_those_that_are_read() -> None:
    assert {*build_prices.PROVIDER, "models"} == {*list_data.Provider.__struct_fields__}
    assert {*build_prices.MODEL} == {*list_data.Model.__struct_fields__}


def test_every_model_has_the_library_s_price_at_every_moment() -> None:
    releases = zip(list_data.bundled(), get_snapshot().providers, strict=True)
    for ours, provider in releases:
        assert (ours.id, ours.api_pattern) == (provider.id, provider.api_pattern)
        assert list(ours.fallback_model_providers or ()) == (provider.fallback_model_providers or [])
        for model, of_library in zip(ours.models, provider.models, strict=True):
            assert (model.id, model.context_window) == (of_library.id, of_library.context_window)
            for moment in MOMENTS[:: 1 if len(provider.models) < 200 else 8]:
                for context in CONTEXTS:
                    found = {key: _tiers(price) for key, price in model.prices_at(moment, context).items()}
                    assert found == _of_library(of_library.get_prices(moment, context)), (model.id, moment)


def test_a_name_means_the_models_that_it_means_to_the_library() -> None:
    for ours, provider in zip(list_data.bundled(), get_snapshot().providers, strict=True):
        names = [model.id.lower() for model in ours.models]
        for name in names[:: max(1, len(names) // 25)]:
            assert [one.match.is_match(name) for one in ours.models] == [
                one.is_match(name) for one in provider.models
            ], name


@pytest.mark.parametrize(
    ("rule", "name", "is_match"),
    [
        (Rule(starts_with="GPT-"), "gpt-4", True),
        (Rule(starts_with="gpt-"), "a-gpt-4", False),
        (Rule(ends_with="-Mini"), "gpt-mini", True),
        (Rule(contains="Claude"), "my-claude-2", True),
        (Rule(equals="O1"), "o1", True),
        (Rule(equals="o1"), "o1-mini", False),
        (Rule(regex="^o[13]$"), "o3", True),
        (Rule(any_of=(Rule(equals="a"), Rule(equals="b"))), "b", True),
        (Rule(all_of=(Rule(starts_with="a"), Rule(ends_with="b"))), "a-c", False),
        (Rule(all_of=()), "a", True),
        (Rule(any_of=()), "a", False),
    ],
)
def test_a_rule_compares_names_without_their_case(rule: Rule, name: str, is_match: bool) -> None:
    assert rule.is_match(name) is is_match


@pytest.mark.parametrize(
    ("at", "is_active"),
    [("22:00", True), ("23:59", True), ("03:59", True), ("04:00", False), ("21:59", False)],
)
def test_a_window_may_end_on_the_next_day_and_have_a_zone_of_its_own(at: str, is_active: bool) -> None:
    moment = datetime.fromisoformat(f"2030-01-01T{at}+00:00")
    text = b'{"start_time": "%b", "end_time": "%b"}'
    for window in ((b"22:00:00", b"04:00:00"), (b"06:00:00+08:00", b"12:00:00+08:00")):
        assert msgspec.json.decode(text % window, type=Condition).active(moment) is is_active


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b'[{"id": "a", "api_pattern": "(", "models": []}]',
        b'[{"id": "a", "api_pattern": "a", "models": [{"id": "m", "match": {}}]}]',
        b'[{"id": "a", "api_pattern": "a", "models": [{"id": "m", "match": {"sounds_like": "m"}}]}]',
        b'[{"id": "a", "api_pattern": "a", "models": [{"id": "m", "match": {"equals": "m"},'
        b' "prices": [{"constraint": {"weekday": 1}, "prices": {}}]}]}]',
        b'[{"id": "a", "api_pattern": "a", "models": [{"id": "m", "match": {"equals": "m"},'
        b' "prices": {"input_mtok": "dear"}}]}]',
    ],
)
def test_what_is_not_known_of_a_list_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list_data.parsed(text)


def _tiers(price: Decimal | TieredPrices) -> object:
    if isinstance(price, Decimal):
        return price
    return price.base, sorted((tier.start, tier.price) for tier in price.tiers)


def _of_library(prices: theirs.ModelPrice) -> dict[str, object]:
    found: dict[str, Any] = {key: price for key, price in prices.__dict__.items() if price is not None}
    return {
        key: (price.base, [(tier.start, tier.price) for tier in price.tiers])
        if isinstance(price, theirs.TieredPrices)
        else price
        for key, price in found.items()
    }
