"""Limit on how long a connection may be silent while a thread waits on it.

Invariant: the callback is called at most once, in a thread of its own, and not after the block has ended.
Bytes that leave the socket's queue are no silence, since a slow peer takes them.
"""

from __future__ import annotations

import fcntl
import struct
import termios
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Silence:
    """Context manager for one step on one socket."""

    def __init__(self, seconds: float, fd: int, on_silence: Callable[[], None]) -> None:
        self._seconds = seconds
        self._fd = fd
        self._on_silence = on_silence
        self._is_over = threading.Event()
        self._until = 0.0
        self._thread = threading.Thread(target=self._watch, name="postgres silence", daemon=True)

    def __enter__(self) -> Self:
        self.broken()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def broken(self) -> None:
        """Count the limit anew, because the peer has taken or sent something."""
        self._until = time.monotonic() + self._seconds

    def _watch(self) -> None:
        queued = _queued(self._fd)
        while not self._is_over.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() < self._until:
                continue
            before, queued = queued, _queued(self._fd)
            if 0 < queued < before:
                self.broken()
                continue
            self._on_silence()
            return


def _queued(fd: int) -> int:
    """Return how many bytes the peer has yet to confirm; 0 where the system does not tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0
