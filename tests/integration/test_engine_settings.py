"""Settings that we name have the defaults that we reviewed, or the test says which changed, and when."""

from __future__ import annotations

import re

import pytest

from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES
from llmledgerd.stores.clickhouse.migrations import Migration, layout_of
from llmledgerd.stores.clickhouse.question_settings import QUESTION, SHARED
from llmledgerd.stores.clickhouse.rollup import REBUILD_SETTINGS
from llmledgerd.stores.clickhouse.topology import CHANGE_SETTINGS, DDL_SETTINGS

REVIEWED = "26.9"
"""The last version whose changes of defaults were read against the settings that we name."""

SENT = {
    *EVERY,
    *MODES["sync"],
    *MODES["async"],
    *QUESTION,
    *SHARED,
    *REBUILD_SETTINGS,
    *DDL_SETTINGS,
    *CHANGE_SETTINGS,
}


def declared() -> set[str]:
    """Return the settings of tables that the SQL files name."""
    texts = [text for file in Migration.load() for text in file.statements(layout_of(90, "c"))]
    return {name for text in texts for name in re.findall(r"(\w+) = \d+", text.rpartition("SETTINGS")[2])}


def changed_since(store: Store, version: str) -> set[str]:
    """Return the settings that we name whose default changed after a version."""
    rows = store.query(
        "SELECT version, change.name AS name, change.previous_value AS old, change.new_value AS new"
        " FROM system.settings_changes ARRAY JOIN changes AS change"
    )
    after = [int(part) for part in version.split(".")]
    named = SENT | declared()
    return {
        f"{row['name']}: {row['old']} -> {row['new']} in {row['version']}"
        for row in rows
        if row["name"] in named
        and row["old"] != row["new"]
        and [int(part) for part in row["version"].split(".")[:2]] > after
    }


def test_no_setting_that_we_name_has_changed_its_default_since_the_version_we_reviewed(server: Store) -> None:
    assert changed_since(server, REVIEWED) == set()


def test_a_change_of_a_default_would_be_noticed(server: Store) -> None:
    found = changed_since(server, "25.8")
    assert "replicated_deduplication_window_seconds: 604800 -> 3600 in 25.10" in found


@pytest.mark.parametrize("name", ["llm_traces", "llm_trace_losses", "llm_usage_hourly"])
def test_every_table_with_tokens_sets_its_windows(name: str) -> None:
    (text,) = [
        text
        for file in Migration.load()
        for text in file.statements(layout_of(0))
        if text.startswith(f"CREATE TABLE IF NOT EXISTS {name} ")
    ]
    for window in (
        "window",
        "window_seconds",
        "window_for_async_inserts",
        "window_seconds_for_async_inserts",
    ):
        assert re.search(rf"\breplicated_deduplication_{window} = [1-9]", text)
