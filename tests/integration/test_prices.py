"""Own prices in a running daemon, and the commands that show and recompute costs beside it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import admin, prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.places import environment
from tests.helpers.waiting import until

CONTRACT = """
[[prices]]
name = "before"
provider = "openai"
model = "gpt-4o"
until = 2026-06-01T12:30:00Z
per_million_tokens = { input = 2, output = 8 }

[[prices]]
name = "after"
provider = "openai"
model = "gpt-4o"
from = 2026-06-01T12:30:00Z
per_million_tokens = { input = 1, output = 4 }

[[prices]]
organization = "acme"
provider = "anthropic"
discount_percent = 15

[[prices]]
provider = "openai"
model = "ours-7b"
per_million_tokens = { input = 0.1, output = 0.2 }
"""
CHEAPER = CONTRACT.replace("input = 1, output = 4", "input = 0.5, output = 2")
CHAT_URL, LOCAL_URL = (
    "https://api.openai.com/v1/chat/completions",
    "http://localhost:8000/v1/chat/completions",
)


def chat(name: str, at: str, *, model: str = "gpt-4o", url: str = CHAT_URL, **more: object) -> bytes:
    response = {
        "object": "chat.completion",
        "model": model,
        "choices": [{"finish_reason": "stop", "message": {"content": "x"}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
    return line(name, at, url, response, **more)


def message(name: str, at: str, **more: object) -> bytes:
    response = {
        "type": "message",
        "model": "claude-sonnet-4-5",
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 100, "service_tier": "standard"},
    }
    return line(name, at, "https://api.anthropic.com/v1/messages", response, **more)


def line(name: str, at: str, url: str, response: object, **more: object) -> bytes:
    sent = {
        "protocol_version": 4,
        "provider_trace_id": name,
        "timestamp": at,
        "url": url,
        "response": response,
    }
    return json.dumps({**sent, **more}).encode() + b"\n"


class Priced(RunningDaemon):
    """A daemon over an embedded store, with prices of its own."""

    @property
    def file(self) -> Path:
        return self.folder / "prices.toml"

    def send(self, *lines: bytes) -> None:
        before = admin.status(self.folder / "admin.sock")["stored"]
        self.send_one_way(b"".join(lines))
        until(lambda: admin.status(self.folder / "admin.sock")["stored"] == before + len(lines))

    def costs(self) -> dict[str, Any]:
        code, text = admin.get(self.folder / "admin.sock", "/v1/calls?all_organizations=true&limit=100")
        assert code == 200, text
        return {call["id"]: call for call in json.loads(text)["calls"]}

    def reload(self, prices: str) -> str:
        """Change the file and send SIGHUP; return what the status says of the prices then."""
        self.file.write_text(prices)
        mark = self.log_path.stat().st_size
        self.signal(signal.SIGHUP)
        until(lambda: any(said["event"] == "reloaded" for said in self.log(mark)))
        return str(admin.status(self.folder / "admin.sock")["prices"])

    def command(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        own = environment(
            LLMLEDGER_SOCKET=str(self.socket),
            LLMLEDGER_SPOOL_DIR=str(self.spool),
            LLMLEDGER_CLICKHOUSE_URL=self.url,
            LLMLEDGER_PRICES_FILE=str(self.file),
            COLUMNS="80",
        )
        done = prefork.run("llmledger", *arguments, environment=own)
        assert done.returncode == code, done
        return done


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Priced]:
    folder = tmp_path_factory.mktemp("priced")
    (folder / "prices.toml").write_text(CONTRACT)
    with Priced(folder, settings={"prices_file": folder / "prices.toml"}) as running:
        running.send(
            chat("before noon", "2026-06-01T12:29:59.999999Z"),
            chat("after noon", "2026-06-01T12:30:00Z"),
            message("acme's", "2026-06-01T10:00:00Z", org_id="acme"),
            message("other's", "2026-06-01T10:00:00Z", org_id="other"),
            chat("ours", "2026-06-01T10:00:00Z", model="ours-7b", url=LOCAL_URL, provider="openai"),
            chat("nobody's", "2026-06-01T10:00:00Z", model="llama", url=LOCAL_URL, provider="openai"),
        )
        yield running


def test_a_contract_that_changes_at_noon_a_discount_and_a_model_of_one_s_own(daemon: Priced) -> None:
    found = daemon.costs()
    assert {name: call["cost_usd"] for name, call in found.items()} == {
        "before noon": "0.002800000",
        "after noon": "0.001400000",
        "acme's": "0.003825000",
        "other's": "0.004500000",
        "ours": "0.000120000",
        "nobody's": None,
    }
    assert found["nobody's"]["cost_reason"] == "own_model"
    assert "(before)" in found["before noon"]["price_list"]
    assert "(after)" in found["after noon"]["price_list"]
    for call in found.values():
        parts = sum(map(Decimal, call["cost_parts"].values()), Decimal(0))
        assert parts == Decimal(call["cost_usd"] or 0), call


def test_calls_without_a_cost_are_listed_by_reason_and_named_below_usage(daemon: Priced) -> None:
    shown = daemon.command("prices", "--unpriced", "--since", "2026-06-01").stdout
    assert shown.splitlines()[1].split() == ["openai", "llama", "1", "1,100", "own_model"]
    (said,) = daemon.command("prices", "--unpriced", "--since", "2026-06-01", "--json").stdout.splitlines()
    assert json.loads(said)["reason"] == "own_model"
    daemon.command("prices", "--unpriced", "--since", "2026-06-01", "--org", "acme", code=1)
    usage = daemon.command("usage", "--since", "2026-06-01").stdout
    assert usage.rstrip().endswith("cost unknown in 1, most often: own_model (1 of llama)")


def prices(daemon: Priced, *arguments: str) -> list[dict[str, Any]]:
    shown = daemon.command("prices", *arguments, "--json").stdout
    return [json.loads(said) for said in shown.splitlines()]


def test_a_model_s_price_is_shown_for_a_day_an_organization_and_its_list(daemon: Priced) -> None:
    (early,) = prices(daemon, "gpt-4o", "--provider", "openai", "--on", "2026-06-01T12:00:00Z")
    (late,) = prices(daemon, "gpt-4o", "--provider", "openai", "--on", "2026-06-02")
    assert (early["per_million_tokens"]["input"], late["per_million_tokens"]["input"]) == (2, 1)
    assert "(before)" in early["price_list"]
    assert late["source"] == "own_price"
    claude = ("claude-sonnet-4-5", "--provider", "anthropic")
    assert prices(daemon, *claude)[0]["per_million_tokens"]["input"] == 3
    assert prices(daemon, *claude, "--org", "acme")[0]["per_million_tokens"]["input"] == 2.55
    assert {one["provider"] for one in prices(daemon, "gpt-4o")} >= {"openai", "azure"}
    said = daemon.command("prices", "gpt-4o", "--provider", "openai", "--tier", "warp", code=1).stderr
    assert "no_price_for_tier" in said
    lines = daemon.command("prices", "gpt-4o", "--provider", "openai").stdout.splitlines()
    assert max(map(len, lines)) <= 80


def test_new_prices_hold_from_sighup_on_and_a_broken_file_changes_nothing(daemon: Priced) -> None:
    assert "entry 1" in daemon.reload("[[prices]]\nper_call = -1\n")
    daemon.send(chat("broken", "2026-06-02T00:00:00Z"))
    assert daemon.costs()["broken"]["cost_usd"] == "0.001400000"
    assert daemon.reload(CHEAPER) == ""
    daemon.send(chat("cheaper", "2026-06-02T00:00:00Z"))
    assert daemon.costs()["cheaper"]["cost_usd"] == "0.000700000"
    check_repriced(daemon)


def check_repriced(daemon: Priced) -> None:
    """Recompute costs through the daemon, which has the store open, and look at what has changed."""
    before = daemon.costs()
    span = ("--from", "2026-06-01", "--to", "2026-06-03")
    dry = daemon.command("reprice", *span, "--dry-run")
    assert "8 calls looked at, 2 costs would change" in dry.stdout
    assert daemon.costs() == before
    (change,) = daemon.command("reprice", *span, "--dry-run", "--json").stdout.splitlines()
    (said,) = json.loads(change)["models"]
    assert (said["model"], said["calls"], said["old_usd"], said["new_usd"]) == (
        "gpt-4o",
        2,
        0.0028,
        0.0014,
    )
    done = daemon.command("reprice", *span)
    assert "2 costs changed" in done.stdout
    assert "8 looked at" in done.stderr.splitlines()[-1]
    after = daemon.costs()
    assert {name for name in after if after[name] != before[name]} == {"after noon", "broken"}
    assert after["after noon"]["cost_usd"] == "0.000700000"
    assert "0 costs changed" in daemon.command("reprice", *span).stdout
    statement = "SELECT state, by, sum(calls) FROM llm_price_changes GROUP BY state, by ORDER BY state"
    code, text = admin.post(daemon.folder / "admin.sock", "/v1/sql", statement)
    assert code == 200, text
    rows = json.loads(text)["rows"]
    assert [(row[0], int(row[2])) for row in rows] == [("begun", 2), ("done", 2)]
    assert all(row[1].startswith("uid ") and "@" in row[1] for row in rows)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"from_us": 1},
        {"from_us": 2, "to_us": 1},
        {"from_us": 1, "to_us": 2, "dryrun": True},
        {"from_us": 1, "to_us": 2, "dry_run": None},
        {"from_us": 1, "to_us": 2, "dry_run": "true"},
        {"from_us": -1, "to_us": 2},
        {"from_us": 1, "to_us": 2, "run": "x' OR 1"},
    ],
)
def test_a_request_that_is_misspelt_is_refused(daemon: Priced, body: dict[str, object]) -> None:
    code, text = admin.post(daemon.folder / "admin.sock", "/v1/reprice", json.dumps(body))
    assert code == 400, text
