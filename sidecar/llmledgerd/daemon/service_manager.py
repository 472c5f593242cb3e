"""The daemon as a service: its sockets, its life signs, its settings read again.

Invariant: whether a service manager started the daemon changes what it says, and not what it does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from llmledgerd.clock import Clock
from llmledgerd.errors import SpoolBroken
from llmledgerd.log import Recurring
from llmledgerd.system import sd_notify, watchdog
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.status import Status, in_one_line

STATUS_SECONDS = 5.0
MARGIN_SECONDS = 10.0
"""What ending takes beside the drain: threads, connections, the engine."""


class Service:
    """What the service manager sees."""

    def __init__(self, steps: Watchdog, clock: Clock) -> None:
        self._notifier = sd_notify.notifier(os.environ)
        self._period = watchdog.period_seconds(os.environ, os.getpid())
        self._steps = steps
        self._clock = clock
        self._recurring = Recurring()

    def ready(self) -> None:
        self._notifier.send(*sd_notify.ready("taking records"))

    def reloading(self) -> None:
        self._notifier.send(*sd_notify.reloading(self._clock.monotonic()))

    def stopping(self, drain_seconds: float | None) -> None:
        """``drain_seconds`` None is as long as it takes: the manager's own limit holds then."""
        self._notifier.send(
            *sd_notify.stopping(None if drain_seconds is None else drain_seconds + MARGIN_SECONDS)
        )

    def close(self) -> None:
        self._notifier.close()

    async def feed(self) -> None:
        """Feed the watchdog for as long as everything moves."""
        while self._period:
            now = self._clock.monotonic()
            if self._steps.may_feed(now):
                self._notifier.send(sd_notify.FEED)
            else:
                hung = self._steps.hung(now)
                self._recurring.warn("watchdog not notified: delivery hangs", steps=hung)
            await asyncio.sleep(self._period / watchdog.FEEDS_PER_PERIOD)

    async def tell(self, status: Callable[[], Awaitable[Status]]) -> None:
        """Keep the line that `systemctl status` shows."""
        while self._notifier.is_heard:
            try:
                self._notifier.send(f"STATUS={in_one_line(await status())}")
            except SpoolBroken as error:
                self._notifier.send(f"STATUS=the spool: {error}")
            await asyncio.sleep(STATUS_SECONDS)
