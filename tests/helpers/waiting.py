"""Waiting for what happens elsewhere: a condition with a limit, never a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_SECONDS = 60.0


def until(condition: Callable[[], T], *, limit: float = LIMIT_SECONDS, what: str = "") -> T:
    """Return the condition's first truthy value; fail when it never comes."""
    deadline = time.monotonic() + limit
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what or condition}; last seen: {value!r}")
        time.sleep(pause)  # the condition lies in another process, which cannot wake this one
        pause = min(pause * 1.2, 0.05)  # nor should it spend its time on being asked
