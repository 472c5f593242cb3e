"""Own prices: the file is taken whole or refused by entry and field, and the first match holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.records.pricing import Price, PricedCall, PriceList, Pricer
from llmledgerd.records.pricing.own_prices import OwnPrices, parsed
from llmledgerd.records.pricing.reasons import REASONS
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from tests.unit.records.pricing.test_pricer import PROVIDERS

GUIDE = (Path(__file__).resolve().parents[4] / "docs" / "prices.md").read_text()
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)


def own(text: str) -> OwnPrices:
    return parsed(text.encode(), "/etc/prices.toml", "prices.toml 2026-11-01")


def us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def price(
    text: str,
    *,
    provider: str = "openai",
    model: str = "large",
    org: str = "",
    url: str = "",
    at: datetime = NOON,
    latency_ms: int = 0,
    facts: Facts | None = None,
) -> Price:
    pricer = Pricer(PriceList(PROVIDERS, "the list"), own(text))
    used = [PricedUsage(input=1_000_000, output=1_000_000)]
    found = facts or Facts(model=model, usage_source="reported", priced=used)
    made = pricer.price(found, PricedCall(provider, model, url, us(at), org, latency_ms))
    assert sum(made.parts.values()) == (made.usd or 0)
    return made


def test_the_guide_s_examples_are_prices() -> None:
    examples = re.findall(r"```(?:toml|json)\n(.*?)```", GUIDE, re.DOTALL)
    assert [len(own(text).entries) for text in examples] == [4, 4, 1]


def test_the_guide_lists_every_reason_with_its_meaning() -> None:
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in GUIDE


def test_an_own_price_wins_over_the_list_and_names_the_file() -> None:
    found = price('[[prices]]\nname="ours"\nmodel="large"\nper_million_tokens={input=1, output=3}')
    assert (found.usd, found.source) == (Decimal(4), "own_price")
    assert found.price_list == "prices.toml 2026-11-01 (ours), the list"


def test_what_an_entry_does_not_name_falls_through_to_the_list() -> None:
    assert price('[[prices]]\nmodel="large"\nper_million_tokens={input=1}').parts == {
        "input": Decimal(1),
        "output": Decimal(8),
    }
    assert price('[[prices]]\nmodel="other"\nper_million_tokens={input=1}').source == "list_price"
    missing = price('[[prices]]\nmodel="mine"\nper_million_tokens={input=1}', model="mine")
    assert (missing.usd, missing.reason) == (None, "no_price_for_part:output")


def test_the_first_entry_that_matches_holds() -> None:
    two = '[[prices]]\nmodel="la*"\nper_call=1\n[[prices]]\nmodel="large"\nper_call=2'
    assert price(two).usd == 1


def test_a_price_changes_at_its_moment_in_the_middle_of_a_day() -> None:
    text = (
        '[[prices]]\nmodel="large"\nuntil=2026-11-17T12:37:20.000005Z\nper_call=1\n'
        '[[prices]]\nmodel="large"\nfrom=2026-11-17T12:37:20.000005Z\nper_call=2'
    )
    change = datetime(2026, 11, 17, 12, 37, 20, 5, tzinfo=UTC)
    assert price(text, at=change - timedelta(microseconds=1)).usd == 1
    assert price(text, at=change).usd == 2


def test_a_time_without_a_zone_is_utc_and_a_date_its_midnight() -> None:
    for moment in (
        "2026-11-17",
        "2026-11-17T00:00:00",
        '"2026-11-17T00:00:00"',
        '"2026-11-17T01:00:00+01:00"',
    ):
        text = f"[[prices]]\nfrom={moment}\nper_call=1"
        midnight = datetime(2026, 11, 17, tzinfo=UTC)
        assert price(text, at=midnight).usd == 1
        assert price(text, at=midnight - timedelta(microseconds=1)).source == "list_price"


def test_a_discount_for_one_organization_is_taken_off_the_list_price() -> None:
    text = '[[prices]]\norganization="acme"\ndiscount_percent=15'
    assert price(text, org="acme").usd == Decimal("8.5")
    assert price(text, org="acme").source == "own_price"
    assert price(text, org="other").usd == Decimal(10)
    assert price("[[prices]]\nmarkup_percent=5", org="x").usd == Decimal("10.5")
    assert price(text, org="acme", model="unheard-of").reason == "no_price"


def test_an_amount_is_not_one_for_a_tier_that_costs_something_else_unless_it_says_so() -> None:
    flex = Facts(
        model="large", usage_source="reported", priced=[PricedUsage(input=1_000_000)], service_tier="flex"
    )
    assert price("[[prices]]\nper_million_tokens={input=7}", facts=flex).usd == Decimal("1.5")
    assert price('[[prices]]\ntier="*"\nper_million_tokens={input=7}', facts=flex).usd == 7
    assert price('[[prices]]\ntier="flex"\nper_million_tokens={input=6}', facts=flex).usd == 6
    assert price("[[prices]]\ndiscount_percent=50", facts=flex).usd == Decimal("0.75")


def test_a_self_hosted_model_has_the_price_that_its_owner_says() -> None:
    text = '[[prices]]\nmodel="llama*"\nper_million_tokens={input=0.05, output=0.2}'
    found = price(text, model="llama-3", url="http://10.0.0.5:8000/v1/chat/completions")
    assert (found.usd, found.source) == (Decimal("0.25"), "own_price")
    assert price(text, url="http://10.0.0.5:8000/v1").reason == "own_model"


def test_seconds_and_calls_are_the_whole_price_whatever_the_usage() -> None:
    text = '[[prices]]\nprovider="box"\nper_second="0.002"\nper_call=0.5'
    found = price(text, provider="box", latency_ms=1500, facts=Facts())
    assert found.parts == {"duration": Decimal("0.003"), "request": Decimal("0.5")}
    assert price(text, provider="box", facts=Facts()).reason == "usage_unknown"


def test_a_plan_covers_its_calls_by_its_name() -> None:
    found = price('[[prices]]\nflat_plan="all you can eat"', facts=Facts())
    assert (found.usd, found.parts, found.source) == (Decimal(0), {}, "own_price")
    assert found.price_list == "prices.toml 2026-11-01 (all you can eat)"


def test_another_currency_is_turned_into_dollars_by_the_rate_that_is_said() -> None:
    text = '[[prices]]\ncurrency="EUR"\nusd_rate=1.08\nper_million_tokens={input=1, output=2}'
    assert price(text).usd == Decimal("3.24")


def test_units_may_have_own_prices() -> None:
    facts = Facts(model="mine", usage_source="reported", units={"search_unit": Decimal(3)})
    assert price('[[prices]]\nper_unit={search_unit="0.002"}', model="mine", facts=facts).usd == Decimal(
        "0.006"
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("per_calls=1", "unknown field `per_calls`"),
        ("", "give amounts"),
        ("per_call=1\ndiscount_percent=5", "give amounts"),
        ("discount_percent=5\nmarkup_percent=5", "`markup_percent`: not together"),
        ("discount_percent=101", "`discount_percent`: above 100"),
        ("per_call=-1", "`per_call`: -1 is not between"),
        ("per_call=true", "`per_call`: not a number"),
        ("per_call=nan", "`per_call`: "),
        ('per_call="1,5"', "`per_call`: `1,5` is not a number"),
        ("per_call=0.0000000000001", "more than 12 decimal places"),
        ("per_million_tokens={inputs=1}", "`inputs` is no part"),
        ("per_million_tokens=1", "per_million_tokens"),
        ('per_call=1\nfrom="soon"', "`from`: `soon` is neither a date nor a time"),
        ("per_call=1\nfrom=2026-02-01\nuntil=2026-01-01", "`until`: not after `from`"),
        ("per_call=1\nfrom=5", "`from`: not a date or a time"),
        ('per_call=1\ncurrency="EUR"', "`usd_rate` is required"),
        ('per_call=1\ncurrency="euro"', "currency"),
        ("per_call=1\nusd_rate=2", "`usd_rate`: only with another"),
        ("per_call=1\nmodel=5", "model"),
    ],
)
def test_what_is_wrong_is_said_with_file_entry_and_field(entry: str, said: str) -> None:
    text = f'[[prices]]\nper_call=1\n[[prices]]\nname="second"\n{entry}'
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        own(text)
    assert str(caught.value).startswith("/etc/prices.toml: entry 2 (second): ")


@pytest.mark.parametrize("text", ["[[price]]", "prices=1", "{", "\x00", "{" * 5000, '{"prices": [1]}'])
def test_a_file_that_is_no_list_of_prices_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("/etc/prices.toml: ")):
        own(text)
