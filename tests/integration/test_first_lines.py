"""Whoever says hello to a daemon hears something (PROTOCOL.md section 3), however the line is cut into writes."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.helpers.daemon import ROOT, RunningDaemon
from tests.integration.test_peers import AWAY


def test_odd_first_lines_are_answered_as_the_protocol_says(tmp_path: Path) -> None:
    script = ROOT / "conformance" / "first_lines.py"
    with RunningDaemon(tmp_path, url=AWAY) as daemon:
        command = [sys.executable, str(script), str(daemon.socket)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        with daemon.connection() as sock:
            sock.settimeout(30)
            for byte in b'{"protocol_version":4,"hello":{"session":"\\ud800"}}\n':
                sock.sendall(bytes([byte]))
            assert sock.makefile("rb").readline().startswith(b'{"error":"invalid_hello"')


def test_a_refused_hello_longer_than_any_line_may_be_is_answered(tmp_path: Path) -> None:
    settings = {"max_line_bytes": 20_000}
    with RunningDaemon(tmp_path, url=AWAY, settings=settings) as daemon, daemon.connection() as sock:
        sock.settimeout(30)
        sock.sendall(b'{"protocol_version":4,"hello":{"session":"%s"}}\n' % (b"x" * 100_000))
        assert sock.makefile("rb").readline().startswith(b'{"error":"invalid_hello"')


def test_a_one_way_senders_last_line_counts_whatever_msgspec_makes_of_it(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, url=AWAY) as daemon, daemon.connection() as sock:
        sock.sendall(b'{"protocol_version":4,"request":"\\ud800"}')
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        assert daemon.terminate() == 0
        assert any(entry.get("lines_left_in_spool") == 1 for entry in daemon.log())
