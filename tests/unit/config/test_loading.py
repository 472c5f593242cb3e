"""Settings: the later source wins, and whatever is wrong is named in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmledgerd.config.secrets import masked
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.options import ClickHouseOptions
from llmledgerd.stores.registry import load


def loaded(environment: dict[str, str] | None = None, **flags: object) -> Config:
    return load(None, environment or {}, flags)[0]


def clickhouse_url(config: Config) -> str:
    return config.options_of("clickhouse", ClickHouseOptions).url


def test_defaults_then_file_then_environment_then_flags(tmp_path: Path) -> None:
    file = tmp_path / "llmledgerd.toml"
    file.write_text('batch_max_rows = 1\nbatch_max_bytes = 2\nspool_dir = "/file"\n')
    environment = {
        "LLMLEDGER_BATCH_MAX_BYTES": "3",
        "LLMLEDGER_SPOOL_DIR": "/env",
        "LLMLEDGER_SOCKET": "/sock",
    }
    config, warnings = load(file, environment, {"spool_dir": "/flag"})
    assert (config.batch_max_rows, config.batch_max_bytes, config.spool_dir) == (1, 3, "/flag")
    assert config.socket_path == "/sock"
    assert not warnings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_max_row = 1", "batch_max_row"),
        ("batch_max_rows = 0", "batch_max_rows"),
        ('batch_max_rows = "many"', "batch_max_rows"),
        ('on_full = "explode"', "on_full"),
        ("nonsense", "llmledgerd.toml"),
        pytest.param("redact = " + "[" * 5000, "nested too deeply", id="deep"),
    ],
)
def test_a_wrong_value_or_key_in_the_file_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "llmledgerd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_in_the_environment_or_a_flag_is_named_too() -> None:
    with pytest.raises(ConfigError, match="LLMLEDGER_FSYNC"):
        loaded({"LLMLEDGER_FSYNC": "perhaps"})
    with pytest.raises(ConfigError, match="--batch-max-rows"):
        loaded(batch_max_rows="-1")


def test_an_unknown_name_in_the_environment_is_a_warning() -> None:
    config, warnings = load(
        None, {"LLMLEDGER_SERVICE_PORT": "tcp://10.0.0.1:80", "LLMLEDGER_DISABLED": "1"}, {}
    )
    assert config == loaded()
    assert warnings == ["LLMLEDGER_SERVICE_PORT is no setting and is ignored"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("ch", "http://me:pw@ch:8123/db"),
        ("ch:9999", "http://me:pw@ch:9999/db"),
        ("https://ch", "https://me:pw@ch:8443/db"),
        ("http://ch:1/", "http://me:pw@ch:1/db"),
    ],
)
def test_the_variables_of_existing_deployments_make_the_url(endpoint: str, url: str) -> None:
    environment = {
        "CLICKHOUSE_ENDPOINT": endpoint,
        "CLICKHOUSE_USERNAME": "me",
        "CLICKHOUSE_PASSWORD": "pw",
        "CLICKHOUSE_DATABASE": "db",
    }
    assert clickhouse_url(loaded(environment)) == url
    named = {**environment, "LLMLEDGER_CLICKHOUSE_URL": "http://other"}
    assert clickhouse_url(loaded(named)) == "http://other"


def test_a_password_with_odd_characters_survives_and_is_masked() -> None:
    config = loaded(
        {"CLICKHOUSE_ENDPOINT": "ch", "CLICKHOUSE_USERNAME": "u", "CLICKHOUSE_PASSWORD": "p@ss/w:rd"}
    )
    assert clickhouse_url(config) == "http://u:p%40ss%2Fw%3Ard@ch:8123/"
    assert masked(clickhouse_url(config)) == "http://u:***@ch:8123/"


def test_the_admin_socket_lies_beside_the_record_socket_unless_it_is_named() -> None:
    assert loaded(socket_path="/run/x/s").admin_address == "unix:/run/x/admin.sock"
    assert loaded(admin="").admin_address == ""
    assert loaded(admin="127.0.0.1:9").admin_address == "127.0.0.1:9"


def test_the_settings_of_a_store_are_a_table_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "llmledgerd.toml"
    file.write_text('[clickhouse]\nurl = "http://file/db"\ninsert_mode = "async"\ncluster = "file"\n')
    config, _ = load(file, {"LLMLEDGER_CLUSTER": "env"}, assigned={"clickhouse.url": "http://set/db"})
    options = config.options_of("clickhouse", ClickHouseOptions)
    assert (options.url, options.cluster, options.insert_mode) == ("http://set/db", "env", "async")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[clickhouse]\nurll = "x"', "unknown setting `clickhouse.urll`"),
        ('[clickhous]\nurl = "x"', "unknown setting `clickhous`"),
        ('clickhouse = "x"', "`clickhouse`: expected a table"),
        ('clickhouse_url = "x"', "write `url` in the table `[clickhouse]`"),
        ('"clickhouse.url" = "x"', "unknown setting `clickhouse.url`"),
        ('[postgres]\ncontent = "pdf"', "`postgres.content`: .*choose from full, metadata"),
        ("[clickhouse]\nurl = 1", "`clickhouse.url`: `1`: Expected `str`"),
        ('stores = ["postgres"]', "`postgres.url` is required"),
        ("store_options = {}", "unknown setting `store_options`"),
    ],
)
def test_a_wrong_option_of_a_store_is_named_as_it_was_typed(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "llmledgerd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    assert re.search(said.replace("[clickhouse]", r"\[clickhouse\]"), str(caught.value)), caught.value


@pytest.mark.parametrize("name", ["clickhouse.url", "clickhouse_url"])
def test_an_assignment_takes_the_name_of_the_file_and_the_plain_one(name: str) -> None:
    assert clickhouse_url(load(None, {}, assigned={name: "http://x"})[0]) == "http://x"


def test_the_value_of_an_unknown_option_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {}, assigned={"clickhouse.pasword": "hunter2"})
    assert str(caught.value) == "--set clickhouse.pasword: unknown setting"
