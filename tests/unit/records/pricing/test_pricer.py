"""Costs: the provider's word, the list price of the moment, or unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmledgerd.records.pricing import Price, PricedCall, PriceList, Pricer
from llmledgerd.records.pricing.list_data import (
    Condition,
    ConditionalPrice,
    Model,
    Prices,
    PriceVariant,
    Provider,
    Rule,
    Tier,
    TieredPrices,
)
from llmledgerd.usage.exchange_facts import Facts, PricedUsage

CHANGE = date(2030, 6, 1)


def price(**rates: str | TieredPrices) -> Prices:
    return {key: Decimal(rate) if isinstance(rate, str) else rate for key, rate in rates.items()}


def tiered(base: str, start: int, beyond: str) -> TieredPrices:
    return TieredPrices(base=Decimal(base), tiers=(Tier(start=start, price=Decimal(beyond)),))


def model(name: str, prices: Prices | tuple[ConditionalPrice, ...], *variants: PriceVariant) -> Model:
    return Model(id=name, match=Rule(starts_with=name), prices=prices, price_variants=variants)


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
        web_searches_kcount="10",
    ),
    PriceVariant(when={"processing": "batch"}, prices=price(input_mtok="1", output_mtok="4")),
    PriceVariant(when={"service_tier": "flex"}, prices=price(input_mtok="1.5")),
    PriceVariant(
        when={"service_tier": "priority"},
        prices=price(input_mtok="3"),
        constraint=Condition(start_date=CHANGE),
    ),
)
MODELS = [
    LARGE,
    model("plain", price(input_mtok="0.15", output_mtok="0.6")),
    model("steps", price(input_mtok=tiered("1", 200, "3"), output_mtok=tiered("10", 200, "15"))),
    model(
        "changed",
        (
            ConditionalPrice(price(input_mtok="4")),
            ConditionalPrice(price(input_mtok="1"), Condition(start_date=CHANGE)),
        ),
    ),
    model(
        "by-night",
        (
            ConditionalPrice(price(input_mtok="1")),
            ConditionalPrice(
                price(input_mtok="2"),
                Condition(start_time=time(0, 30, tzinfo=UTC), end_time=time(16, 30, tzinfo=UTC)),
            ),
        ),
    ),
    model("by-request", price(input_mtok="1", requests_kcount="12")),
    model("speech", price(audio_hours="0.36")),
    model("gift", price()),
    model(
        "cached",
        price(
            input_mtok=tiered("1", 2000, "2"),
            cache_read_mtok=tiered("0.1", 2000, "0.2"),
            cache_write_mtok="1.25",
            output_mtok=tiered("2", 2000, "4"),
        ),
    ),
    model("rounded", price(input_mtok="0.0000011", cache_read_mtok="0.0000005", output_mtok="0.0000005")),
]
PROVIDERS = [
    Provider(id="openai", api_pattern=r"https://api\.openai\.com", models=tuple(MODELS)),
    Provider(
        id="azure",
        api_pattern=r"https://[^/]*\.openai\.azure\.com",
        fallback_model_providers=("openai",),
    ),
    Provider(
        id="openrouter",
        api_pattern=r"https://openrouter\.ai",
        models=(model("large", price(input_mtok="5")),),
    ),
]


@pytest.fixture(name="pricer")
def _pricer() -> Pricer:
    return Pricer(PriceList(PROVIDERS, "the list"))


PRICER = Pricer(PriceList(PROVIDERS, "the list"))


def microseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000


MOMENT = microseconds(datetime(2030, 7, 1, 20))


def facts(*priced: PricedUsage, tier: str = "", is_batch: bool = False, name: str = "large") -> Facts:
    return Facts(
        model=name, usage_source="reported", priced=list(priced), service_tier=tier, is_batch=is_batch
    )


def priced(
    pricer: Pricer, found: Facts, *, provider: str = "openai", url: str = "", sent: str = "", at: int = MOMENT
) -> Price:
    """Return the price, whose parts are its cost."""
    price = pricer.price(found, PricedCall(provider, sent, url, at))
    assert sum(price.parts.values()) == (price.usd or 0)
    assert (
        (price.usd is None)
        == (price.source == "")
        == (price.reason != "")
        == (price.price_list == "" and price.source != "provider")
    )
    return price


def list_price(
    pricer: Pricer, found: Facts, *, provider: str = "openai", url: str = "", at: int = MOMENT
) -> str:
    """Return the cost as text, and the reason where there is none."""
    price = priced(pricer, found, provider=provider, url=url, at=at)
    return price.reason if price.usd is None else f"{price.usd:f}"


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


@pytest.mark.parametrize(
    ("used", "part"),
    [
        (PricedUsage(input=10, cache_read=4), "cache_read"),
        (PricedUsage(input=10, cache_write=4), "cache_write_5m"),
        (PricedUsage(input=10, cache_write=10, cache_write_1h=10), "cache_write_1h"),
        (PricedUsage(input=10, input_audio=5), "input_audio"),
        (PricedUsage(output=10, output_audio=5), "output_audio"),
        (PricedUsage(output=10, output_image=5), "output_image"),
        (PricedUsage(output=10, output_video=5), "output_video"),
        (PricedUsage(input=10, citation=5), "citation"),
    ],
)
def test_a_part_without_its_own_price_makes_the_whole_unknown_and_is_named(
    pricer: Pricer, used: PricedUsage, part: str
) -> None:
    assert list_price(pricer, facts(used, name="plain")) == f"no_price_for_part:{part}"


@pytest.mark.parametrize(
    "used",
    [
        PricedUsage(input=1_000_000, input_image=400_000),
        PricedUsage(input=1_000_000, input_video=400_000),
        PricedUsage(input=1_000_000, input_image=400_000, cache_image_read=0),
    ],
)
def test_images_and_video_count_as_text_where_the_list_has_one_price(
    pricer: Pricer, used: PricedUsage
) -> None:
    assert list_price(pricer, facts(used, name="plain")) == "0.150000000"


@pytest.mark.parametrize(
    "used",
    [
        PricedUsage(input=10, cache_read=11),
        PricedUsage(input=10, cache_read=6, cache_write=6),
        PricedUsage(input=10, cache_write=5, cache_write_1h=6),
        PricedUsage(output=10, reasoning=11),
        PricedUsage(input=10, input_audio=11),
        PricedUsage(input=10, input_audio=1, cache_read=5, cache_audio_read=2),
        PricedUsage(input=10, cache_image_read=5),
        PricedUsage(output=10, output_audio=11),
    ],
)
def test_parts_above_their_whole_contradict_it(pricer: Pricer, used: PricedUsage) -> None:
    assert list_price(pricer, facts(used)) == "usage_mismatch"


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
    assert list_price(pricer, facts(used, name="plain", is_batch=True)) == "no_price_for_tier"
    for tier in ("flex", "scale", "provisioned_throughput", "optimized", "a tier of next year", "auto"):
        assert list_price(pricer, facts(used, name="plain", tier=tier)) == "no_price_for_tier"
    before = microseconds(datetime(2030, 5, 31))
    assert list_price(pricer, facts(used, tier="priority"), at=before) == "no_price_for_tier"
    assert list_price(pricer, facts(used, tier="priority")) == "3.000000000"


def test_a_reseller_has_the_maker_s_list_price_and_none_of_its_discounts(pricer: Pricer) -> None:
    used = PricedUsage(input=1_000_000)
    assert list_price(pricer, facts(used), provider="azure") == "2.000000000"
    assert list_price(pricer, facts(used, is_batch=True), provider="azure") == "no_price_for_tier"
    searched = facts(used)
    searched.units = {"web_search": Decimal(1)}
    assert list_price(pricer, searched, provider="azure") == "no_price_for_part:web_search"


@pytest.mark.parametrize("name", ["openai", " OpenAI ", "openai_chat", "openai-responses"])
def test_a_provider_is_known_by_its_usual_names(pricer: Pricer, name: str) -> None:
    assert list_price(pricer, facts(PricedUsage(input=1_000_000)), provider=name) == "2.000000000"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "no_price"),
        ("my-openai-proxy", "no_price"),
        ("unknown", "no_price"),
        ("lmstudio_openai", "own_model"),
        ("ollama", "own_model"),
        ("vLLM", "own_model"),
    ],
)
def test_no_price_is_invented_for_a_provider_without_a_list(pricer: Pricer, name: str, reason: str) -> None:
    assert list_price(pricer, facts(PricedUsage(input=1_000_000)), provider=name) == reason


def test_the_url_says_better_than_the_name_who_bills(pricer: Pricer) -> None:
    used = facts(PricedUsage(input=1_000_000))
    assert list_price(pricer, used, url="https://openrouter.ai/api/v1/chat/completions") == "5.000000000"
    assert list_price(pricer, used, url="https://gateway.example.com/v1/chat/completions") == "2.000000000"


@pytest.mark.parametrize(
    "host", ["localhost:8000", "10.1.2.3", "gateway.internal", "litellm:4000", "[::1]:80"]
)
def test_a_private_address_is_no_evidence_of_a_list_price(pricer: Pricer, host: str) -> None:
    used = facts(PricedUsage(input=1_000_000))
    assert list_price(pricer, used, url=f"http://{host}/v1/chat/completions") == "own_model"


def test_each_iteration_has_its_own_model_s_price(pricer: Pricer) -> None:
    used = [PricedUsage(input=1_000_000), PricedUsage(model="plain", input=1_000_000)]
    assert list_price(pricer, facts(*used)) == "2.150000000"
    assert list_price(pricer, facts(*used, PricedUsage(model="never heard of", input=1))) == "no_price"


@pytest.mark.parametrize(
    ("replied", "sent", "reason"),
    [
        ("", "plain", ""),
        ("unheard-of", "plain", "no_price"),
        ("plain-2030-01-01", "plain", ""),
        ("ft:plain:acme::1", "plain", "no_price"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", "plain", ""),
    ],
)
def test_the_sender_s_model_counts_only_where_the_reply_names_no_other(
    pricer: Pricer, replied: str, sent: str, reason: str
) -> None:
    found = facts(PricedUsage(input=1_000_000), name=replied)
    price = priced(pricer, found, sent=sent)
    assert (price.reason, price.model) == (reason, replied or sent)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Facts(), "usage_unknown"),
        (Facts(usage_source="reported"), "usage_unknown"),
        (Facts(priced=[PricedUsage(input=5)]), "usage_unknown"),
        (Facts(usage_source="partial", priced=[PricedUsage(input=5)]), "usage_partial"),
        (
            Facts(usage_source="reported", usage_check="mismatch", priced=[PricedUsage(input=5)]),
            "usage_mismatch",
        ),
        (
            Facts(usage_source="reported", doubt="other_currency", priced=[PricedUsage(input=5)]),
            "other_currency",
        ),
        (Facts(usage_source="reported", priced=[PricedUsage(input=1 << 32)]), "usage_out_of_range"),
        (Facts(usage_source="reported", priced=[PricedUsage(output=10**400)]), "usage_out_of_range"),
    ],
)
def test_usage_that_cannot_be_priced_has_no_cost(pricer: Pricer, found: Facts, reason: str) -> None:
    assert priced(pricer, found, sent="plain").reason == reason


@pytest.mark.parametrize(
    ("used", "part"), [(PricedUsage(input=5), "input"), (PricedUsage(output=5), "output")]
)
def test_a_model_that_is_not_priced_by_the_token_has_no_cost(
    pricer: Pricer, used: PricedUsage, part: str
) -> None:
    assert list_price(pricer, facts(used, name="speech")) == f"no_price_for_part:{part}"


def test_output_of_a_model_that_has_a_price_for_input_alone_is_unknown(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=5, output=5), name="by-request")
    assert list_price(pricer, found) == "no_price_for_part:output"


def test_a_model_without_any_price_in_its_list_is_free_but_for_what_is_not_text(pricer: Pricer) -> None:
    assert list_price(pricer, facts(PricedUsage(input=5, output=5), name="gift")) == "0.000000000"
    audio = facts(PricedUsage(input=5, input_audio=5), name="gift")
    assert list_price(pricer, audio) == "no_price_for_part:input_audio"


def test_what_is_billed_beside_tokens_is_added_or_named(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=1_000_000))
    found.units = {"web_search": Decimal(3)}
    price = priced(pricer, found)
    assert price.parts == {"input": Decimal(2), "web_search": Decimal("0.03")}
    found.units = {"web_search": Decimal(3), "code_interpreter": Decimal(1)}
    assert priced(pricer, found).reason == "no_price_for_part:code_interpreter"


def test_seconds_of_audio_have_the_price_of_hours(pricer: Pricer) -> None:
    found = Facts(model="speech", usage_source="reported", units={"audio_second": Decimal("90")})
    assert priced(pricer, found).parts == {"audio_second": Decimal("0.009")}


def test_the_provider_s_own_cost_wins(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=1_000_000))
    found.cost_usd = 0.00014
    price = priced(pricer, found)
    assert (price.usd, price.source) == (Decimal("0.00014"), "provider")
    assert price.parts == {"total": Decimal("0.00014")}
    found.cost_usd = "not a number"
    assert priced(pricer, found).source == "list_price"


def test_a_share_of_a_nanodollar_is_rounded_once_at_the_end(pricer: Pricer) -> None:
    shares = [PricedUsage(model="plain", input=1)] * 2
    assert list_price(pricer, facts(PricedUsage(input=1), name="plain")) == "0.000000150"
    assert list_price(pricer, facts(*shares)) == "0.000000300"


def test_a_stored_row_is_priced_as_on_arrival(pricer: Pricer) -> None:
    found = facts(PricedUsage(input=1000, output=10), name="plain-2030-01-01")
    found.request_model = "large"
    price = pricer.price(found, PricedCall("openai", "large", "", MOMENT))
    found.model = ""
    again = pricer.price(found, PricedCall("openai", "large", "", MOMENT, priced_model=price.model))
    assert again == price


COUNTS = st.integers(0, 3_000_000)
USAGES = st.builds(
    PricedUsage,
    **{name: COUNTS | st.just(0) for name in PricedUsage.__struct_fields__ if name != "model"},
)
UNITS = st.dictionaries(
    st.sampled_from(("web_search", "page", "shell")), st.integers(0, 9).map(Decimal), max_size=2
)


@given(USAGES, UNITS, st.sampled_from(("large", "plain", "steps", "by-request", "rounded")))
@example(PricedUsage(cache_write_1h=1), {}, "large")
def test_no_count_above_0_is_without_a_part_or_a_reason(
    used: PricedUsage, units: dict[str, Decimal], name: str
) -> None:
    found = facts(used, name=name)
    found.units = units
    price = priced(PRICER, found)
    if price.usd is not None:
        assert {unit for unit, count in units.items() if count} <= set(price.parts)
        for field in ("cache_write_1h", "input_audio", "output_audio", "cache_audio_read", "citation"):
            whole = used.input if field != "output_audio" else used.output
            assert getattr(used, field) <= whole
        assert bool(price.parts) == bool(
            used.input or used.output or any(units.values()) or name == "by-request"
        ) or (name == "rounded")


@given(
    USAGES, st.sampled_from(("input", "output")), st.integers(1, 10**6), st.sampled_from(("large", "plain"))
)
def test_more_tokens_never_cost_less(used: PricedUsage, field: str, more: int, name: str) -> None:
    before = priced(PRICER, facts(used, name=name)).usd
    larger = msgspec.structs.replace(used, **{field: getattr(used, field) + more})
    after = priced(PRICER, facts(larger, name=name)).usd
    assert before is None or after is None or after >= before


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from(("cached", "steps", "rounded")))
def test_a_usual_call_costs_the_same_by_all_parts(
    fresh: int, read: int, write: int, written: int, name: str
) -> None:
    used = PricedUsage(input=fresh + read + write, cache_read=read, cache_write=write, output=written)
    quick = priced(PRICER, facts(used, name=name))
    halves = [msgspec.structs.replace(used), PricedUsage()]  # two entries are not usual
    by_parts = priced(PRICER, facts(*halves, name=name))
    assert (quick.usd, quick.parts, quick.reason) == (by_parts.usd, by_parts.parts, by_parts.reason)


def test_a_usual_call_is_priced_by_hand() -> None:
    used = PricedUsage(input=600, cache_read=200, cache_write=100, output=50)
    assert priced(PRICER, facts(used, name="cached")).parts == {
        "input": Decimal("0.0003"),
        "cache_read": Decimal("0.00002"),
        "cache_write_5m": Decimal("0.000125"),
        "output": Decimal("0.0001"),
    }
    above = PricedUsage(input=2001, cache_read=1, output=1)
    assert priced(PRICER, facts(above, name="cached")).usd == Decimal("0.0040042")


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
    price = priced(Pricer(), facts(used, name=name), provider=provider)
    assert (price.usd, price.source) == (round(theirs.total_price, 9), "list_price")
