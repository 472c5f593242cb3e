"""A daemon imports no module that it does not use, and a command nothing of a store's or a daemon's."""

from __future__ import annotations

import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
import pytest

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.places import environment
from tests.helpers.prefork import Process
from tests.helpers.waiting import until

RECORDED = """
import atexit, sys
path = sys.argv.pop(1)
atexit.register(lambda: open(path, "w").write(" ".join(sys.modules)))
from llmledgerd.{module} import main
main()
"""
UNUSED = {"typer", "click", "rich", "pygments", "markdown_it", "pydantic", "httpx", "httpx2"}
UNUSED |= {"genai_prices", "chdb", "numpy", "pandas", "pyarrow", "psycopg", "obstore", "nicegui", "greenlet"}
HTTP = {"aiohttp", "multidict", "yarl", "frozenlist", "aiosignal", "attr", "propcache"}
"""What answers requests: of the admin server, and of OTLP over HTTP."""
SCRAPES = {"prometheus_client"}
REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
QUESTION = b"/v1/openapi.json"
SLOW_IMPORT = """
import importlib.abc, pathlib, sys, time
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        mark = pathlib.Path({mark!r})
        if name == "aiohttp" and not mark.exists():
            mark.touch()
            while mark.exists():
                time.sleep(0.01)
sys.meta_path.insert(0, Slow())
"""
"""Code that makes the import of aiohttp last as long as a file is there."""


class Recorded(RunningDaemon):
    """A daemon that writes its modules to a file at its end."""

    before = ""
    """Code that runs before the daemon's."""

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        code = self.before + RECORDED.format(module="__main__")
        start = [sys.executable, "-c", code, str(self.folder / "modules")]
        return subprocess.Popen([*start, *command[3:]], stdout=log, stderr=log, env=environment)

    def modules(self) -> set[str]:
        return set((self.folder / "modules").read_text().split())


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Recorded:
    return Recorded(tmp_path / "d", url=server_url, settings={"otlp": f"unix:{tmp_path}/o"})


def store_a_record(daemon: Recorded, server: Store) -> None:
    record = {"protocol_version": 1, "id": "a", "provider": "openai", "model": "gpt-4o", "status": "success"}
    daemon.send_one_way(msgspec.json.encode(record) + b"\n")
    until(lambda: server.query("SELECT count() AS n FROM llm_traces")[0]["n"] == 1)


def ask(path: Path, what: bytes) -> socket.socket:
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asked.settimeout(60)
    asked.connect(str(path))
    asked.sendall(REQUEST % what)
    return asked


def answer(asked: socket.socket) -> bytes:
    with asked:
        return b"".join(iter(partial(asked.recv, 1 << 16), b""))


def test_a_daemon_that_stores_imports_no_library_of_the_command_line_of_prices_of_an_engine_or_of_http(
    daemon: Recorded, server: Store
) -> None:
    with daemon:
        store_a_record(daemon, server)
        assert daemon.terminate() == 0
    assert sorted({name.partition(".")[0] for name in daemon.modules()} & (UNUSED | HTTP | SCRAPES)) == []
    assert "clickhouse_connect" in daemon.modules()


def test_a_daemon_that_is_probed_and_scraped_imports_no_http_server(daemon: Recorded) -> None:
    admin = daemon.folder / "admin.sock"
    with daemon:
        for _ in range(50):
            assert answer(ask(admin, b"/healthz")).endswith(b"\r\n\r\nok\n")
            assert b" 200 OK\r\n" in answer(ask(admin, b"/readyz"))
        for _ in range(3):
            assert b"\nllmledgerd_accepting 1.0\n" in answer(ask(admin, b"/metrics"))
        assert daemon.terminate() == 0
    tops = {name.partition(".")[0] for name in daemon.modules()}
    assert sorted(tops & (UNUSED | HTTP)) == []
    assert tops >= SCRAPES


def test_probes_are_answered_while_the_http_server_is_imported_for_a_question(daemon: Recorded) -> None:
    daemon.before = SLOW_IMPORT.format(mark=str(daemon.folder / "imports"))
    admin = daemon.folder / "admin.sock"
    with daemon:
        asked = ask(admin, QUESTION)
        until((daemon.folder / "imports").exists)
        probes = [ask(admin, what) for what in (b"/healthz", b"/readyz") * 20]
        assert [answer(probe).partition(b"\r\n")[0] for probe in probes] == [b"HTTP/1.1 200 OK"] * 40
        (daemon.folder / "imports").unlink()
        assert b" 200 OK\r\n" in answer(asked)
        assert answer(ask(admin, b"/healthz")).endswith(b"\r\n\r\nok\n")
        assert daemon.terminate() == 0
    assert "aiohttp" in daemon.modules()


@pytest.mark.parametrize(("socket_name", "status"), [("d/admin.sock", b"200"), ("o", b"404")])
def test_all_who_ask_before_the_http_server_is_imported_are_answered(
    daemon: Recorded, tmp_path: Path, socket_name: str, status: bytes
) -> None:
    with daemon:
        waiting = [ask(tmp_path / socket_name, QUESTION) for _ in range(100)]
        answers = [answer(asked).partition(b"\r\n")[0].split()[1] for asked in waiting]
        assert answers == [status] * 100
        assert daemon.terminate() == 0
    assert "aiohttp" in daemon.modules()


def test_a_daemon_that_cannot_import_its_http_server_stores_and_says_so(
    daemon: Recorded, server: Store
) -> None:
    daemon.before = "import sys; sys.modules['aiohttp'] = None\n"
    with daemon:
        assert answer(ask(daemon.folder / "admin.sock", QUESTION)) == b""
        assert answer(ask(daemon.folder / "admin.sock", b"/healthz")).endswith(b"\r\n\r\nok\n")
        store_a_record(daemon, server)
        (said,) = (entry for entry in daemon.log() if "admin server cannot be started" in entry["event"])
        assert "aiohttp" in said["exception"]
        assert daemon.terminate() == 0


def test_a_command_that_asks_a_daemon_imports_no_store_and_no_server(
    daemon: Recorded, server: Store, tmp_path: Path
) -> None:
    loaded = tmp_path / "loaded"
    command = [sys.executable, "-c", RECORDED.format(module="cli.app"), str(loaded)]
    asked = ["--url", f"unix:{daemon.folder}/admin.sock"]
    with daemon:
        for words in (["traces"], ["usage"], ["status"], ["sql", "SELECT 1"]):
            done = subprocess.run(
                [*command, *words, *asked], capture_output=True, text=True, env=environment(), timeout=60
            )
            assert done.returncode == (1 if words == ["traces"] else 0), done.stderr
            modules = set(loaded.read_text().split())
            assert sorted({name.partition(".")[0] for name in modules} & STORES) == [], words
            own = {".".join(name.split(".")[:2]) for name in modules if name.startswith("llmledgerd.")}
            assert sorted(own & DAEMON) == [], words


STORES = {
    "clickhouse_connect",
    "psycopg",
    "chdb",
    "obstore",
    "aiohttp",
    "urllib3",
    "prometheus_client",
}
DAEMON = {
    f"llmledgerd.{name}" for name in ("daemon", "admin", "ingest", "delivery", "spool", "redaction", "usage")
}
