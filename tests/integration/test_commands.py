"""``llmledger`` beside a running daemon: it finds it, follows what arrives, and works on pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO

import pytest

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin, prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.migrated_databases import copy_migrated
from tests.helpers.places import NOW, environment, free_port
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

COMMAND = [sys.executable, "-c", "from llmledgerd.cli.app import main; main()"]
CALLS: list[dict[str, object]] = [
    {"id": "a-1", "organization_id": "a", "agent_id": "smith", "model": "m1", "provider": "openai", "run_id": "r",
     "prompt_tokens": 10, "total_tokens": 15, "cost_usd": Decimal("0.25"), "outcome": "ok", "usage_source": "reported",
     "request_size_bytes": 2_000_000, "created_at": NOW - 3_000_000},
    {"id": "a-2", "organization_id": "a", "agent_id": "smith", "model": "m2", "is_error": 1, "outcome": "error",
     "error_type": "rate_limit_error", "error_message": "slow\ndown \x1b[2J", "status_code": 429,
     "request_size_bytes": 10, "created_at": NOW - 2_000_000},
    {"id": "b-1", "organization_id": "b", "agent_id": "jones", "model": "m1", "outcome": "ok",
     "request_size_bytes": 3_000_000, "created_at": NOW - 1_000_000},
]  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """Return a daemon whose embedded store holds CALLS."""
    folder = tmp_path_factory.mktemp("d")
    copy_migrated(folder / "clickhouse")
    store = Store(f"chdb://{folder / 'clickhouse'}")
    add_traces(store, CALLS)
    loss = (
        NOW,
        "host",
        "api",
        "",
        "client",
        "buffer_full",
        7,
        "00000000-0000-0000-0000-000000000001",
        0,
        NOW,
    )
    columns = tuple(store.columns("llm_trace_losses"))
    store.insert("llm_trace_losses", columns, [loss], token="loss")
    store.close()
    with RunningDaemon(folder) as running:
        yield running


def known(daemon: RunningDaemon, **own: str) -> dict[str, str]:
    """Return an environment that leads to the daemon, as on its own host."""
    return environment(LLMLEDGER_SOCKET=str(daemon.socket), LLMLEDGER_SPOOL_DIR=str(daemon.spool), **own)


def run(daemon: RunningDaemon, *arguments: str, **own: str) -> subprocess.CompletedProcess[str]:
    return prefork.run("llmledger", *arguments, environment=known(daemon, **own))


def ids(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(text)["id"] for text in done.stdout.splitlines()]


def test_the_daemon_is_found_beside_its_socket(daemon: RunningDaemon) -> None:
    """An embedded store is open in the daemon alone, so that nothing else could have answered."""
    arguments = ["traces", "--json", "--org", "a"]
    assert ids(run(daemon, *arguments)) == ["a-2", "a-1"]
    by_itself = subprocess.run(
        [*COMMAND, *arguments], env=known(daemon), capture_output=True, text=True, timeout=60, check=False
    )
    assert ids(by_itself) == ["a-2", "a-1"]


def test_a_daemon_s_address_may_be_given(daemon: RunningDaemon) -> None:
    address = f"unix:{daemon.folder / 'admin.sock'}"
    arguments = ("traces", "--json", "--org", "b", "--url", address)
    done = prefork.run("llmledger", *arguments, environment=environment())

    assert ids(done) == ["b-1"]


def test_without_a_daemon_the_store_that_is_named_is_read(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'data'}"
    copy_migrated(tmp_path / "data")
    store = Store(url)
    add_traces(store, CALLS)
    store.close()
    env = environment(LLMLEDGER_CLICKHOUSE_URL=url, LLMLEDGER_SOCKET=f"{tmp_path}/none")
    done = prefork.run("llmledger", "traces", "--json", environment=env)

    assert ids(done) == ["b-1", "a-2", "a-1"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--errors"], ["a-2"]),
        (["--model", "m1"], ["b-1", "a-1"]),
        (["--provider", "openai"], ["a-1"]),
        (["--run", "r"], ["a-1"]),
        (["--agent", "jones"], ["b-1"]),
        (["--outcome", "ok", "--org", "a"], ["a-1"]),
        (["--type", "embedding"], []),
        (["--until", "1h"], []),
        (["--since", "1h", "--limit", "1"], ["b-1"]),
    ],
)
def test_traces_are_narrowed(daemon: RunningDaemon, arguments: list[str], found: list[str]) -> None:
    done = run(daemon, "traces", "--json", *arguments)
    if found:
        assert ids(done) == found
    else:
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "llmledger: no calls found\n")


def test_errors_are_listed_with_what_was_said(daemon: RunningDaemon) -> None:
    done = run(daemon, "errors")

    header, row = done.stdout.splitlines()
    assert header.split()[-2:] == ["TYPE", "MESSAGE"]
    assert row.split()[2:] == [
        "a-2",
        "a",
        "smith",
        "-",
        "m2",
        "429",
        "rate_limit_error",
        "slow",
        "down",
        "\ufffd[2J",
    ]


def test_large_requests_are_listed_largest_first(daemon: RunningDaemon) -> None:
    assert ids(run(daemon, "large", "--json")) == ["b-1", "a-1"]
    assert ids(run(daemon, "large", "--json", "--min-bytes", "0", "--org", "a")) == ["a-1", "a-2"]
    assert "2,000,000" in run(daemon, "large", "--org", "a").stdout
    none = run(daemon, "large", "--org", "nobody")
    assert (none.returncode, none.stderr) == (1, "llmledger: no calls found\n")


def test_usage_is_narrowed(daemon: RunningDaemon) -> None:
    done = run(daemon, "usage", "--by", "agent", "--model", "m1", "--json")

    assert sorted(json.loads(text)["group"]["agent"] for text in done.stdout.splitlines()) == [
        "jones",
        "smith",
    ]


def test_status_says_how_the_daemon_is_doing(daemon: RunningDaemon) -> None:
    done = run(daemon, "status")

    assert done.returncode == 0, done.stderr
    for word in ("daemon", "records", "speed", "lag", "spool", "senders", "store"):
        assert any(text.startswith(word) for text in done.stdout.splitlines())
    assert done.stdout.splitlines()[-1].split()[2:] == ["client", "buffer_full", "api", "7", "0"]
    assert json.loads(run(daemon, "status", "--json").stdout)["ready"] is True


def test_who_may_ask_the_daemon_need_not_know_the_password_of_its_store(daemon: RunningDaemon) -> None:
    unreadable = str(daemon.folder / "not-for-you")
    done = run(daemon, "status", LLMLEDGER_CLICKHOUSE_PASSWORD_FILE=unreadable)

    assert done.returncode == 0, done.stderr


def test_status_without_a_daemon_says_so_in_one_line(tmp_path: Path) -> None:
    env = environment(LLMLEDGER_ADMIN=f"unix:{tmp_path}/nobody")
    done = prefork.run("llmledger", "status", environment=env)

    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"llmledger: no daemon answers at unix:{tmp_path}/nobody (no such file or directory); start llmledgerd,"
        " or name its address by --url or LLMLEDGER_ADMIN\n"
    )


def test_sql_prints_what_it_finds(daemon: RunningDaemon) -> None:
    statement = "SELECT model, count() AS n, sum(cost_usd) AS usd FROM llm_traces WHERE id LIKE 'a-%' GROUP BY 1 ORDER BY 1"
    table = run(daemon, "sql", statement)
    lines = run(daemon, "sql", "--json", statement)

    assert [row.split() for row in table.stdout.splitlines()] == [
        ["model", "n", "usd"],
        ["m1", "1", "0.250000000"],
        ["m2", "1", "-"],
    ]
    assert json.loads(lines.stdout.splitlines()[0]) == {"model": "m1", "n": 1, "usd": "0.250000000"}


def test_sql_that_is_refused_says_why_in_one_line(daemon: RunningDaemon) -> None:
    for statement, said in (
        ("DROP TABLE llm_traces", "only SELECT"),
        ("SELECT color FROM llm_traces", "color"),
    ):
        done = run(daemon, "sql", statement)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert said in done.stderr


def test_a_pipe_that_closes_early_ends_the_command_without_a_word(daemon: RunningDaemon) -> None:
    statement = "SELECT number, repeat('x', 1000) FROM numbers(10000)"
    command = [*COMMAND, "sql", "--json", statement]
    with subprocess.Popen(
        command, env=known(daemon), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("command", [["tail", "-n", "1"], ["traces", "--follow", "--limit", "1"]])
def test_calls_are_followed_as_they_arrive(daemon: RunningDaemon, command: list[str]) -> None:
    name = command[0]
    org = f"org-{name}"
    daemon.send_one_way(line(f"{name}-0", 0, org_id=org))
    stored(daemon, org, 1)
    process = subprocess.Popen(
        [*COMMAND, *command, "--org", org, "--json"], env=known(daemon), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert told(process.stdout) == f"{name}-0"
        for number in range(1, 4):
            daemon.send_one_way(line(f"{name}-{number}", number, org_id=org))
            assert told(process.stdout) == f"{name}-{number}"
    finally:
        process.kill()
        process.communicate()


def told(lines: IO[str]) -> str:
    """Return the id of the next call that is printed."""
    return str(json.loads(lines.readline())["id"])


def stored(daemon: RunningDaemon, org: str, count: int) -> None:
    path = daemon.folder / "admin.sock"

    def seen() -> bool:
        _, text = admin.get(path, f"/v1/calls?organization_id={org}")
        return len(json.loads(text)["calls"]) == count

    until(seen)


def test_a_token_is_taken_from_the_environment(tmp_path: Path, server_url: str) -> None:
    made = prefork.run("llmledgerd", "token", "--org", "acme", environment=environment())
    (tmp_path / "tokens.toml").write_text(made.stdout)
    address = f"127.0.0.1:{free_port()}"
    settings = {"admin": address, "admin_tokens_file": tmp_path / "tokens.toml"}
    with RunningDaemon(tmp_path / "d", url=server_url, settings=settings) as daemon:
        allowed = run(
            daemon,
            "usage",
            "--org",
            "acme",
            LLMLEDGER_ADMIN=address,
            LLMLEDGER_TOKEN=made.stderr.strip(),
        )
        unknown = run(daemon, "usage", "--org", "acme", LLMLEDGER_ADMIN=address)

    assert allowed.returncode == 0, allowed.stderr
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "token" in unknown.stderr
