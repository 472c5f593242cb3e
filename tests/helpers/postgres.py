"""A PostgreSQL to test against: the real server of Debian's packages, which can be killed and frozen.

Invariant: a server that was entered answers; its URL stays the same across restarts. It ends when the
process of the tests does. It does not run as root, so that root runs it as the user ``postgres``, in a
folder that this one may enter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import set_json_loads

from tests.helpers.waiting import until

USER = "postgres"


def programs() -> Path | None:
    """Return the folder of the newest server's programs, or None where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresServer:
    """One server on a folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        if self._programs is None or not shutil.which("setpriv"):
            pytest.skip("there is no PostgreSQL server: apt-get install postgresql")
        self._data = folder / "data"
        self._log = folder / "log"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        self._run(
            "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    @property
    def address(self) -> str:
        """Where it listens, without a database."""
        return f"postgresql://{USER}@127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        """Start the server, and return when it answers."""
        assert self._process is None, "the server is running"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",  # what is killed here is processes, whose writes the kernel keeps
            "max_connections": 60,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*self._as_user(), f"{self._programs}/postgres", "-D", str(self._data), *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._data.parent)
        until(self._answers, what="PostgreSQL to answer")

    def kill(self) -> None:
        """End the server and all that serve it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGSTOP)  # or it would note that its children die
            for pid in (*_children(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            until(lambda: not _is_open(self._port), what="the port to be closed")

    def freeze(self) -> None:
        """Stop it without a word: connections stay, and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            os.kill(pid, number)

    def _as_user(self) -> list[str]:
        drop = ["--reuid", USER, "--regid", USER, "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig", "KILL", *drop]

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_user(), f"{self._programs}/{program}", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self._data.parent)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            psycopg.connect(f"{self.address}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server for the length of a block; skip where none is installed."""
    with tempfile.TemporaryDirectory(prefix="llmledger-pg-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def fresh_postgres_database(address: str) -> Iterator[str]:
    """Return the URL of a new, empty database, and drop it after the block."""
    name = f"llmledger_test_{uuid.uuid4().hex}"
    _administer(address, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield f"{address}/{name}"
    finally:
        _administer(address, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def query(url: str, statement: str) -> list[dict[str, object]]:
    """Run a statement in a connection of its own; return its rows, where it has some."""
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        set_json_loads(partial(json.loads, parse_float=Decimal, parse_int=Decimal), connection)
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _administer(address: str, statement: sql.Composed) -> None:
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(statement)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
