"""Watchdog of delivery: decides whether the service manager is notified that the daemon is alive.

Invariant: it is notified unless a step of the shipper exceeds the maximum of any working step. An
unavailable store makes steps fail or wait within their limits, and so never counts as a hang. The
event loop needs no check here: it notifies the watchdog itself, and cannot while it is blocked. The
spool's writer has none either: a restart does not repair an unresponsive disk, and the new process would
wait for the same disk and have lost the records in memory.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")

FEEDS_PER_PERIOD = 3
"""Notifications per period, so that one may be late."""


class Step(msgspec.Struct, frozen=True):
    """Action of a thread that is under way."""

    what: str
    overdue_at: float


class Watchdog:
    """The shipper's steps that are under way, each in a thread. Pure: the caller brings the clock."""

    def __init__(self) -> None:
        self._tickets = itertools.count()
        self._steps: dict[int, Step] = {}

    def begins(self, what: str, limit_seconds: float, now: float) -> int:
        """Return a ticket for ``ends``, which may come from another thread."""
        ticket = next(self._tickets)
        self._steps[ticket] = Step(what, now + limit_seconds)
        return ticket

    def renews(self, ticket: int, limit_seconds: float, now: float) -> None:
        """Count a step's limit anew, because it advances."""
        self._steps[ticket] = Step(self._steps[ticket].what, now + limit_seconds)

    def ends(self, ticket: int) -> None:
        del self._steps[ticket]

    def hung(self, now: float) -> list[str]:
        """Return the steps that exceed the maximum."""
        return [step.what for step in self._steps.copy().values() if now >= step.overdue_at]

    def may_feed(self, now: float) -> bool:
        return not self.hung(now)


_current = threading.local()
"""Of each thread: how to renew the step that is under way."""


def renew() -> None:
    """Count the limit of this thread's step anew; nothing where the thread is not watched."""
    action: Callable[[], None] | None = getattr(_current, "renew", None)
    if action is not None:
        action()


class WatchedThreads(ThreadPoolExecutor):
    """Threads whose steps have a maximum duration."""

    def __init__(self, threads: int, what: str, watchdog: Watchdog, limit_seconds: float) -> None:
        super().__init__(threads, thread_name_prefix=what)
        self._what = what
        self._watchdog = watchdog
        self._limit_seconds = limit_seconds

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def step() -> T:  # counted from its start, not from its submission
            ticket = self._watchdog.begins(self._what, self._limit_seconds, time.monotonic())
            _current.renew = lambda: self._watchdog.renews(ticket, self._limit_seconds, time.monotonic())
            try:
                return fn(*args, **kwargs)
            finally:
                _current.renew = None
                self._watchdog.ends(ticket)

        return super().submit(step)


def period_seconds(environment: Mapping[str, str], pid: int) -> float:
    """Return the service manager's watchdog timeout in seconds; 0 without a watchdog."""
    meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if meant and text.isdecimal() else 0.0
