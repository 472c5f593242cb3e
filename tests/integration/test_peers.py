"""One sender among others: who is let in, and what one of them can do to the rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers import admin
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

AWAY = "http://127.0.0.1:9/nowhere"
"""A store that is away: no engine is in the daemon's memory, and the spool is the bottleneck."""

INFLIGHT = 8 << 20
CONNECTIONS = 50
ROOM_BYTES = 160 << 20
"""What a daemon with nothing to do takes, and as much again for the allocator."""


@contextmanager
def daemon(folder: Path, **settings: object) -> Iterator[RunningDaemon]:
    with RunningDaemon(folder, url=AWAY, settings=settings) as running:
        yield running


@contextmanager
def other_process(what: str, path: Path, *arguments: int) -> Iterator[None]:
    """Run a way of ``bench.fairness`` to misbehave, from when it has begun to."""
    command = [sys.executable, "-m", "bench.fairness", what, str(path), *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def is_closed(sock: socket.socket) -> bool:
    sock.settimeout(30)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def received(daemon: RunningDaemon) -> int:
    return int(admin.status(daemon.folder / "admin.sock")["received"])


def said(daemon: RunningDaemon, event: str) -> list[dict[str, object]]:
    return [entry for entry in daemon.log() if str(entry.get("event")).startswith(event)]


def test_whoever_is_not_allowed_is_closed_at_once_and_it_is_said_once(tmp_path: Path) -> None:
    with daemon(tmp_path, allowed_uids=str(os.getuid() + 1), allowed_gids="daemon") as running:
        for _ in range(3):
            with running.connection() as sock:
                assert is_closed(sock)
        (entry,) = said(running, "connection refused")
        assert (entry["reason"], entry["uid"], entry["pid"]) == ("not_allowed", os.getuid(), os.getpid())
        assert received(running) == 0


@pytest.mark.parametrize("setting", ["allowed_uids", "allowed_gids"])
def test_whoever_is_allowed_is_let_in(tmp_path: Path, setting: str) -> None:
    own = os.getuid() if setting == "allowed_uids" else os.getgid()
    with daemon(tmp_path, **{setting: str(own)}) as running:
        running.send_one_way(line("in", 1))
        until(lambda: received(running) == 1)


def test_one_process_has_so_many_connections_and_another_its_own(tmp_path: Path) -> None:
    with daemon(tmp_path, max_connections_per_process=3) as running, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(running.connection()).sendall(line("x", 1))
        until(lambda: received(running) == 3)
        with running.connection() as fourth:
            assert is_closed(fourth)
        with other_process("flood", running.socket, 2, 1000):
            until(lambda: received(running) > 3)
        (entry,) = said(running, "connection refused")
        assert entry["reason"] == "max_connections_per_process"


def test_a_line_that_does_not_go_on_is_closed_and_silence_between_lines_is_not(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, stalled_line_seconds=0.5) as running,
        running.connection() as silent,
        running.connection() as between,
        running.connection() as stalled,
    ):
        between.sendall(line("first", 1))
        stalled.sendall(line("half", 1)[:50])
        assert is_closed(stalled)
        for sock, call in ((silent, "late"), (between, "second")):
            sock.sendall(line(call, 1))
        until(lambda: received(running) == 3)
        assert len(said(running, "connection closed: unfinished line stalled")) == 1
        assert admin.status(running.folder / "admin.sock")["connections_stalled"] == 1


def test_what_a_stalled_sender_has_begun_counts_if_it_is_whole(tmp_path: Path) -> None:
    with daemon(tmp_path, stalled_line_seconds=0.5) as running, running.connection() as stalled:
        stalled.sendall(line("whole", 1).rstrip(b"\n"))
        assert is_closed(stalled)
        until(lambda: received(running) == 1)


def test_a_quiet_session_is_served_beside_a_flood_in_bounded_memory(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, max_inflight_bytes=INFLIGHT) as running,
        other_process("flood", running.socket, CONNECTIONS, 20_000),
        Session(running.socket) as quiet,
    ):
        quiet.hello()
        for number in range(1, 101):
            before = received(running)
            quiet.send([line(f"quiet-{number}", number)])
            quiet.wait_durable(number)
        until(lambda: received(running) > before, what="the flood to go on")
        assert running.peak_memory_bytes() < ROOM_BYTES + 2 * INFLIGHT


def test_a_quiet_session_is_served_when_another_holds_all_there_is_of_memory(tmp_path: Path) -> None:
    with daemon(tmp_path, max_inflight_bytes=INFLIGHT) as running, Session(running.socket) as quiet:
        quiet.hello()
        with other_process("hold", running.socket, CONNECTIONS):
            until(lambda: running.peak_memory_bytes() > ROOM_BYTES // 2 + INFLIGHT)
            for number in range(1, 101):
                quiet.send([line(f"quiet-{number}", number)])
                quiet.wait_durable(number)
            assert received(running) == 100, "nobody else has ended a line"
