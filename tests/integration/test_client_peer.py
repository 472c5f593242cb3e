"""Nothing is sent to a socket that somebody else got hold of; what is the daemon's is found all the same."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledger import TraceClient
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.waiting import until

DAEMON, APP = 4991, 4992

LISTENS = """
    import os, socket, sys
    path, uid = sys.argv[1], int(sys.argv[2])
    os.setgid(uid); os.setuid(uid)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen()
    print("there", flush=True)
    while True:
        connection, _ = listener.accept()
        data = connection.recv(65536)
        print(len(data), flush=True)
        if data:
            connection.sendall(b'{"protocol_version":4,"durable":0,"max_line_bytes":1000000}\\n')
            connection.recv(65536)
            connection.sendall(b'{"durable":1}\\n')
            connection.recv(65536)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that other users reach, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Stranger:
    """A process of another user that listens, and says how many bytes it was sent first."""

    def __init__(self, path: Path, uid: int) -> None:
        command = [sys.executable, "-c", textwrap.dedent(LISTENS), str(path), str(uid)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.line() == "there"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@needs_root
def test_a_strangers_socket_in_a_shared_folder_gets_not_a_byte(
    open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_folder.chmod(0o1777)
    with Stranger(open_folder / "s", DAEMON) as stranger:
        client = TraceClient(open_folder / "s", service="secret")
        try:
            with caplog.at_level(logging.WARNING, "llmledger"):
                assert client.record(model="m")
                assert not client.flush(0.2)
                until(lambda: client.stats().untrusted >= 3, what="three attempts")
            assert [stranger.line() for _ in range(3)] == ["0"] * 3
            stats = client.stats()
            assert (stats.is_connected, stats.waiting, stats.lost) == (False, 1, {})
            (said,) = [record.getMessage() for record in caplog.records]
            assert f"uid {DAEMON}" in said
            assert "LLMLEDGER_DAEMON_UID" in said
        finally:
            client.close(0.0)


@needs_root
def test_what_waited_goes_to_the_daemon_that_comes_in_the_strangers_place(open_folder: Path) -> None:
    open_folder.chmod(0o1777)
    client = TraceClient(open_folder / "s")
    with Stranger(open_folder / "s", DAEMON):
        client.record(model="m")
        until(lambda: client.stats().untrusted, what="an attempt")
    with FakeDaemon(open_folder / "s") as daemon:
        assert client.close(20)
        assert [record["model"] for record in daemon.records()] == ["m"]


@needs_root
@pytest.mark.parametrize("named", [None, f"0,{DAEMON}"])
def test_a_daemon_of_its_own_user_in_its_own_folder_is_served(
    open_folder: Path, named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd has it, with an application that is neither root nor the daemon's user."""
    folder = open_folder / "run"
    folder.mkdir()
    if named:
        monkeypatch.setenv("LLMLEDGER_DAEMON_UID", named)
        folder.chmod(0o1777)
    else:
        os.chown(folder, DAEMON, DAEMON)
    code = f"""
        import logging, os, llmledger  # imported while the interpreter's files can be read
        os.setgid({APP}); os.setuid({APP})
        assert llmledger.record(model="m")
        assert llmledger.flush(20)
        assert llmledger.stats().untrusted == 0
        llmledger.close(0)
    """
    with Stranger(folder / "s", DAEMON):
        environment = {**os.environ, "LLMLEDGER_SOCKET": str(folder / "s")}
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, check=True, timeout=60)


@pytest.mark.parametrize("named", ["4242", "nobody-by-name"])
def test_where_users_are_named_ones_own_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("LLMLEDGER_DAEMON_UID", named)
    with FakeDaemon(tmp_path / "s") as daemon:
        client = TraceClient(daemon.path)
        client.record(model="m")
        until(lambda: client.stats().untrusted, what="an attempt")
        monkeypatch.setenv("LLMLEDGER_DAEMON_UID", str(os.geteuid()))
        assert client.close(20)
        assert len(daemon.records()) == 1
