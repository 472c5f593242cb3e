"""A daemon under something that does for it what systemd does: holds its socket, hears it, restarts it.

Invariant: the record socket is bound once and stays open for as long as the context; who connects while
no daemon runs waits in its queue, as with a socket unit.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.prefork import Process

BACKLOG = 4096


class SupervisedDaemon(RunningDaemon):
    """``llmledgerd serve`` by socket activation, ``Type=notify`` and a watchdog."""

    def __init__(
        self,
        folder: Path,
        *,
        url: str = "",
        settings: Mapping[str, object] | None = None,
        watchdog_seconds: float = 0.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, url=url, settings=settings)
        self._watchdog_seconds = watchdog_seconds
        self._environment = dict(environment or {})
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._door.bind(str(self.socket))
        self._door.listen(BACKLOG)
        self._ear.bind(str(self.folder / "n"))
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._door.close()
        self._ear.close()

    def restart(self, number: int) -> int:
        """End the daemon by a signal, start the next, and return the first one's exit code."""
        self.signal(number)
        code = self.wait()
        self.start()
        return code

    def hear(self, wanted: str, limit_seconds: float = 60.0) -> dict[str, str]:
        """Return the daemon's next word that has this variable in it."""
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            said = self._next_word(deadline - time.monotonic())
            if wanted in said:
                return said
        raise AssertionError(f"the daemon did not say {wanted}")

    def kill_when_it_goes_hungry(self, limit_seconds: float = 60.0) -> int:
        """Wait until the watchdog was not fed for its time; do then what systemd does.

        Return the exit code of the daemon that was killed; the next one is ready.
        """
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            try:
                self.hear("WATCHDOG", self._watchdog_seconds)
            except AssertionError:
                return self.restart(signal.SIGABRT)
        raise AssertionError("the watchdog was fed all the time")

    def _next_word(self, limit_seconds: float) -> dict[str, str]:
        self._ear.settimeout(max(limit_seconds, 0.001))
        try:
            lines = self._ear.recv(4096).decode().splitlines()
        except TimeoutError:
            return {}
        return dict(line.split("=", 1) for line in lines)

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        """Through ``activated``, since LISTEN_PID is known to the new process alone."""
        door = self._door.fileno()
        start = command.index("serve")
        command = [sys.executable, "-m", "tests.helpers.activated", str(door), *command[start:]]
        environment |= {"NOTIFY_SOCKET": str(self.folder / "n"), **self._environment}
        if self._watchdog_seconds:
            environment["WATCHDOG_USEC"] = str(int(self._watchdog_seconds * 1e6))
        return subprocess.Popen(command, stderr=log, stdout=log, env=environment, cwd=ROOT, pass_fds=[door])
