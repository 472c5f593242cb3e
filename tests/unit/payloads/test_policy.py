"""Which payloads are kept, and where: rules, rates, names."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.config.options import PayloadRule
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.payloads import names, sampling, wiring
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.stores.registry import load

NOON_US = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 1_000_000
BATCH = "6d0c0d6c-7d7e-4c8e-9b39-6f5d2b4f2c11"


def test_the_first_rule_that_matches_decides_and_the_default_says_the_rest() -> None:
    policy = Policy(
        Decision(mode="offload", above_bytes=100, sample_rate=0.5),
        [
            PayloadRule(organization_id="acme", call_type="embedding", mode="metadata_only"),
            PayloadRule(organization_id="acme", sample_rate=1.0),
            PayloadRule(call_type="embedding", mode="inline"),
            PayloadRule(organization_id="acme", mode="metadata_only"),
        ],
    )
    assert policy.decide("acme", "embedding").mode == "metadata_only"
    assert policy.decide("acme", "agent_step") == Decision(mode="offload", above_bytes=100, sample_rate=1.0)
    assert policy.decide("other", "embedding") == Decision(mode="inline", above_bytes=100, sample_rate=0.5)
    assert policy.decide("other", "agent_step") == Decision(mode="offload", above_bytes=100, sample_rate=0.5)


def test_settings_that_need_object_storage_and_name_none_end_the_start() -> None:
    for config in (
        Config(payloads="offload"),
        Config(attachments="store"),
        Config(payload_rules=(PayloadRule(organization_id="acme", mode="offload"),)),
    ):
        with pytest.raises(ConfigError, match="payload_store"):
            wiring.treatment(config)
    wiring.treatment(Config(payloads="metadata_only", attachments="store"))  # which stores nothing


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://host/x", "not a supported scheme"),
        ("s3://", "bucket"),
        ("s3://key:secret@bucket", "credentials"),
        ("s3://bucket?x=1", "options"),
        ("file:///", "absolute path"),
        ("file://host/x", "absolute path"),
        ("relative", "not a supported scheme"),
    ],
)
def test_a_url_that_is_of_no_use_is_refused_without_what_is_secret_in_it(url: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as refused:
        wiring.objects(Config(payload_store=url))
    assert "secret" not in str(refused.value)


def test_a_rule_with_a_wrong_word_is_named_with_its_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("config") / "llmledgerd.toml"
    file.write_text('[[payload_rules]]\norganization = "acme"\n')
    with pytest.raises(
        ConfigError, match=r"llmledgerd.toml: `payload_rules`: .*unknown field `organization`"
    ):
        load(file, {})


def test_all_calls_of_a_trace_share_one_fate_and_a_higher_rate_keeps_more() -> None:
    kept = {
        rate: {trace for trace in map(str, range(4_000)) if sampling.keeps(rate, trace, "run", "call")}
        for rate in (0.0, 0.1, 0.5, 1.0)
    }
    assert kept[0.0] == set()
    assert kept[0.0] < kept[0.1] < kept[0.5] < kept[1.0]
    assert 0.07 < len(kept[0.1]) / 4_000 < 0.13
    for trace in map(str, range(100)):
        assert sampling.keeps(0.5, trace, "a", "b") == sampling.keeps(0.5, trace, "c", "d")
        assert sampling.keeps(0.5, "", trace, "b") == sampling.keeps(0.5, "", "", trace)


def test_an_object_is_named_by_the_day_in_utc_and_by_its_id() -> None:
    assert names.record_name("0ab-1", NOON_US) == "raw/date=2026-11-21/0ab-1.json.gz"
    assert names.record_name("../a/b", NOON_US) == "raw/date=2026-11-21/..%2Fa%2Fb.json.gz"
    assert names.record_name("x", NOON_US + 43_200_000_000) == "raw/date=2026-11-22/x.json.gz"


@given(st.text(min_size=1, max_size=128), st.text(min_size=1, max_size=128))
def test_any_two_ids_have_two_names_that_every_store_takes(one: str, other: str) -> None:
    found = {names.record_name(call, NOON_US) for call in (one, other)}
    assert len(found) == len({one, other})
    for name in found | {names.own_name(name, BATCH, 4_294_967_295) for name in found}:
        assert names.is_record(name)
        assert names.name_within("s3://bucket", names.uri("s3://bucket", name)) == name
        assert len(name.rpartition("/")[2]) <= 240
        assert set(name) <= set(string.ascii_letters + string.digits + "_.-~%=/")
    assert len(found & {names.own_name(name, BATCH, 0) for name in found}) == 0


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "s3://bucket/some/raw/date=2026-11-21/a.json.gz",
        "s3://bucket/where/../raw/date=2026-11-21/a.json.gz",
        "s3://bucket/where/raw/date=2026-11-21/../../../a.json.gz",
        "s3://bucket/where/raw/date=2026-11-21/a/b.json.gz",
        "s3://bucket/where/files/org=a/ab/abc",
        "s3://bucket/whereever/raw/date=2026-11-21/a.json.gz",
        "http://169.254.169.254/raw/date=2026-11-21/a.json.gz",
        "s3://bucket/where/raw/date=2026-11-21/a.json.gz\n",
        "",
    ],
)
def test_a_uri_that_leads_elsewhere_is_not_followed(uri: str) -> None:
    assert names.name_within("s3://bucket/where", uri) is None
