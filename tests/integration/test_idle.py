"""A daemon imports no module that it does not use, and a command nothing of a store's or a daemon's."""

from __future__ import annotations

import subprocess
import sys
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
UNUSED |= {"genai_prices", "chdb", "numpy", "pandas", "pyarrow", "psycopg", "obstore", "nicegui"}


class Recorded(RunningDaemon):
    """A daemon that writes its modules to a file at its end."""

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        start = [sys.executable, "-c", RECORDED.format(module="__main__"), str(self.folder / "modules")]
        return subprocess.Popen([*start, *command[3:]], stdout=log, stderr=log, env=environment)

    def modules(self) -> set[str]:
        return set((self.folder / "modules").read_text().split())


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Recorded:
    return Recorded(tmp_path / "d", url=server_url)


def test_a_daemon_that_stores_imports_no_library_of_the_command_line_of_prices_or_of_an_engine(
    daemon: Recorded, server: Store
) -> None:
    record = {"protocol_version": 1, "id": "a", "provider": "openai", "model": "gpt-4o", "status": "success"}
    with daemon:
        daemon.send_one_way(msgspec.json.encode(record) + b"\n")
        until(lambda: server.query("SELECT count() AS n FROM llm_traces")[0]["n"] == 1)
        assert daemon.terminate() == 0
    assert sorted({name.partition(".")[0] for name in daemon.modules()} & UNUSED) == []
    assert "clickhouse_connect" in daemon.modules()


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
