"""What SIGHUP changes, and what waits for a restart."""

from __future__ import annotations

import pytest

from llmledgerd.config.reload import changes
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.options import ClickHouseOptions
from tests.helpers.config import config as configured

NOW = configured(clickhouse_url="https://me:old@ch:8443/db")


def read(**plain: object) -> Config:
    return configured(**{"clickhouse_url": "https://me:old@ch:8443/db", **plain})


def test_nothing_that_differs_is_nothing_to_do() -> None:
    found = changes(NOW, read())
    assert (found.config, found.made, found.for_restart) == (NOW, [], [])


def test_some_settings_change_and_others_wait_for_a_restart() -> None:
    found = changes(NOW, read(batch_max_rows=7, spool_dir="/elsewhere", log_level="debug"))
    assert found.config == read(batch_max_rows=7, log_level="debug")
    assert found.made == ["batch_max_rows", "log_level"]
    assert found.for_restart == ["spool_dir"]


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://me:new@ch:8443/db", True),
        ("https://you:new@ch/db", True),
        ("https://me:old@other:8443/db", False),
        ("https://me:new@ch:8443/db2", False),
    ],
)
def test_a_new_login_is_taken_and_another_store_is_not(url: str, made: bool) -> None:
    found = changes(NOW, read(clickhouse_url=url))
    now, then = (one.options_of("clickhouse", ClickHouseOptions).url for one in (NOW, found.config))
    assert then == (url if made else now)
    assert (found.made, found.for_restart) == ((["clickhouse.url"], []) if made else ([], ["clickhouse.url"]))


def test_a_url_that_no_store_can_have_changes_nothing() -> None:
    with pytest.raises(ConfigError):
        changes(NOW, read(clickhouse_url="gopher://x", batch_max_rows=7))


def test_every_mark_is_one_that_a_reload_knows() -> None:
    assert {setting.reload for setting, _ in NOW.of_settings()} == {"", "yes", "user, password"}
