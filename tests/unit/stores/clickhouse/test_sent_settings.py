"""A profile that pins a setting is named, and nothing is sent without the settings that it needs."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.models import SettingDef

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES, insert_settings
from llmledgerd.stores.clickhouse.question_settings import QUESTION
from llmledgerd.stores.clickhouse.sent_settings import changeable, pinned, sendable

FORCED = {**EVERY, **MODES["sync"], **QUESTION}


def profile(**values: tuple[str, int]) -> dict[str, SettingDef]:
    free = {name: SettingDef(name, "?", 0) for name in FORCED}
    return {**free, **{name: SettingDef(name, *value) for name, value in values.items()}}


@pytest.mark.parametrize("name", sorted(FORCED.keys() - {"wait_end_of_query"}))
def test_each_setting_that_is_forced_is_named_where_a_profile_pins_it(name: str) -> None:
    found = pinned(FORCED, profile(**{name: ("7", 1)}))
    assert found == [f"{name} is 7, and has to be {FORCED[name]}"]


def test_a_setting_that_is_pinned_to_the_value_that_it_needs_is_not_sent() -> None:
    known = profile(limit=("0", 1), insert_quorum=("'auto'", 1))
    assert sendable({"limit": 0, "insert_quorum": "auto", "offset": 0, "unknown": 1}, known) == {"offset": 0}


def test_an_insert_whose_settings_are_pinned_is_not_sent() -> None:
    with pytest.raises(StoreBusy, match="async_insert is 1, and has to be 0") as caught:
        insert_settings("sync", "t", {}, profile(async_insert=("1", 1)))
    assert caught.value.kind == "settings"


def test_a_hint_that_the_profile_pins_or_the_server_does_not_know_is_left_out() -> None:
    known = {"a": SettingDef("a", "1", 0), "b": SettingDef("b", "1", 1)}
    assert changeable({"a": 0, "b": 0, "unknown": 0}, known) == {"a": 0}
