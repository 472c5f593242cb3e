"""Settings as text, and the variables of existing deployments."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from llmledgerd.config.sources import listed, read_toml
from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.options import ClickHouseOptions
from llmledgerd.stores.registry import KINDS

Words = tuple[str, ...] | None
Table = dict[str, int] | None


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, ""),
        ({"CLICKHOUSE_ENDPOINT": " "}, ""),
        ({"CLICKHOUSE_ENDPOINT": "host"}, "http://host:8123/"),
        ({"CLICKHOUSE_ENDPOINT": "a.eu.aws.clickhouse.cloud"}, "https://a.eu.aws.clickhouse.cloud:8443/"),
        ({"CLICKHOUSE_ENDPOINT": "a.clickhouse.cloud:443"}, "https://a.clickhouse.cloud:443/"),
        ({"CLICKHOUSE_ENDPOINT": "host:9"}, "http://host:9/"),
        ({"CLICKHOUSE_ENDPOINT": "https://host"}, "https://host:8443/"),
        ({"CLICKHOUSE_ENDPOINT": "http://[::1]:9/db?a=b"}, "http://[::1]:9/db?a=b"),
        (
            {"CLICKHOUSE_ENDPOINT": "host", "CLICKHOUSE_USERNAME": "u@x", "CLICKHOUSE_PASSWORD": "p/:"},
            "http://u%40x:p%2F%3A@host:8123/",
        ),
        ({"CLICKHOUSE_ENDPOINT": "http://host/one", "CLICKHOUSE_DATABASE": "two"}, "http://host:8123/two"),
    ],
)
def test_the_variables_of_a_deployment_make_up_a_url(variables: dict[str, str], url: str) -> None:
    assert ClickHouseOptions.deployed_url(variables) == url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("abc.eu-west-1.aws.clickhouse.cloud", "https://abc.eu-west-1.aws.clickhouse.cloud"),
        ("u:p@abc.clickhouse.cloud:443/llm?a=b", "https://u:p@abc.clickhouse.cloud:443/llm?a=b"),
        ("http://abc.clickhouse.cloud", "http://abc.clickhouse.cloud"),
        ("clickhouse.cloud.example.com", "clickhouse.cloud.example.com"),
        ("[::1", "[::1"),
    ],
)
def test_a_bare_host_of_clickhouse_cloud_has_tls(given: str, url: str) -> None:
    assert ClickHouseOptions(url=given).url == url
    kinds = [kind.name for kind in KINDS.values() if kind.recognizes(given)]
    assert kinds == (["clickhouse"] if "://" in url else [])


def test_a_wrong_endpoint_is_named_and_not_quoted() -> None:
    with pytest.raises(ConfigError, match="CLICKHOUSE_ENDPOINT") as refused:
        ClickHouseOptions.deployed_url({"CLICKHOUSE_ENDPOINT": "http://u:secret@host:port"})
    assert "secret" not in str(refused.value)


def test_a_list_is_json_or_words_with_commas_between_them() -> None:
    assert listed('["a,b", "c"]', Words) == ["a,b", "c"]
    assert listed(" a, ,b ", Words) == ["a", "b"]
    assert listed('{"a": 1}', Table) == {"a": 1}
    assert listed(("a",), Words) == ("a",)
    with pytest.raises(msgspec.ValidationError, match="no JSON"):
        listed("[a", Words)


@pytest.mark.parametrize("text", [b"a = ", b"a = \xff", b"a = " + b"[" * 100_000])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"c\.toml"):
        read_toml(path)
