"""Notifications to the service manager, by sd_notify(3).

Invariant: a notification never fails, never blocks and never changes the daemon's behavior; without a
service manager nothing is sent.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import MutableMapping

READY = "READY=1"
FEED = "WATCHDOG=1"


class Notifier:
    """One end of the service manager's socket."""

    def __init__(self, address: str = "") -> None:
        """``address`` is a path, or an abstract name that begins with @; empty: no service manager."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @property
    def is_heard(self) -> bool:
        return self._socket is not None

    def send(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is restarting or slow; the next notification suffices
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def notifier(environment: MutableMapping[str, str]) -> Notifier:
    """Return this process's socket, and remove it from the environment, so that children do not use it."""
    return Notifier(environment.pop("NOTIFY_SOCKET", ""))


def ready(status: str) -> tuple[str, ...]:
    return (READY, f"STATUS={status}")


def reloading(monotonic: float) -> tuple[str, ...]:
    """Announce a reload, which ``ready`` ends; ``monotonic`` distinguishes it from earlier ones."""
    return ("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1e6)}")


def stopping(seconds: float | None) -> tuple[str, ...]:
    """Announce the stop, and request its maximum time, regardless of the unit's TimeoutStopSec."""
    more = () if seconds is None else (f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}",)
    return (
        "STOPPING=1",
        "STATUS=stopping: draining received records until the deadline",
        *more,
    )
