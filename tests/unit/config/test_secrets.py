"""Passwords: one source each, and masked in whatever is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.config import secrets
from llmledgerd.config.secrets import masked
from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.options import CREDENTIAL, ClickHouseOptions
from llmledgerd.stores.clickhouse.url import parse_url
from llmledgerd.stores.registry import load

SECRET = "p4ss"


@pytest.mark.parametrize(
    "url",
    [
        "http://u:p4ss@ch:8123/db",
        "http://:p4ss@ch",
        "https://u:p4ss/more@ch/db",
        "https://u:p4ss@more@ch/db",
        "https://u:a#p4ss?[x@ch/db",
        "http://u:p4ss@[::1]:8123/",
        "http://u:p4ss@one:8123,u:p4ss@two:8123/db",
        "set clickhouse_url=http://u:p4ss@ch and so on",
        "http://ch/db?password=p4ss&x=1",
        "postgresql://u:p4ss@pg/db",
    ],
)
def test_no_password_passes_the_mask(url: str) -> None:
    assert SECRET not in masked(url)
    assert "***" in masked(url)


@pytest.mark.parametrize("url", ["http://ch:8123/db", "http://me@ch:8123/db", "chdb:///a/b", "/run/x", "a:b"])
def test_what_holds_no_password_is_shown_as_it_is(url: str) -> None:
    assert masked(url) == url


@pytest.mark.parametrize(
    "url", ["http://u:p4ss/x@ch", "http://u:p4ss#x@ch", "http://u:[p4ss@ch", "http://ch?password=p4ss"]
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_cannot_be_read_is_refused_without_its_password() -> None:
    for endpoint in ("http://u:p4ss/x@ch", "http://[p4ss"):
        with pytest.raises(ConfigError) as caught:
            load(None, {"CLICKHOUSE_ENDPOINT": endpoint}, {})
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("https://ch:8443/db", "https://default:p%404ss%2F@ch:8443/db"),
        ("https://me@ch/db", "https://me:p%404ss%2F@ch/db"),
    ],
)
def test_a_password_comes_from_a_file_or_from_systemd(tmp_path: Path, url: str, whole: str) -> None:
    (tmp_path / CREDENTIAL).write_text("p@4ss/\n")
    named = {"LLMLEDGER_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / CREDENTIAL)}
    for source in (named, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        config, _ = load(None, {"LLMLEDGER_CLICKHOUSE_URL": url, **source}, {})
        assert config.options_of("clickhouse", ClickHouseOptions).url == whole
    config, _ = load(None, {"LLMLEDGER_CLICKHOUSE_URL": url}, {})
    assert config.options_of("clickhouse", ClickHouseOptions).url == url


@pytest.mark.parametrize("url", ["https://me:other@ch/db", "chdb:///data"])
def test_a_password_that_has_no_place_is_an_error(tmp_path: Path, url: str) -> None:
    (tmp_path / "password").write_text(SECRET)
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"clickhouse_url": url, "clickhouse_password_file": str(tmp_path / "password")})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"\n", "empty"), (b"\xff", "UTF-8")])
def test_a_password_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load(None, {}, {"clickhouse_url": "http://ch", "clickhouse_password_file": str(path)})
    assert str(path) in str(caught.value)


def test_a_password_on_the_command_line_is_warned_of() -> None:
    _, warnings = load(None, {}, {"clickhouse_url": "http://u:p4ss@ch"})
    assert warnings == [secrets.ON_COMMAND_LINE]
    assert not load(None, {"LLMLEDGER_CLICKHOUSE_URL": "http://u:p4ss@ch"}, {"spool_dir": "/x"})[1]
