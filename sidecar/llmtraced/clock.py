"""The time, from one place, so that a test can bring its own."""

from __future__ import annotations

import time


class Clock:
    """Wall time in microseconds since 1970, and monotonic seconds."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()
