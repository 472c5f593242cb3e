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
        """``address`` is a path, or a name that begins with @ in the abstract namespace; empty is nobody."""
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
            with contextlib.suppress(OSError):  # it is restarting, or behind: the next word will do
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def notifier(environment: MutableMapping[str, str]) -> Notifier:
    """Return the end that this process was given, once: children have nothing to say for it."""
    return Notifier(environment.pop("NOTIFY_SOCKET", ""))


def ready(status: str) -> tuple[str, ...]:
    return (READY, f"STATUS={status}")


def reloading(monotonic: float) -> tuple[str, ...]:
    """``monotonic`` tells this reload from one before it; ``ready`` ends it."""
    return ("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1e6)}")


def stopping(seconds: float | None) -> tuple[str, ...]:
    """Ask for the time that stopping takes, where it has a bound, whatever the unit's TimeoutStopSec."""
    more = () if seconds is None else (f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}",)
    return (
        "STOPPING=1",
        "STATUS=stopping: draining received records until the deadline",
        *more,
    )
