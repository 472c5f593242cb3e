"""A name never matches another model's price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llmledgerd.records.pricing import PricedCall, Pricer
from llmledgerd.records.pricing.names import is_opaque, is_version_of, provider_name, says_more
from llmledgerd.records.pricing.price_list import PriceList, Query
from llmledgerd.usage.exchange_facts import Facts, PricedUsage

NOW = datetime(2026, 11, 17, 12, tzinfo=UTC)
LIST = PriceList()


def input_rate(provider: str, model: str, *further: str, region: str = "", url: str = "") -> str:
    """Return dollars per million tokens of input, or the reason why there are none."""
    found = LIST.look_up(Query(provider, url, (model, *further), "", region), NOW)
    if found.sheet is None:
        return found.reason
    rate = found.sheet.rates[0].input
    return "" if rate is None else f"{rate / 10**12:g}"


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("google", "models/gemini-2.5-flash", "0.3"),
        ("google", "publishers/google/models/gemini-2.5-flash", "0.3"),
        ("vertex_ai", "projects/p/locations/global/publishers/google/models/gemini-2.5-flash", "0.3"),
        ("google", "gemini-2.5-flash-001", "0.3"),
        ("google", "claude-opus-4-1@20250805", "15"),
        ("huggingface_novita", "Qwen/Qwen3-32B", "0.1"),
        ("huggingface", "Qwen/Qwen3-32B:novita", "0.1"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", "0.56"),
        ("fireworks", "deepseek-v3p2", "0.56"),
        ("cloudflare", "@cf/meta/llama-3.1-8b-instruct", "0.282"),
        ("cloudflare", "meta/llama-3.1-8b-instruct", "0.282"),
        ("openrouter", "nobody/knows:free", "0"),
        ("openai", "openai/gpt-4o", "2.5"),
        ("openai", "gpt-4o-20241120", "2.5"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::x", "3.75"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme:name:x", "0.3"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "0.25",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3",
        ),
        ("bedrock", "amazon.titan-text-express-v1:0:8k", "0.2"),
        ("azure", "gpt-4o-2024-08-06", "2.5"),
    ],
)
def test_the_names_that_providers_write_are_found(provider: str, model: str, dollars: str) -> None:
    assert input_rate(provider, model) == dollars


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("google", "gemini-1.5-flash-8b"),
        ("google", "gemini-2.5-pro-tuned-for-me"),
        ("openai", "ft:gpt-4o:acme::x"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:acme::x"),
        ("openai", "gpt-4o-unheard-of"),
        ("azure", "my-o4-mini"),
        ("anthropic", "claude-3-5-haiku-fast"),
        ("deepseek", "deepseek-r1-distill-llama-70b"),
        ("fireworks", "accounts/acme/models/deepseek-v3p2"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/abc"),
        ("openai", "gpt-4o:free"),
    ],
)
def test_a_name_that_says_more_than_a_price_s_has_none(provider: str, model: str) -> None:
    assert input_rate(provider, model) == "no_price"


def test_every_model_of_the_list_is_found_by_its_own_name() -> None:
    """By its id, where the list's own rule means that."""
    lost = [
        (provider.id, model.id)
        for provider in LIST.providers
        if provider.id not in ("openai-decisions", "aws") and not provider.id.startswith("huggingface_")
        for model in provider.models
        if model.match.is_match(model.id.lower()) and input_rate(provider.id, model.id) == "no_price"
    ]
    assert lost == []


def test_bedrock_is_priced_by_the_request_s_name_which_has_the_geography() -> None:
    asked = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert input_rate("bedrock", "claude-sonnet-4-5-20250929", asked) == "3"
    hidden = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    assert input_rate("bedrock", "claude-sonnet-4-5-20250929", hidden) == "no_price_for_region"


def test_a_free_variant_is_free_whatever_the_reply_calls_it() -> None:
    assert input_rate("openrouter", "openai/gpt-4o", "openai/gpt-4o:free") == "0"


@pytest.mark.parametrize(
    ("provider", "model", "region", "dollars"),
    [
        ("openai", "gpt-4o", "eu", "2.5"),
        ("openai", "gpt-6-sol", "eu", "no_price_for_region"),
        ("openai", "gpt-5.4", "eu", "no_price_for_region"),
        ("openai", "gpt-5.2", "us", "1.75"),
        ("anthropic", "claude-opus-4-6", "us", "no_price_for_region"),
        ("anthropic", "claude-opus-4-6", "global", "5"),
        ("anthropic", "claude-opus-4-6", "not_available", "5"),
        ("anthropic", "claude-sonnet-4-5", "us", "3"),
        ("google", "claude-sonnet-4-5@20250929", "global", "3"),
        ("google", "claude-sonnet-4-5@20250929", "us-east5", "no_price_for_region"),
        ("google", "claude-3-5-haiku@20241022", "us-east5", "0.8"),
        ("google", "gemini-2.5-flash", "europe-west4", "0.3"),
        ("google", "gemini-3-flash-preview", "europe-west4", "no_price_for_region"),
        ("bedrock", "amazon.nova-lite-v1:0", "us-east-1", "0.06"),
        ("bedrock", "amazon.nova-lite-v1:0", "eu-west-1", "no_price_for_region"),
        ("bedrock", "eu.amazon.nova-lite-v1:0", "", "no_price_for_region"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-west-1", "3.3"),
        (
            "bedrock",
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov-west-1",
            "no_price_for_region",
        ),
        ("groq", "llama-3.3-70b-versatile", "mars", "no_price_for_region"),
    ],
)
def test_a_region_that_costs_more_has_the_list_s_price_for_it_or_none(
    provider: str, model: str, region: str, dollars: str
) -> None:
    assert input_rate(provider, model, region=region) == dollars


def test_names_of_providers_are_matched_whole() -> None:
    assert provider_name(" Azure_OpenAI ") == "azure"
    assert provider_name("lmstudio_openai") == "lmstudio-openai"


@pytest.mark.parametrize(
    ("replied", "asked", "expected"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o-audio-preview", "gpt-4o", False),
        ("gpt-4o", "gpt-4o-mini", False),
    ],
)
def test_a_version_is_a_date_or_a_number(replied: str, asked: str, expected: bool) -> None:
    assert is_version_of(replied, asked) is expected


@pytest.mark.parametrize(
    ("asked", "replied", "expected"),
    [
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307", True),
        ("Qwen/Qwen3-32B:fireworks-ai", "accounts/fireworks/models/qwen3-32b", True),
        ("openai/gpt-4o:free", "openai/gpt-4o", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("my-gpt-4o", "gpt-4o", False),
        ("gpt-4o", "", False),
    ],
)
def test_a_request_may_say_more_of_the_same_model(asked: str, replied: str, expected: bool) -> None:
    assert says_more(asked, replied) is expected


def test_a_profile_of_one_s_own_says_nothing_of_the_model() -> None:
    assert is_opaque("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc")
    assert not is_opaque("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0")


@pytest.mark.parametrize(("provider", "model", "dollars"), [("groq", "whisper-large-v3", "0.000308333")])
def test_a_short_recording_is_billed_as_its_provider_s_shortest(
    provider: str, model: str, dollars: str
) -> None:
    facts = Facts(model=model, usage_source="reported", units={"audio_second": Decimal(3)})
    assert Pricer(LIST).price(facts, PricedCall(provider, model)).usd == Decimal(dollars)


def test_a_fee_by_the_size_of_the_context_is_known_for_the_size_that_the_list_has() -> None:
    facts = Facts(model="sonar", usage_source="reported", priced=[PricedUsage(input=1000)])
    call = PricedCall("perplexity", "sonar")
    assert Pricer(LIST).price(facts, call).reason == "no_price_for_part:request"
    facts.units = {"request_low": Decimal(1)}
    assert Pricer(LIST).price(facts, call).reason == "no_price_for_part:request"
    facts.units = {"request_high": Decimal(1)}
    parts = Pricer(LIST).price(facts, call).parts
    assert parts == {"input": Decimal("0.001"), "request": Decimal("0.012")}


def test_the_one_output_price_of_a_model_that_makes_images_or_speech_is_theirs() -> None:
    made = Facts(
        model="gpt-image-1", usage_source="reported", priced=[PricedUsage(output=1000, output_image=1000)]
    )
    assert Pricer(LIST).price(made, PricedCall("openai", "gpt-image-1")).parts == {
        "output_image": Decimal("0.04")
    }
    said = Facts(
        model="gemini-2.5-flash-preview-tts",
        usage_source="reported",
        priced=[PricedUsage(output=1000, output_audio=1000)],
    )
    assert Pricer(LIST).price(said, PricedCall("google", "x")).parts == {"output_audio": Decimal("0.01")}
