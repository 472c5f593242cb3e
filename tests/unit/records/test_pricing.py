"""Costs: the provider's word, the list price of the moment, or unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from llmledgerd.records.pricing import MAX_COST, Pricer, reported_cost
from llmledgerd.usage.exchange_facts import Facts, PricedUsage

CHANGE = date(2030, 6, 1)


def price(**rates: str | TieredPrices) -> ModelPrice:
    return ModelPrice(
        **{key: Decimal(rate) if isinstance(rate, str) else rate for key, rate in rates.items()}
    )


def tiered(base: str, start: int, beyond: str) -> TieredPrices:
    return TieredPrices(base=Decimal(base), tiers=[Tier(start=start, price=Decimal(beyond))])


def model(name: str, prices: ModelPrice | list[ConditionalPrice], *variants: PriceVariant) -> ModelInfo:
    return ModelInfo(
        id=name, match=ClauseStartsWith(starts_with=name), prices=prices, price_variants=list(variants)
    )


LARGE = model(
    "large",
    price(
        input_mtok="2",
        output_mtok="8",
        cache_read_mtok="0.5",
        cache_write_mtok="2.5",
        cache_write_1h_mtok="4",
        input_audio_mtok="32",
        cache_audio_read_mtok="0.4",
        output_audio_mtok="64",
        output_reasoning_mtok="9",
        input_image_mtok="10",
    ),
    PriceVariant(when={"processing": "batch"}, prices=price(input_mtok="1", output_mtok="4")),
    PriceVariant(when={"service_tier": "flex"}, prices=price(input_mtok="1.5")),
    PriceVariant(
        when={"service_tier": "priority"},
        prices=price(input_mtok="3"),
        constraint=StartDateConstraint(start_date=CHANGE),
    ),
)
MODELS = [
    LARGE,
    model("plain", price(input_mtok="0.15", output_mtok="0.6")),
    model("steps", price(input_mtok=tiered("1", 200, "3"), output_mtok=tiered("10", 200, "15"))),
    model(
        "changed",
        [
            ConditionalPrice(prices=price(input_mtok="4")),
            ConditionalPrice(StartDateConstraint(start_date=CHANGE), prices=price(input_mtok="1")),
        ],
    ),
    model(
        "by-night",
        [
            ConditionalPrice(prices=price(input_mtok="1")),
            ConditionalPrice(
                TimeOfDateConstraint(start_time=time(0, 30, tzinfo=UTC), end_time=time(16, 30, tzinfo=UTC)),
                prices=price(input_mtok="2"),
            ),
        ],
    ),
    model("by-request", price(input_mtok="1", requests_kcount="12")),
    model("speech", price(audio_hours="0.36")),
]
PROVIDERS = [
    Provider(id="openai", name="OpenAI", api_pattern=r"https://api\.openai\.com", models=MODELS),
    Provider(
        id="azure",
        name="Azure",
        api_pattern=r"https://[^/]*\.openai\.azure\.com",
        fallback_model_providers=["openai"],
        provider_match=ClauseEquals(equals="azure"),
    ),
    Provider(
        id="openrouter",
        name="OpenRouter",
        api_pattern=r"https://openrouter\.ai",
        models=[model("large", price(input_mtok="5"))],
    ),
]


@pytest.fixture(name="pricer")
def _pricer() -> Pricer:
    return Pricer(PROVIDERS)


def microseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000


MOMENT = microseconds(datetime(2030, 7, 1, 20))


def facts(*priced: PricedUsage, tier: str = "", is_batch: bool = False, name: str = "large") -> Facts:
    return Facts(
        model=name, usage_source="reported", priced=list(priced), service_tier=tier, is_batch=is_batch
    )


def list_price(
    pricer: Pricer, found: Facts, *, provider: str = "openai", url: str = "", at: int = MOMENT
) -> str:
    """Return the cost as text, empty where it is unknown."""
    cost, source = pricer.cost(found, provider, "", url, at)
    assert source == ("" if cost is None else "list_price")
    return "" if cost is None else f"{cost:f}"


@pytest.mark.parametrize(
    ("used", "dollars"),
    [
        (PricedUsage(), "0.000000000"),
        (PricedUsage(input=1_000_000), "2.000000000"),
        (PricedUsage(input=1000, output=500), "0.006000000"),
        (PricedUsage(input=1000, cache_read=1000), "0.000500000"),
        (PricedUsage(input=1000, cache_read=600), "0.001100000"),
        (PricedUsage(input=1000, cache_write=1000), "0.002500000"),
        (PricedUsage(input=1000, cache_write=1000, cache_write_1h=400), "0.003100000"),
        (PricedUsage(input=1000, cache_read=200, cache_write=300), "0.001850000"),
        (PricedUsage(output=1000, reasoning=600), "0.008600000"),
        (PricedUsage(input=1000, input_audio=100, output=100, output_audio=50), "0.008600000"),
        (PricedUsage(input=1000, input_audio=100, cache_read=40, cache_audio_read=40), "0.003736000"),
        (PricedUsage(input=1000, input_image=100), "0.002800000"),
    ],
)
def test_each_kind_of_token_has_its_price(pricer: Pricer, used: PricedUsage, dollars: str) -> None:
    assert list_price(pricer, facts(used)) == dollars


def test_a_part_without_its_own_price_costs_what_the_whole_costs(pricer: Pricer) -> None:
    used = PricedUsage(input=1_000_000, cache_read=400_000, cache_write=100_000, input_audio=5)
    assert list_price(pricer, facts(used, name="plain")) == "0.150000000"


def test_an_hour_of_cache_without_its_own_price_is_unknown(pricer: Pricer) -> None:
    used = PricedUsage(input=10, cache_write=10, cache_write_1h=10)
    assert list_price(pricer, facts(used, name="plain")) == ""


@pytest.mark.parametrize(
    "used",
    [
        PricedUsage(input=10, cache_read=11),
        PricedUsage(input=10, cache_read=6, cache_write=6),
        PricedUsage(input=10, cache_write=5, cache_write_1h=6),
        PricedUsage(output=10, reasoning=11),
        PricedUsage(input=10, input_audio=11),
        PricedUsage(output=10, output_audio=11),
    ],
)
def test_parts_above_their_whole_have_no_price(pricer: Pricer, used: PricedUsage) -> None:
    assert list_price(pricer, facts(used)) == ""


@pytest.mark.parametrize(("tokens", "dollars"), [(200, "0.000200000"), (201, "0.000603000")])
def test_beyond_a_threshold_all_tokens_have_the_higher_price(
    pricer: Pricer, tokens: int, dollars: str
) -> None:
    assert list_price(pricer, facts(PricedUsage(input=tokens), name="steps")) == dollars


def test_reasoning_above_the_output_is_no_matter_where_it_has_no_price_of_its_own(pricer: Pricer) -> None:
    assert list_price(pricer, facts(PricedUsage(output=1000, reasoning=2000), name="plain")) == "0.000600000"


def test_a_threshold_is_one_of_input_for_output_too(pricer: Pricer) -> None:
    low, high = PricedUsage(input=200, output=1000), PricedUsage(input=201, output=1000)
    assert list_price(pricer, facts(low, name="steps")) == "0.010200000"
    assert list_price(pricer, facts(high, name="steps")) == "0.015603000"


def test_the_price_is_that_of_the_call_s_day(pricer: Pricer) -> None:
    used = facts(PricedUsage(input=1_000_000), name="changed")
    before, after = datetime(2030, 5, 31, 23, 59, 59), datetime(2030, 6, 1)
    assert list_price(pricer, used, at=microseconds(before)) == "4.000000000"
    assert list_price(pricer, used, at=microseconds(after)) == "1.000000000"


def test_a_price_that_changes_within_the_day_does(pricer: Pricer) -> None:
    used = facts(PricedUsage(input=1_000_000), name="by-night")
    assert list_price(pricer, used, at=microseconds(datetime(2030, 7, 1, 0, 29))) == "1.000000000"
    assert list_price(pricer, used, at=microseconds(datetime(2030, 7, 1, 0, 30))) == "2.000000000"
    assert list_price(pricer, used, at=microseconds(datetime(2030, 7, 1, 16, 30))) == "1.000000000"


def test_a_price_per_request_is_added(pricer: Pricer) -> None:
    assert list_price(pricer, facts(PricedUsage(input=1000), name="by-request")) == "0.013000000"


def test_batches_and_tiers_have_their_prices_where_known(pricer: Pricer) -> None:
    used = PricedUsage(input=1_000_000)
    assert list_price(pricer, facts(used, is_batch=True)) == "1.000000000"
    assert list_price(pricer, facts(used, tier="batch")) == "1.000000000"
    assert list_price(pricer, facts(used, tier="FLEX")) == "1.500000000"
    assert list_price(pricer, facts(used, tier="default")) == "2.000000000"
    assert list_price(pricer, facts(used, tier="ON_DEMAND")) == "2.000000000"


def test_batches_and_tiers_whose_price_is_not_known_are_unknown(pricer: Pricer) -> None:
    used = PricedUsage(input=1_000_000)
    assert list_price(pricer, facts(used, name="plain", is_batch=True)) == ""
    assert list_price(pricer, facts(used, name="plain", tier="flex")) == ""
    before = microseconds(datetime(2030, 5, 31))
    assert list_price(pricer, facts(used, tier="priority"), at=before) == ""
    assert list_price(pricer, facts(used, tier="priority")) == "3.000000000"


def test_a_reseller_has_the_maker_s_list_price_and_none_of_its_discounts(pricer: Pricer) -> None:
    used = PricedUsage(input=1_000_000)
    assert list_price(pricer, facts(used), provider="azure") == "2.000000000"
    assert list_price(pricer, facts(used, is_batch=True), provider="azure") == ""


@pytest.mark.parametrize("name", ["openai", " OpenAI ", "openai_chat", "openai-responses"])
def test_a_provider_is_known_by_its_usual_names(pricer: Pricer, name: str) -> None:
    assert list_price(pricer, facts(PricedUsage(input=1_000_000)), provider=name) == "2.000000000"


@pytest.mark.parametrize("name", ["", "lmstudio_openai", "ollama", "my-openai-proxy", "unknown"])
def test_no_price_is_invented_for_a_provider_without_a_list(pricer: Pricer, name: str) -> None:
    assert list_price(pricer, facts(PricedUsage(input=1_000_000)), provider=name) == ""


def test_the_url_says_better_than_the_name_who_bills(pricer: Pricer) -> None:
    used = facts(PricedUsage(input=1_000_000))
    assert list_price(pricer, used, url="https://openrouter.ai/api/v1/chat/completions") == "5.000000000"
    assert list_price(pricer, used, url="http://gateway.internal/v1/chat/completions") == "2.000000000"


def test_each_iteration_has_its_own_model_s_price(pricer: Pricer) -> None:
    used = [PricedUsage(input=1_000_000), PricedUsage(model="plain", input=1_000_000)]
    assert list_price(pricer, facts(*used)) == "2.150000000"
    assert list_price(pricer, facts(*used, PricedUsage(model="never heard of", input=1))) == ""


def test_the_sender_s_model_is_asked_where_the_reply_names_none_that_is_known(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=1_000_000), name="arn:something")
    assert pricer.cost(found, "openai", "plain-2030", "", MOMENT) == (Decimal("0.15"), "list_price")


@pytest.mark.parametrize(
    "found", [Facts(), Facts(usage_source="reported"), Facts(priced=[PricedUsage(input=5)])]
)
def test_unknown_usage_costs_an_unknown_amount_and_not_nothing(pricer: Pricer, found: Facts) -> None:
    assert pricer.cost(found, "openai", "plain", "", MOMENT) == (None, "")


@pytest.mark.parametrize("used", [PricedUsage(input=5), PricedUsage(output=5)])
def test_a_model_that_is_not_priced_by_the_token_has_no_cost(pricer: Pricer, used: PricedUsage) -> None:
    assert list_price(pricer, facts(used, name="speech")) == ""


def test_output_of_a_model_that_has_a_price_for_input_alone_is_unknown(pricer: Pricer) -> None:
    assert list_price(pricer, facts(PricedUsage(input=5, output=5), name="by-request")) == ""


def test_the_provider_s_own_cost_wins(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=1_000_000))
    found.cost_usd = 0.00014
    assert pricer.cost(found, "openai", "", "", MOMENT) == (Decimal("0.00014"), "provider")
    found.cost_usd = "not a number"
    assert pricer.cost(found, "openai", "", "", MOMENT) == (Decimal(2), "list_price")


@pytest.mark.parametrize(
    ("written", "dollars"),
    [
        (0, Decimal(0)),
        (1e-9, Decimal("1e-9")),
        ("0.0000000014", Decimal("0.000000001")),
        ("1e99", MAX_COST),
        ("1" * 50, MAX_COST),
        ("-1", None),
        ("nan", None),
        (float("inf"), None),
        ("", None),
        ("free", None),
    ],
)
def test_a_reported_cost_is_kept_within_its_column(written: float | str, dollars: Decimal | None) -> None:
    assert reported_cost(written) == dollars


def test_a_cost_beyond_the_column_is_its_largest_value(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=10**400))
    assert pricer.cost(found, "openai", "", "", MOMENT) == (MAX_COST, "list_price")


def test_a_share_of_a_nanodollar_is_rounded_once_at_the_end(pricer: Pricer) -> None:
    shares = [PricedUsage(model="plain", input=1)] * 2
    assert list_price(pricer, facts(PricedUsage(input=1), name="plain")) == "0.000000150"
    assert list_price(pricer, facts(*shares)) == "0.000000300"


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("google_vertex", "gemini-2.5-pro"),
        ("bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("azure", "gpt-4o-2024-08-06"),
        ("xai", "grok-3"),
    ],
)
def test_the_library_s_own_calculation_agrees(provider: str, name: str) -> None:
    from genai_prices import Usage, calc_price

    ids = {"google_vertex": "google", "bedrock": "aws", "xai": "x-ai"}
    used = PricedUsage(input=12_345, output=678, cache_read=900)
    theirs = calc_price(
        Usage(input_tokens=used.input, output_tokens=used.output, cache_read_tokens=used.cache_read),
        model_ref=name,
        provider_id=ids.get(provider, provider),
        genai_request_timestamp=datetime.fromtimestamp(MOMENT // 1_000_000, UTC),
    )
    ours, source = Pricer().cost(facts(used, name=name), provider, "", "", MOMENT)
    assert (ours, source) == (round(theirs.total_price, 9), "list_price")
