"""The page in a real browser: what stands on it is what SQL says, and it is for everybody's eyes and hands."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from bench import generated_rows
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line
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
from tests.helpers.store_rows import add_traces

ROWS = 4_000
DAYS = 5.0
"""Well within the range of 30 days, which begins with a whole day."""

NOW_US = time.time_ns() // 1000
MODEL = "gpt-4o-2024-08-06"
SUMS = (
    "sum(cost_usd) AS spend, count() AS calls, countIf(is_error) AS errors,"
    " sum(toUInt64(prompt_tokens)) AS input, sum(toUInt64(completion_tokens)) AS output,"
    " sum(toUInt64(ifNull(cached_input_tokens, 0))) AS cache,"
    " quantileExactIf(0.5)(latency_ms, latency_ms > 0) AS latency"
)


@pytest.fixture(scope="module")
def filled(lend: Lend) -> Iterator[tuple[Store, str]]:
    """Return a store of generated calls on a server, which others may read meanwhile, and its URL."""
    with lend() as url:
        store = Store(url)
        list(generated_rows.fill(store, generated_rows.Traffic(rows=ROWS, days=DAYS, end_us=NOW_US)))
        yield store, url
        store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(filled: tuple[Store, str]) -> Iterator[RunningPage]:
    with running_page(filled[1]) as running:
        yield running


@pytest.fixture
def sql(filled: tuple[Store, str]) -> Store:
    return filled[0]


def sums(sql: Store, condition: str = "1") -> dict[str, Any]:
    (found,) = sql.query(f"SELECT {SUMS} FROM llm_traces WHERE {condition}")
    return found


def agrees(tab: Page, expected: dict[str, Any]) -> None:
    """Fail unless the tiles say what SQL says; medians are within 1 %, and the rest is equal."""
    assert Decimal(figure(tab, "spend")) == expected["spend"]
    for name in ("calls", "errors", "input", "output", "cache"):
        assert figure(tab, name) == str(expected[name])
    assert float(figure(tab, "latency")) == pytest.approx(expected["latency"], rel=0.01)


def ids(tab: Page) -> list[str]:
    tab.locator("tr.entry").first.wait_for()
    return [row.get_attribute("data-id") or "" for row in tab.locator("tr.entry").all()]


def test_clicking_through_finds_the_numbers_of_sql(browser: Browser, page: RunningPage, sql: Store) -> None:
    with looking(browser, page) as tab:
        assert tab.url == page.base + "/"
        tab.get_by_role("link", name="30d").click()
        agrees(tab, sums(sql))
        picture(tab, "overview")

        tab.get_by_role("navigation", name="Split by").get_by_role("link", name="Organization").click()
        tab.get_by_role("navigation", name="Split by").get_by_role("link", name="Model").click()
        rows = sql.query(f"SELECT model, {SUMS} FROM llm_traces GROUP BY model ORDER BY spend DESC")
        expect(tab.get_by_role("heading", name="By model")).to_be_visible()
        shown = tab.locator("tbody tr[data-value]")
        expect(shown).to_have_count(len(rows))
        assert [row.get_attribute("data-value") for row in shown.all()] == [row["model"] for row in rows]
        cells = [
            [cell.get_attribute("data-exact") for cell in row.locator("td[data-exact]").all()]
            for row in shown.all()
        ]
        assert [(Decimal(spend or "-1"), int(calls or -1)) for spend, calls in cells] == [
            (row["spend"], row["calls"]) for row in rows
        ]

        tab.get_by_role("link", name=MODEL).click()
        expect(tab.locator('[data-chip="model"]')).to_contain_text(MODEL)
        agrees(tab, sums(sql, f"model = '{MODEL}'"))
        picture(tab, "narrowed")

        tab.get_by_role("navigation", name="Pages").get_by_role("link", name="Calls").click()
        tab.get_by_label("Outcome").select_option("failed")
        tab.get_by_role("button", name="Filter").click()
        wanted = sql.query(
            f"SELECT id FROM llm_traces WHERE model = '{MODEL}' AND is_error ORDER BY created_at DESC LIMIT 1000"
        )
        expect(tab.locator(".badge.good")).to_have_count(0)
        first = ids(tab)
        assert first == [row["id"] for row in wanted[: len(first)]]
        picture(tab, "calls")

        tab.locator("tr.entry").nth(2).click()
        expect(tab.locator(".call-head")).to_contain_text(first[2])
        (row,) = sql.query(f"SELECT * FROM llm_traces WHERE id = '{first[2]}'")
        assert figure(tab, "latency") == str(row["latency_ms"] or "")
        assert figure(tab, "cost") == ("" if row["cost_usd"] is None else str(row["cost_usd"]))
        expect(tab.locator(".turn.user")).to_contain_text("what is to be done next")

        tab.go_back()
        assert ids(tab) == first
        assert tab.get_by_label("Outcome").input_value() == "failed"


@pytest.mark.chaos
def test_pages_of_the_list_neither_repeat_nor_skip(browser: Browser, page: RunningPage, sql: Store) -> None:
    wanted = [row["id"] for row in sql.query("SELECT id FROM llm_traces ORDER BY created_at DESC LIMIT 100")]
    with looking(browser, page, "/calls?span=30d") as tab:
        seen = ids(tab)
        tab.get_by_role("link", name="Older").click()
        tab.wait_for_url(re.compile("cursor="))
        seen += ids(tab)
        assert seen == wanted
        assert tab.get_by_role("link", name="Newest").get_attribute("href") == "./calls?span=30d"


@pytest.mark.chaos
def test_a_list_is_narrowed_by_size_provider_and_type(
    browser: Browser, page: RunningPage, sql: Store
) -> None:
    condition = "provider = 'openai' AND call_type = 'agent_step' AND request_size_bytes >= 40000"
    wanted = sql.query(f"SELECT id FROM llm_traces WHERE {condition} ORDER BY created_at DESC LIMIT 50")
    with looking(browser, page, "/calls?span=30d") as tab:
        tab.get_by_label("Provider").fill("openai")
        tab.get_by_label("Call type").fill("agent_step")
        tab.get_by_label("Minimum request size").fill("40000")
        tab.get_by_role("button", name="Filter").click()
        tab.wait_for_url(re.compile("min_size=40000"))
        assert ids(tab) == [row["id"] for row in wanted]


@pytest.mark.chaos
def test_a_call_stands_in_its_run(browser: Browser, page: RunningPage, sql: Store) -> None:
    (run,) = sql.query("SELECT run_id, groupArray(id) AS ids, sum(cost_usd) AS cost FROM (SELECT * FROM llm_traces"
                       " ORDER BY created_at) GROUP BY run_id ORDER BY cost DESC LIMIT 1")  # fmt: skip
    with looking(browser, page, f"/call?id={run['ids'][4]}") as tab:
        steps = tab.get_by_role("heading", name=f"Step 5 of {len(run['ids'])}")
        expect(steps).to_be_visible()
        expect(tab.locator(".step.here")).to_be_in_viewport()
        picture(tab, "call")
        tab.keyboard.press("]")
        tab.wait_for_url(re.compile(f"id={run['ids'][5]}"))
        tab.get_by_role("link", name="Previous").click()
        tab.wait_for_url(re.compile(f"id={run['ids'][4]}"))


def test_payloads_are_shown_and_had_byte_for_byte(browser: Browser, page: RunningPage, sql: Store) -> None:
    (row,) = sql.query("SELECT id, request_json, usage_json FROM llm_traces WHERE usage_json != '' LIMIT 1")
    with looking(browser, page, f"/call?id={row['id']}") as tab:
        shown = tab.locator('[data-payload="request"]')
        shown.locator("summary").click()
        assert json.loads(shown.locator("pre").inner_text()) == json.loads(row["request_json"])
        with tab.expect_download() as download:
            shown.get_by_role("link", name="Download").click()
        assert download.value.path().read_text() == row["request_json"]
        assert row["usage_json"] in tab.request.get(f"{page.base}/payload/usage?id={row['id']}").text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/?span=30d", "/?span=30d&split=agent&model=" + MODEL, "/calls?span=30d", "/call", "/health"]
)
def test_no_page_is_wider_than_a_phone(browser: Browser, page: RunningPage, sql: Store, path: str) -> None:
    if path == "/call":
        path = f"/call?id={sql.query('SELECT id FROM llm_traces LIMIT 1')[0]['id']}"
    with looking(browser, page, path, size=PHONE) as tab:
        tab.locator("#main h2").first.wait_for()
        tab.locator(".waiting").first.wait_for(state="detached")  # what is wide comes with the figures
        picture(tab, "phone-" + re.sub(r"\W+", "-", path.partition("id=")[0]).strip("-"))
        assert not too_wide(tab)


@pytest.mark.chaos
def test_light_and_dark_follow_the_system_and_can_be_switched(browser: Browser, page: RunningPage) -> None:
    def ground(tab: Page) -> Any:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    def bars(tab: Page) -> Any:
        bar = tab.locator('[data-chart="tokens"] svg path[fill^="var("]').first
        bar.wait_for(state="attached")
        return bar.evaluate("element => getComputedStyle(element).fill")

    with (
        looking(browser, page, "/?span=30d") as light,
        looking(browser, page, "/?span=30d", dark=True) as dark,
    ):
        as_light, as_dark = (ground(light), bars(light)), (ground(dark), bars(dark))
        assert as_light[0] != as_dark[0]
        assert as_light[1] != as_dark[1]
        picture(dark, "dark")
        dark.get_by_role("button", name="Color theme").click()
        assert (ground(dark), bars(dark)) == as_light
        dark.reload()
        assert (ground(dark), bars(dark)) == as_light


@pytest.mark.chaos
def test_the_keyboard_is_enough(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/calls?span=30d") as tab:
        tab.locator("tr.entry").first.wait_for()
        tab.keyboard.press("/")
        tab.keyboard.type(MODEL)
        tab.keyboard.press("Enter")
        tab.wait_for_url(re.compile(f"model={MODEL}"))
        wanted = ids(tab)[0]
        tab.get_by_role("link", name="Clear").focus()
        for _ in ("the field for an id", "its button", "the first call"):
            tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.closest('tr').dataset.id") == wanted
        ring = tab.locator("tr.entry").first.evaluate("row => getComputedStyle(row).outlineStyle")
        assert ring == "solid"
        tab.keyboard.press("Enter")
        tab.wait_for_url(re.compile(f"id={wanted}"))


@pytest.mark.chaos
def test_a_page_that_is_left_while_it_loads_raises_nothing(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/health") as tab:
        tab.route(re.compile(r"/lang/"), lambda route: None)  # never answered: nothing is mounted
        tab.goto(page.link_to("/calls?span=30d"), wait_until="commit")
        tab.wait_for_function("window.llmledger && window.emitEvent && !window.socket")
        tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        tab.goto("about:blank")


@pytest.mark.parametrize(
    "splits", [("organization",), pytest.param(("agent", "call_type"), marks=pytest.mark.chaos)]
)
def test_recorded_text_is_never_more_than_text(
    browser: Browser, page: RunningPage, sql: Store, splits: Sequence[str]
) -> None:
    evil = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>"
    said = f'{evil} [here](javascript:window.owned=1) <a href="javascript:window.owned=1">here</a>'
    payload = json.dumps({"model": evil, "messages": [{"role": evil, "content": said}]}).encode()
    row = {"id": "evil", "organization_id": evil, "agent_id": evil, "run_id": evil, "model": evil, "call_type": evil,
           "outcome": "error", "is_error": 1, "error_type": evil, "error_message": said, "request_json": payload,
           "response_json": payload, "created_at": NOW_US, "cost_usd": Decimal(900), "prompt_tokens": 1,
           "usage_source": "reported", "service": "evil"}  # fmt: skip
    add_traces(sql, [row])
    try:
        with looking(browser, page, "/?span=30d&service=evil") as tab:
            expect(tab.locator("tbody tr").first).to_contain_text(evil)
            for split in splits:
                tab.goto(f"{page.base}/?span=30d&split={split}")
                expect(tab.locator("tbody tr").first).to_contain_text(evil)
                tab.locator('[data-chart="spend"] svg').hover()
                expect(tab.locator('[data-chart="spend"]')).to_contain_text("<img")
            for path in ("/calls?span=30d", "/call?id=evil"):
                tab.goto(page.base + path)
                expect(tab.locator("#main")).to_contain_text(evil)
                assert tab.locator('#main a[href^="javascript"], #main img, #main script').count() == 0
            assert tab.evaluate("window.owned") is None
    finally:
        sql.run("DELETE FROM llm_traces WHERE id = 'evil'", settings={"mutations_sync": 2})
        sql.run("DELETE FROM llm_usage_hourly WHERE agent_id LIKE '%owned%'", settings={"mutations_sync": 2})


@pytest.mark.chaos
def test_a_page_that_is_looked_at_is_live_and_a_hidden_one_rests(
    browser: Browser, page: RunningPage, sql: Store
) -> None:
    def calls(tab: Page) -> int:
        return int(figure(tab, "calls"))

    def add() -> None:
        add_traces(sql, [{"organization_id": "live", "created_at": NOW_US}])

    path = "/?span=30d&organization=live"
    add()
    with looking(browser, page, path, size=PHONE) as seen, looking(browser, page, path) as hidden:
        assert (calls(seen), calls(hidden)) == (1, 1)
        hidden.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        seen.locator("tbody a").first.focus()
        seen.evaluate("scrollTo(0, 300)")
        for count in (2, 3, 4):  # so that the hidden one had more than one turn
            add()
            expect(seen.locator('[data-figure="calls"]')).to_have_attribute("data-exact", str(count))
        assert calls(hidden) == 1
        assert seen.evaluate("scrollY") == 300
        assert seen.evaluate("document.activeElement.closest('tbody') !== null")
        hidden.evaluate(
            "Object.defineProperty(document, 'hidden', {value: false});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        expect(hidden.locator('[data-figure="calls"]')).to_have_attribute("data-exact", "4")


@pytest.mark.chaos
def test_what_was_shown_stays_while_the_store_is_away(
    browser: Browser, page: RunningPage, engine: Engine
) -> None:
    without_faults()
    with looking(browser, page, "/?span=30d") as tab:
        before = figure(tab, "calls")
        engine.fault("status", times=1000, only="SELECT", status=503)
        expect(tab.locator(".trouble")).to_contain_text("The page tries again by itself.")
        assert "\n" not in tab.locator(".trouble").inner_text()
        assert figure(tab, "calls") == before
        engine.release()
        expect(tab.locator(".trouble")).to_have_count(0)


@pytest.mark.chaos
def test_health_is_what_the_daemon_says(browser: Browser, tmp_path: Path) -> None:
    """And the page reads through the daemon, which has the embedded store open."""
    with (
        RunningDaemon(tmp_path / "d") as daemon,
        running_page(f"unix:{daemon.folder / 'admin.sock'}") as page,
    ):
        daemon.send_one_way(b"".join(line(f"call-{n}", n) for n in range(3)))
        with looking(browser, page, "/health") as tab:
            for place in ("received", "stored"):
                expect(tab.locator(".sum span", has_text=place)).to_contain_text("3")
            assert figure(tab, "dead_letters") == "0"
            picture(tab, "health")
            tab.goto(f"{page.base}/?span=1y")
            assert figure(tab, "calls") == "3"
            daemon.terminate()
            expect(tab.locator(".trouble")).to_contain_text("admin.sock")
            tab.goto(f"{page.base}/health")
            expect(tab.locator("#main")).to_contain_text("no daemon answers")


@pytest.mark.parametrize(
    "asked",
    [
        "&organization=org-01",
        pytest.param("", marks=pytest.mark.chaos),
        pytest.param("&without=organization", marks=pytest.mark.chaos),
    ],
)
def test_one_organization_s_page_shows_no_other(
    browser: Browser, filled: tuple[Store, str], asked: str
) -> None:
    sql, url = filled
    (other,) = sql.query("SELECT id FROM llm_traces WHERE organization_id = 'org-01' LIMIT 1")
    with running_page(url, "--org", "org-00") as page, looking(browser, page, f"/?span=30d{asked}") as tab:
        agrees(tab, sums(sql, "organization_id = 'org-00'"))
        assert tab.get_by_role("link", name="Health").count() == 0
        tab.goto(f"{page.base}/call?id={other['id']}")
        expect(tab.get_by_role("heading", name="Call not found")).to_be_visible()
        assert tab.request.get(f"{page.base}/payload/request?id={other['id']}").status == 404
        assert tab.request.get(f"{page.base}/health").status == 404


@pytest.mark.chaos
def test_an_empty_range_says_so_and_leads_to_a_wider_one(browser: Browser, page: RunningPage) -> None:
    with looking(browser, page, "/?span=1h&model=nobody") as tab:
        expect(tab.get_by_role("heading", name="No calls")).to_be_visible()
        picture(tab, "empty")
        tab.get_by_role("link", name="30 days").click()
        tab.wait_for_url(re.compile("span=30d"))


@pytest.mark.chaos
def test_a_bar_leads_to_its_day(browser: Browser, page: RunningPage, sql: Store) -> None:
    (last,) = sql.query("SELECT toDate(max(created_at)) AS day FROM llm_traces")
    with looking(browser, page, "/?span=30d") as tab:
        figure(tab, "calls")
        bar = tab.locator('[data-chart="tokens"] svg path[fill="var(--c1)"]').nth(-2)
        bar.click()
        tab.wait_for_url(re.compile("from=.*T00%3A00&to="))
        chosen = {
            name: date.fromisoformat(text[:10]) for name, (text,) in parse_qs(urlsplit(tab.url).query).items()
        }
        # The last bar is today's, which has no calls where midnight passed since the rows were made.
        assert last["day"] - chosen["from"] <= timedelta(days=1)
        assert chosen["to"] - chosen["from"] == timedelta(days=1)
        agrees(tab, sums(sql, f"toDate(created_at) = '{chosen['from']}'"))
