"""What an insert asks for is what the promise rests on, and as much of it as the server knows."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.models import SettingDef

from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES, insert_settings
from llmledgerd.stores.clickhouse.options import InsertMode

KNOWN = dict.fromkeys(
    [*EVERY, *MODES["sync"], *MODES["async"], "insert_deduplication_token"], SettingDef("", "", 0)
)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_whatever_the_mode_an_answer_means_stored_under_the_token(mode: InsertMode) -> None:
    found = insert_settings(mode, "t", {}, KNOWN)

    assert found["insert_deduplication_token"] == "t"
    assert (found["distributed_foreground_insert"], found["deduplicate_insert"]) == (1, "enable")
    assert found["async_insert"] == (mode == "async")
    if mode == "async":
        assert (found["wait_for_async_insert"], found["async_insert_deduplicate"]) == (1, 1)


def test_a_setting_that_the_server_does_not_know_is_left_out_and_http_s_own_is_not() -> None:
    assert insert_settings("async", "t", {}, {"async_insert": SettingDef("async_insert", "0", 0)}) == {
        "async_insert": 1,
        "wait_end_of_query": 1,
    }


def test_the_url_decides_on_the_quorum_and_on_nothing_that_the_promise_rests_on() -> None:
    of_url = {"insert_quorum": "2", "async_insert": "1", "insert_deduplicate": "0"}

    found = insert_settings("sync", "t", of_url, KNOWN)

    assert "insert_quorum" not in found
    assert (found["async_insert"], found["insert_deduplicate"]) == (0, 1)
    assert insert_settings("sync", "t", {}, KNOWN)["insert_quorum"] == "auto"
