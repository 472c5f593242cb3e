"""Handling of fork and exit for all clients of the process.

Invariant: a child starts with empty buffers and new sessions, and inherits no records from its
parent; at a normal exit all clients together get ``EXIT_SECONDS``.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

EXIT_SECONDS: Final = 2.0


class Client(Protocol):
    """Interface of a client to this module."""

    def begin_anew(self) -> None:
        """Reset to a new session in a forked child."""

    def close(self, timeout: float) -> bool:
        """Flush, and end the session."""


_open: set[Client] = set()
_exit: set[str] = set()
"""Not empty once the process exits; later records are lost."""

_before_closing: list[Callable[[], None]] = []


def opened(client: Client) -> None:
    """Register an open client."""
    _open.add(client)


def closed(client: Client) -> None:
    """Unregister a closed client."""
    _open.discard(client)


def is_exiting() -> bool:
    """Return whether the clients have been closed because the process ends."""
    return bool(_exit)


def close_in_child_of_multiprocessing() -> None:
    """Register the close of clients in a child of multiprocessing or of billiard, which skips ``atexit``.

    Such a process ends by ``os._exit`` after its own finalizers; a child of Celery's pool, which stands on
    billiard, even without them. Call this at a client's first use: both discard earlier registrations.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize  # already imported in such a child

        Finalize(None, close_all, exitpriority=1)
    with suppress(Exception):  # others' modules, of any version: what they lack is not registered
        _close_in_child_of_billiard()


def _close_in_child_of_billiard() -> None:
    process, signals = sys.modules.get("billiard.process"), sys.modules.get("celery.signals")
    if process is None or getattr(process.current_process(), "_parent_pid", None) is None:
        return
    from multiprocessing.util import Finalize  # billiard's finalizers are these

    Finalize(None, close_all, exitpriority=1)
    if signals is not None:  # the pool's children end by ``os._exit`` without finalizers, after this signal
        signals.worker_process_shutdown.connect(_close_at, weak=False, dispatch_uid="llmledger")


def _close_at(**_: object) -> None:
    close_all()


def in_forked_child(function: Callable[[], None]) -> None:
    """Have this called in every forked child; never, on a system without ``fork``."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def before_closing(function: Callable[[], None]) -> None:
    """Register a function to run at exit, while the clients still accept records."""
    _before_closing.append(function)


def close_all() -> None:
    """Close all clients, within ``EXIT_SECONDS`` in total."""
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
