"""How a command finds what it asks: the daemon, by socket or by TCP with a token, or a store that is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.migrated_databases import Lend
from tests.helpers.places import free_port
from tests.helpers.waiting import until

LINE = b'{"protocol_version":4,"provider_trace_id":"call-1","model":"m","org_id":"acme"}\n'


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLMLEDGER_", "CLICKHOUSE_"))
    }
    return prefork.run("llmledger", *arguments, environment={**environment, **variables}, timeout=120)


@pytest.fixture(scope="module")
def tcp(lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, RunningDaemon]]:
    """Return a daemon's TCP address and an operator's token, with one call stored."""
    folder = tmp_path_factory.mktemp("tcp")
    made = prefork.run("llmledgerd", "token", "--all", environment=os.environ)
    (folder / "tokens.toml").write_text(made.stdout)
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "admin": address,
        "admin_tokens_file": folder / "tokens.toml",
        "batch_max_age_seconds": "100ms",
    }
    with lend() as url, RunningDaemon(folder / "d", url=url, settings=settings) as daemon:
        daemon.send_one_way(LINE)
        token = made.stderr.strip()
        until(lambda: "call-1" in run("traces", "--url", address, LLMLEDGER_TOKEN=token).stdout)
        yield address, token, daemon


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_every_reading_command_asks_a_daemon_over_tcp_with_a_token(
    tcp: tuple[str, str, RunningDaemon], scheme: str
) -> None:
    address, token, _ = tcp
    url = f"{scheme}{address}"
    for command in (["trace", "call"], ["usage"], ["status"], ["sql", "SELECT id FROM llm_traces"]):
        done = run(*command, "--url", url, "--json", "--token", token)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout.splitlines()[0])
    assert "a password or token on the command line is visible" in done.stderr
    doctor = run("doctor", "--url", url, "--json", LLMLEDGER_TOKEN=token)
    states = {found["part"]: found["state"] for found in map(json.loads, doctor.stdout.splitlines())}
    assert states["daemon"] == states["store"] == states["clock"] == "ok"


def test_a_daemon_over_tcp_says_that_it_needs_a_token(tcp: tuple[str, str, RunningDaemon]) -> None:
    done = run("traces", "--url", f"http://{tcp[0]}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"llmledger: the daemon at http://{tcp[0]} requires a token; use --token or LLMLEDGER_TOKEN\n"
    )


def test_without_a_daemon_and_without_a_store_one_sentence_says_both(tmp_path: Path) -> None:
    path = tmp_path / "l.sock"
    done = run(
        "traces",
        LLMLEDGER_SOCKET=str(path),
        LLMLEDGER_STORES="clickhouse",
        LLMLEDGER_CLICKHOUSE_URL=f"chdb://{tmp_path}/none",
    )
    assert done.stderr == (
        f"llmledger: no daemon answers at unix:{tmp_path}/admin.sock (no such file or directory), and there is no"
        f" store at chdb://{tmp_path}/none; start llmledgerd, or name its address by --url or LLMLEDGER_ADMIN, or a"
        " store by LLMLEDGER_CLICKHOUSE_URL\n"
    )
    away = run("status", LLMLEDGER_SOCKET=str(path))
    assert away.stderr == (
        f"llmledger: no daemon answers at unix:{tmp_path}/admin.sock (no such file or directory); start llmledgerd,"
        " or name its address by --url or LLMLEDGER_ADMIN\n"
    )


def test_a_daemon_that_was_named_and_is_away_is_never_replaced_by_a_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = f"chdb://{tmp_path}/store"
    done = run("traces", LLMLEDGER_ADMIN=f"unix:{tmp_path}/a.sock", LLMLEDGER_CLICKHOUSE_URL=store)
    assert done.returncode == 2
    assert f"no daemon answers at unix:{tmp_path}/a.sock" in done.stderr
    assert f"--url {store}" in done.stderr


def test_a_socket_without_a_daemon_is_said_before_the_store_is_read(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "admin.sock"))
    left.close()
    (tmp_path / "store").mkdir()
    done = run(
        "usage", LLMLEDGER_SOCKET=str(tmp_path / "s"), LLMLEDGER_CLICKHOUSE_URL=f"chdb://{tmp_path}/store"
    )
    assert f"(connection refused); reading chdb://{tmp_path}/store itself" in done.stderr


def test_what_answers_and_is_no_daemon_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "admin.sock"))
        other.listen()
        done = run("status", "--url", f"unix:{tmp_path}/admin.sock")
    assert done.returncode == 2
    assert "timeout" in done.stderr
