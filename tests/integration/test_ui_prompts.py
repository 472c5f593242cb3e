"""Caches, prompts and tools on the page, in a real browser: what the reader says, and no text of a row is markup."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, expect

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.migrated_databases import Lend
from tests.helpers.page import PHONE, RunningPage, looking, picture, running_browser, running_page, too_wide
from tests.helpers.store_rows import add_traces

START_US = time.time_ns() // 1000 - 3_600_000_000
EVIL = "<img src=x onerror='window.owned=1'>"
LONG = EVIL + "-of-a-long-name" * 5
STEPS = 6


@pytest.fixture(scope="module", name="url")
def _url(lend: Lend) -> Iterator[str]:
    with lend() as url:
        store = Store(url)
        add_traces(store, [row(step) for step in range(STEPS)])
        store.close()
        yield url


def row(step: int) -> dict[str, object]:
    """Return one step: every one has other tools than the one before, and the first two are attempts of one call."""
    parts = [[[EVIL, f"{step:08x}", 900], ["search", "00000001", 600]], 0, 0, "", 0, "", "", "", 0]
    return {
        "organization_id": "org", "id": f"step-{step}", "agent_id": LONG, "provider": "openai", "model": "gpt-4.1",
        "priced_model": "gpt-4.1", "created_at": START_US + step * 20_000_000, "latency_ms": 9_000, "request_hash": 1 + step // 2,
        "is_error": int(step == 0), "outcome": "error" if step == 0 else "ok", "prompt_tokens": 6000, "cached_input_tokens": 0,
        "turn_hash": 10 + step, "parent_turn_hash": 9 + step if step else 0, "tools_hash": step + 1, "prefix_hash": 50 + step,
        "cache_left_state": "exact", "cache_left_tokens": 5000, "cache_left_seconds": 300, "cache_gap": 5000 if step else 0,
        "lost_rate_fresh": 1_500_000, "lost_rate_written": 1_500_000, "prompt_parts": json.dumps(parts).encode(),
        "tools_tokens": 1500, "system_tokens": 500, "history_tokens": 4000, "cost_usd": Decimal("0.01"),
        "tool_calls": [(100 + step, f"call-{step}", LONG if step % 2 else "mcp__harbor__find", 5, 10)],
        "tool_results": [(99 + step, 2000, 2)] if step else [], "tokens_by_tool": {"mcp__harbor__find": 400},
    }  # fmt: skip


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module", name="page")
def _page(url: str) -> Iterator[RunningPage]:
    with running_page(url) as running:
        yield running


def test_misses_and_parts_of_prompts_are_on_the_page_with_their_places(
    browser: Browser, page: RunningPage
) -> None:
    with looking(browser, page, "/cache?span=24h") as tab:
        expect(tab.locator("tr[data-cause='tools_changed']")).to_have_count(1)
        misses = tab.locator("tr[data-miss]")
        expect(misses).to_have_count(
            STEPS - 2
        )  # the call after the failed one continues nothing that was cached
        expect(misses.first).to_contain_text("edited (number 0)")
        for text in ("Agent", "Cause", "Place"):
            expect(tab.locator("th.left", has_text=text).first).to_have_css("text-align", "left")
        expect(misses.first.get_by_text("edited (number 0)")).to_have_css("text-align", "left")
        expect(tab.get_by_role("heading", name="What prompts consist of")).to_be_visible()
        assert tab.evaluate("window.owned") is None
        picture(tab, "cache")
        misses.first.get_by_role("link").first.click()
        expect(tab.locator(".call-head[data-miss]")).to_be_visible()


def test_tools_and_attempts_are_on_the_page(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/tools?span=24h") as tab:
        tool = tab.locator("tr[data-tool='mcp__harbor__find']")
        expect(tool).to_contain_text("harbor")
        expect(tool.locator("td[data-exact]")).to_have_attribute("data-exact", str(STEPS // 2))
        expect(tab.locator("tr[data-model='gpt-4.1']")).to_have_count(1)
        assert tab.evaluate("window.owned") is None
        picture(tab, "tools")


@pytest.mark.parametrize("path", ["/cache?span=24h", "/tools?span=24h"])
def test_long_names_leave_room_for_the_numbers(browser: Browser, page: RunningPage, path: str) -> None:
    with looking(browser, page, path) as tab:
        tab.locator("table.numbers tbody tr").first.wait_for()
        widths = tab.locator(".scroll").evaluate_all(
            "all => all.map(one => [one.scrollWidth, one.clientWidth])"
        )
        assert widths
        assert all(wide <= room for wide, room in widths)


def test_no_figure_of_the_overview_stands_alone_in_its_row(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/?span=24h", size=(1280, 900)) as tab:
        tab.locator(".tile").first.wait_for()
        tops = tab.locator(".tile").evaluate_all("all => all.map(one => one.offsetTop)")
        assert all(tops.count(top) > 1 for top in tops)


@pytest.mark.chaos
@pytest.mark.parametrize("path", ["/cache?span=24h", "/tools?span=24h"])
def test_a_phone_shows_them_without_scrolling_sideways(
    browser: Browser, page: RunningPage, path: str
) -> None:
    with looking(browser, page, path, size=PHONE) as tab:
        tab.locator("table.numbers tbody tr").first.wait_for()
        assert not too_wide(tab)
