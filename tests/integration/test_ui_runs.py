"""Runs on the page, in a real browser: a list, a timeline of any length, and a call in its run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.long_run import add_long_run
from tests.helpers.migrated_databases import Lend
from tests.helpers.page import (
    PHONE,
    RunningPage,
    figure,
    looking,
    picture,
    running_browser,
    running_page,
    too_wide,
)
from tests.helpers.planted_runs import SECOND_US, loop, step
from tests.helpers.store_rows import add_traces

NOW_US = time.time_ns() // 1000
START_US = NOW_US - 4 * 3600 * SECOND_US
LONG = 12_000
EVIL = "<img src=x onerror='window.owned=1'>"


@pytest.fixture(scope="module")
def filled(lend: Lend) -> Iterator[tuple[Store, str]]:
    with lend() as url:
        store = Store(url)
        add_long_run(store, "long", LONG, request_bytes=10_000, start_us=START_US)
        add_traces(store, rows())
        yield store, url
        store.close()


def rows() -> list[dict[str, object]]:
    said = [
        {"role": "system", "content": "You are a careful agent."},
        {"role": "user", "content": "What is to be done first?"},
        {"role": "assistant", "content": "Read the tests."},
        {"role": "user", "content": "And what is to be done next?"},
    ]
    payloads: dict[str, Any] = {
        "request_json": json.dumps({"messages": said}).encode(),
        "response_json": json.dumps({"choices": [{"message": {"content": "Run them."}}]}).encode(),
    }
    sub: dict[str, Any] = {"agent_id": "jones", "model": "claude-sonnet-4-5-20250929", "conversation": "y"}
    start = NOW_US - 3600 * SECOND_US
    return [
        step("n1", at_us=start, run="named", conversation="x", cost_usd=None),
        step("s1", at_us=start + SECOND_US, run="named", took_ms=2000, **sub),
        step("s2", "s1", at_us=start + 4 * SECOND_US, run="named", took_ms=1000, **sub),
        step("n2", "n1", at_us=start + 6 * SECOND_US, run="named", conversation="x", is_error=1, outcome="error",
             error_type="overloaded", cost_usd=None),
        step("n2", "n1", at_us=start + 8 * SECOND_US, run="named", conversation="x", **payloads),
        step("n3", "n1", at_us=start + 9 * SECOND_US, run="named", conversation="x"),
        *loop(4, start_us=start - SECOND_US, conversation="elsewhere", organization_id="b"),
        step("e", at_us=start, run=EVIL, model=EVIL, agent_id=EVIL, is_error=1, error_type=EVIL, id=EVIL),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(filled: tuple[Store, str]) -> Iterator[RunningPage]:
    with running_page(filled[1]) as running:
        yield running


def step_of(tab: Page, number: int) -> object:
    return tab.locator(f'.step[data-step="{number}"]')


def test_the_list_of_runs_leads_to_a_run_and_its_steps(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/runs?span=24h") as tab:
        expect(tab.locator("tr.entry")).to_have_count(4)
        row = tab.locator('tr[data-run="named"]')
        expect(row).to_contain_text("smith")
        expect(row.locator(".cost")).to_have_text("$0.0400*")
        picture(tab, "runs")
        row.click()
        assert (figure(tab, "steps"), figure(tab, "errors")) == ("6", "1")
        assert Decimal(figure(tab, "cost")) == Decimal("0.04")
        expect(tab.locator('[data-figure="cost"]')).to_contain_text("unknown in 2 calls")
        expect(tab.locator(".step")).to_have_count(6)
        expect(tab.locator('.step[data-step="2"]')).to_contain_text("sub-agent of 1")
        expect(tab.locator('.step[data-step="6"]')).to_contain_text("fork of 1")
        picture(tab, "run")
        tab.locator('.step[data-step="5"]').click()
        expect(tab.get_by_role("heading", name="Step 5 of 6")).to_be_visible()


@pytest.mark.chaos
def test_filters_of_the_list_keep_runs_with_a_matching_call(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/runs?span=24h") as tab:
        tab.get_by_label("Agent").fill("jones")
        tab.get_by_role("button", name="Filter").click()
        tab.wait_for_url(re.compile("agent=jones"))
        expect(tab.locator("tr.entry")).to_have_count(1)
        expect(tab.locator("tr.entry .steps-count")).to_have_text("6")
        tab.goto(f"{page.base}/runs?span=1h&agent=nobody")
        expect(tab.get_by_role("heading", name="No runs")).to_be_visible()


@pytest.mark.chaos
def test_a_timeline_of_any_length_has_elements_for_what_is_in_sight_alone(
    browser: Browser, page: RunningPage
) -> None:
    with looking(browser, page, "/run?id=long") as tab:
        expect(tab.locator('.step[data-step="1"]')).to_contain_text("claude-sonnet")
        assert figure(tab, "steps") == str(LONG)
        assert tab.locator(".step").count() < 100
        picture(tab, "long-run")
        frame = tab.locator(".timeline")
        frame.evaluate("frame => { frame.scrollTop = frame.scrollHeight; }")
        expect(tab.locator(f'.step[data-step="{LONG}"] .cost')).to_have_text("$0.010000")
        assert tab.locator(".step").count() < 100
        expect(tab.locator(".step.waits")).to_have_count(0)
        frame.evaluate("frame => { frame.scrollTop = frame.scrollHeight / 2; }")
        expect(tab.locator('.step[data-step="6000"]')).to_contain_text("fork of 5,998")


@pytest.mark.chaos
def test_a_call_stands_in_its_long_run(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/call?id=long-6999") as tab:
        expect(tab.get_by_role("heading", name="Step 7,000 of 12,000")).to_be_visible()
        expect(tab.locator('.step.here[data-step="7000"]')).to_be_in_viewport()
        tab.keyboard.press("]")
        tab.wait_for_url(re.compile("id=long-7000"))
        tab.get_by_role("link", name="Previous").click()
        tab.wait_for_url(re.compile("id=long-6999"))
        tab.get_by_role("link", name="long", exact=True).click()
        assert figure(tab, "steps") == str(LONG)


def test_an_opened_call_shows_what_is_new_and_folds_the_rest(
    browser: Browser, page: RunningPage, filled: tuple[Store, str]
) -> None:
    (call,) = filled[0].query("SELECT id FROM llm_traces WHERE request_json LIKE '%careful%'")
    with looking(browser, page, f"/call?id={call['id']}") as tab:
        expect(tab.locator(".turn:visible")).to_have_text(
            [re.compile("And what is to be done next"), re.compile("Run them")]
        )
        tab.get_by_text("3 earlier messages").click()
        expect(tab.locator(".turn:visible")).to_have_count(5)
        picture(tab, "call-in-run")


@pytest.mark.chaos
def test_steps_of_a_running_agent_appear(
    browser: Browser, page: RunningPage, filled: tuple[Store, str]
) -> None:
    with looking(browser, page, "/run?id=growing") as tab:
        expect(tab.get_by_role("heading", name="Run not found")).to_be_visible()
        for number in range(3):
            parent = f"g{number - 1}" if number else ""
            at_us = NOW_US + number * SECOND_US
            add_traces(filled[0], [step(f"g{number}", parent, at_us=at_us, conversation="growing")])
            expect(tab.locator(".step")).to_have_count(number + 1)
            assert figure(tab, "steps") == str(number + 1)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/runs?span=24h", marks=pytest.mark.chaos),
        pytest.param("/run?id=named", marks=pytest.mark.chaos),
        pytest.param("/run?id=long", marks=pytest.mark.chaos),
        pytest.param("/call?id=long-6999", marks=pytest.mark.chaos),
    ],
)
def test_runs_fit_a_phone_and_the_dark(browser: Browser, page: RunningPage, path: str) -> None:
    with looking(browser, page, path, size=PHONE, dark=True) as tab:
        tab.locator(".step .model, tr.entry").first.wait_for()
        picture(tab, "dark-phone-" + re.sub(r"\W+", "-", path).strip("-"))
        assert not too_wide(tab)


def test_recorded_text_of_a_run_is_never_more_than_text(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/runs?span=24h") as tab:
        tab.locator("tr.entry", has_text=EVIL).first.click()
        expect(tab.locator(".step")).to_contain_text(EVIL)
        assert tab.locator("#main img").count() == 0
        tab.locator(".step").click()
        expect(tab.get_by_role("heading", name="Step 1 of 1")).to_be_visible()
        expect(tab.locator(".step.here")).to_contain_text(EVIL)
        assert tab.evaluate("window.owned") is None


def test_one_organization_s_page_opens_no_other_s_run(browser: Browser, filled: tuple[Store, str]) -> None:
    with running_page(filled[1], "--org", "b") as page, looking(browser, page, "/runs?span=24h") as tab:
        expect(tab.locator("tr.entry")).to_have_count(1)
        for path in ("/run/steps?id=named", "/run/steps?id=named&organization=a"):
            assert tab.request.get(page.base + path).status == 404
        assert len(tab.request.get(f"{page.base}/run/steps?id=elsewhere&organization=a").json()["rows"]) == 4
        tab.goto(f"{page.base}/run?id=named&organization=a")
        expect(tab.get_by_role("heading", name="Run not found")).to_be_visible()
