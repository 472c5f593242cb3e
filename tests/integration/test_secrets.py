"""A password that is planted wherever one can be, and looked for in whatever the product shows."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers import admin, prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.supervised import SupervisedDaemon
from tests.helpers.waiting import until

SECRET = "hunter2/#@s3cret"
PARTS = (SECRET, "hunter2", "s3cret", quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode())
"""What must not be seen: the whole, halves of it, and the ways in which it travels."""

REFUSED = (
    b"Code: 516. DB::Exception: user: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
)


class Guard(ThreadingHTTPServer):
    """A ClickHouse that lets in whoever knows the password that it has at the moment, and then fails."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Guarded)
        self.password = "another"
        self.let_in = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Guarded(BaseHTTPRequestHandler):
    server: Guard

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, _, known = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(known).decode().partition(":")
        is_known = (kind, user, password) == ("Basic", "user", self.server.password)
        self.server.let_in += is_known
        body = b"Code: 999. DB::Exception: as it may be" if is_known else REFUSED
        self.send_response(500 if is_known else 403)
        self.send_header("X-ClickHouse-Exception-Code", "999" if is_known else "516")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 -- the base class's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class WithoutUrl(SupervisedDaemon):
    """A daemon that finds its store in its environment."""

    def _all_settings(self) -> dict[str, object]:
        return {name: value for name, value in super()._all_settings().items() if name != "clickhouse_url"}


def seen(text: str) -> list[str]:
    return [part for part in PARTS if part in text]


def command_lines(pid: int) -> str:
    """Return what anybody may read of a process and of those that it has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if pid in (parent, int(process.name)):
                found.append(process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode())
    assert any("llmledgerd" in text or "activated" in text for text in found), (
        "the daemon itself is among them"
    )
    return "\n".join(found)


def everything_shown(daemon: RunningDaemon) -> str:
    addresses = ("/readyz", "/healthz", "/v1/status", "/v1/usage?all_organizations=true", "/v1/openapi.json")
    answers = [admin.get(daemon.folder / "admin.sock", address)[1] for address in addresses]
    answers.append(admin.post(daemon.folder / "admin.sock", "/v1/sql", "SELECT 1")[1])
    return "\n".join([*answers, command_lines(daemon.pid), daemon.log_path.read_text()])


@pytest.mark.parametrize("source", ["environment", "file", "credential", "deployed"])
def test_a_running_daemon_shows_its_password_nowhere(guard: Guard, tmp_path: Path, source: str) -> None:
    (tmp_path / "llmledgerd.clickhouse-password").write_text(SECRET)
    bare, whole = f"http://user@{guard.host}/db", f"http://user:{quote(SECRET, safe='')}@{guard.host}/db"
    environment = {
        "environment": {"LLMLEDGER_CLICKHOUSE_URL": whole},
        "file": {
            "LLMLEDGER_CLICKHOUSE_URL": bare,
            "LLMLEDGER_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "llmledgerd.clickhouse-password"),
        },
        "credential": {"LLMLEDGER_CLICKHOUSE_URL": bare, "CREDENTIALS_DIRECTORY": str(tmp_path)},
        "deployed": {
            "CLICKHOUSE_ENDPOINT": guard.host,
            "CLICKHOUSE_USERNAME": "user",
            "CLICKHOUSE_PASSWORD": SECRET,
        },
    }[source]
    settings = {"log_level": "debug", "drain_timeout_seconds": 0.2}
    with WithoutUrl(tmp_path / "d", settings=settings, environment=environment) as daemon:
        daemon.send_one_way(line("a", 1))
        until(lambda: "authentication" in admin.get(daemon.folder / "admin.sock", "/readyz")[1])
        guard.password = SECRET
        until(lambda: guard.let_in)
        until(lambda: "as it may be" in admin.get(daemon.folder / "admin.sock", "/readyz")[1])
        shown = everything_shown(daemon)
        assert "as it may be" in shown
        assert daemon.terminate() == 0
    assert not seen(shown + daemon.log_path.read_text())


def test_a_password_that_is_changed_in_its_file_is_used_after_a_reload(guard: Guard, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("stale")
    environment = {
        "LLMLEDGER_CLICKHOUSE_URL": f"http://user@{guard.host}/db",
        "LLMLEDGER_CLICKHOUSE_PASSWORD_FILE": str(file),
    }
    guard.password = SECRET
    with WithoutUrl(
        tmp_path / "d", settings={"drain_timeout_seconds": 0.2}, environment=environment
    ) as daemon:
        until(lambda: "authentication" in admin.get(daemon.folder / "admin.sock", "/readyz")[1])
        assert not guard.let_in
        file.write_text(SECRET + "\n")
        daemon.signal(signal.SIGHUP)
        until(lambda: guard.let_in)
        (reloaded,) = [entry for entry in daemon.log() if entry["event"] == "reloaded"]
        assert reloaded["changed"] == ["clickhouse.url"]
        answers = admin.get(daemon.folder / "admin.sock", "/v1/usage?all_organizations=true")[1]
        assert "authentication" not in answers, "readers use the new one too"
        assert not seen(everything_shown(daemon))


URLS = {
    "refused": "http://user:{secret}@{host}/db",
    "nobody": "http://user:{secret}@127.0.0.1:1/db",
    "not escaped": "http://user:{odd}@{host}/db",
    "scheme": "gopher://user:{secret}@{host}/db",
    "embedded": "chdb://user:{secret}@{host}",
    "query": "http://{host}/db?password={secret}",
}
COMMANDS = {
    "check": ["llmledgerd", "check"],
    "config": ["llmledgerd", "config"],
    "migrate": ["llmledgerd", "migrate"],
    "serve": ["llmledgerd", "serve", "--set", "socket_path=/proc/nowhere/s"],
    "usage": ["llmledger", "usage"],
}


@pytest.mark.parametrize(
    ("command", "url"),
    [*(("check", url) for url in URLS), *((other, "not escaped") for other in COMMANDS if other != "check")],
)
def test_no_command_shows_the_password_whatever_is_wrong(
    guard: Guard, tmp_path: Path, command: str, url: str
) -> None:
    store = URLS[url].format(secret=quote(SECRET, safe=""), odd=SECRET, host=guard.host)
    done = run(*COMMANDS[command], SPOOL_DIR=str(tmp_path), ADMIN="", CLICKHOUSE_URL=store)
    assert done.returncode or command == "config"
    assert not seen(done.stdout + done.stderr), done.stdout + done.stderr


def test_settings_are_checked_where_the_store_is_away_and_its_url_is_tested_too() -> None:
    away = "http://user@127.0.0.1:1/db"
    assert run("llmledgerd", "check", "--without-store", CLICKHOUSE_URL=away).returncode == 0
    assert run("llmledgerd", "check", CLICKHOUSE_URL=away).returncode == 1
    wrong = run("llmledgerd", "check", "--without-store", CLICKHOUSE_URL="gopher://x")
    assert wrong.returncode == 2
    assert "gopher" in wrong.stderr


def test_a_check_reads_the_price_files(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("[[prices]]\nper_call = 0.01\n")
    check = ("llmledgerd", "check", "--without-store")
    assert run(*check, PRICES_FILE=str(file)).returncode == 0
    file.write_text("[[prices]]\nper_call = 0.01\n[[prices]]\nper_cal = 1\n")
    wrong = run(*check, PRICES_FILE=str(file))
    assert wrong.returncode == 2
    assert f"{file}: entry 2: " in wrong.stderr
    assert "per_cal" in wrong.stderr
    assert run(*check, PRICE_LIST_FILE=str(file)).returncode == 2


def run(command: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings and no others."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLMLEDGER_", "CLICKHOUSE_"))}
    environment |= {f"LLMLEDGER_{name}": value for name, value in settings.items()}
    return prefork.run(command, *arguments, environment=environment)
