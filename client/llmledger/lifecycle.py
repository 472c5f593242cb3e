"""Fork and exit, for all clients of the process.

Invariant: a child begins with empty buffers and sessions of its own, and takes nothing of its
parent's; a process that ends on its own gives its clients ``EXIT_SECONDS`` in all.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

EXIT_SECONDS: Final = 2.0


class Client(Protocol):
    """What this module asks of a client."""

    def begin_anew(self) -> None:
        """Be as if just made: this is a forked child."""

    def close(self, timeout: float) -> bool:
        """Flush, and end the session."""


_open: set[Client] = set()
_exit: set[str] = set()
"""Empty until the process ends; then what is recorded comes too late."""

_before_closing: list[Callable[[], None]] = []


def opened(client: Client) -> None:
    """Take the client into care until it is closed."""
    _open.add(client)


def closed(client: Client) -> None:
    """Let go of a client that has closed."""
    _open.discard(client)


def is_exiting() -> bool:
    """Return whether the clients have been closed because the process ends."""
    return bool(_exit)


def close_in_child_of_multiprocessing() -> None:
    """Such a process ends by ``os._exit`` after its own finalizers, and never runs ``atexit``.

    To be called at a client's first use: multiprocessing forgets what was registered before.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize  # loaded already, where there is a parent process

        Finalize(None, close_all, exitpriority=1)


def in_forked_child(function: Callable[[], None]) -> None:
    """Have this called in every forked child; never, on a system without ``fork``."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def before_closing(function: Callable[[], None]) -> None:
    """Have this called when the process ends, while its clients still take records."""
    _before_closing.append(function)


def close_all() -> None:
    """Close every client, in ``EXIT_SECONDS`` together."""
    for function in _before_closing:
        function()
    _exit.add("now")
    deadline = time.monotonic() + EXIT_SECONDS
    for client in tuple(_open):
        client.close(timeout=max(0.0, deadline - time.monotonic()))


def _forked() -> None:
    _exit.clear()
    for client in tuple(_open):
        client.begin_anew()


atexit.register(close_all)
in_forked_child(_forked)
