"""No row is given a time of receipt with which its table would delete it, or keep it for ever."""

from __future__ import annotations

import random

import pytest

from llmledgerd.records.timestamps import NEVER_US
from llmledgerd.stores.clickhouse.sink import kept_us
from llmledgerd.stores.receipt_window import (
    ASKED_SECONDS,
    HOUR_US,
    Asked,
    StoreClock,
    Window,
    window,
)

DAY_US = 24 * HOUR_US
NOW_US = 1_800_000_123 * 1_000_000
TTL_US = 90 * DAY_US


@pytest.mark.parametrize("ago", [0, DAY_US, 44 * DAY_US, -HOUR_US // 2])
def test_an_ordinary_time_is_kept(ago: int) -> None:
    assert window(StoreClock(NOW_US, TTL_US)).fit(NOW_US - ago) == NOW_US - ago


@pytest.mark.parametrize("ago", [46 * DAY_US, 400 * DAY_US, -2 * HOUR_US, -400 * DAY_US])
def test_what_would_expire_now_or_never_is_given_the_hour_of_its_storing(ago: int) -> None:
    assert window(StoreClock(NOW_US, TTL_US)).fit(NOW_US - ago) == NOW_US - NOW_US % HOUR_US


def test_by_a_store_s_clock_that_has_gone_back_nothing_is_taken_back() -> None:
    takes = window(StoreClock(NOW_US - 400 * DAY_US, TTL_US), is_believed=False)
    assert takes.fit(NOW_US) == NOW_US


def test_where_rows_are_kept_for_ever_an_old_one_keeps_its_time() -> None:
    assert window(StoreClock(NOW_US)).fit(NOW_US - 4000 * DAY_US) == NOW_US - 4000 * DAY_US


def test_whatever_the_times_are_no_row_is_near_its_end_when_it_is_stored() -> None:
    dice = random.Random(12)
    for _ in range(2000):
        ttl = dice.choice((60, 3600, 86_400, 7_776_000)) * 1_000_000
        takes = window(StoreClock(NOW_US, ttl))
        left = takes.fit(NOW_US + dice.randint(-10 * ttl, 10 * ttl)) + ttl - NOW_US
        assert ttl // 2 <= left <= ttl + HOUR_US


def test_a_repeat_within_the_hour_is_the_same_row() -> None:
    first = window(StoreClock(NOW_US, TTL_US))
    later = window(StoreClock(NOW_US + 60_000_000, TTL_US))
    assert first.fit(0) == later.fit(0)


def test_a_replaced_time_is_looked_for_whenever_it_may_have_been_replaced() -> None:
    takes = window(StoreClock(NOW_US, TTL_US))
    assert takes.searched(NOW_US, NOW_US + 5, recovered=False) == (NOW_US, NOW_US + 5)
    assert takes.searched(NOW_US - 400 * DAY_US, NOW_US, recovered=False) == (0, NEVER_US)
    start, end = takes.searched(NOW_US, NOW_US + 5, recovered=True)
    assert start < NOW_US - 30 * DAY_US
    assert end == NEVER_US


def test_a_store_is_asked_again_once_its_word_is_old_and_its_clock_goes_on_meanwhile() -> None:
    asked = Asked()
    assert asked.is_due(0.0, 0)
    assert asked.window(0.0) == Window()
    asked.heard(StoreClock(NOW_US, TTL_US), 10.0, 2)
    assert not asked.is_due(10.0 + ASKED_SECONDS, 2)
    assert asked.is_due(11.0 + ASKED_SECONDS, 2)
    assert asked.is_due(10.0, 3)
    assert asked.window(40.0) == window(StoreClock(NOW_US + 30_000_000, TTL_US))


def test_a_table_s_ttl_is_read_from_its_definition() -> None:
    ours = "MergeTree PARTITION BY toMonday(ingested_at) ORDER BY x TTL toDateTime(ingested_at) + toIntervalDay(90)"
    assert kept_us(f"{ours} SETTINGS a = 1") == TTL_US
    assert kept_us("MergeTree ORDER BY x SETTINGS a = 1") == 0
    moved = "MergeTree ORDER BY x TTL t + toIntervalDay(7) TO VOLUME 'cold', t + toIntervalMonth(2) SETTINGS a = 1"
    assert kept_us(moved) == 56 * DAY_US
