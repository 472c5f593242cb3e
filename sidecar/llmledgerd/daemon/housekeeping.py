"""Housekeeping: the daemon's periodic jobs, run in sequence.

Invariant: a job that fails never ends the daemon and never keeps the other jobs from running. The failure
is counted, logged, and the job is tried again after its interval.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from llmledgerd.log import Recurring

EVERY_SECOND = 1.0


class Job(msgspec.Struct, frozen=True):
    """One periodic job, under the name that its failures have in the status."""

    interval_seconds: float
    name: str
    action: Callable[[], Awaitable[object] | None]


class PartialFailure(Exception):
    """A job did its work except for so many items; the text is the first one's error."""

    def __init__(self, error: str, times: int) -> None:
        super().__init__(error)
        self.times = times


class Housekeeping:
    """One sequence of jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.recurring = Recurring()
        self.failures: Counter[str] = Counter()
        """Number of failures of each job, by its name."""

    async def run(self) -> None:
        """Run the jobs that are due, one after the other, until cancelled."""
        left = {job.name: job.interval_seconds for job in self.jobs}
        while True:
            passed = min(left.values())
            await asyncio.sleep(passed)
            for job in self.jobs:
                left[job.name] -= passed
                if left[job.name] <= 0:
                    left[job.name] = job.interval_seconds
                    await self._try(job)

    async def _try(self, job: Job) -> None:
        try:
            doing = job.action()
            if doing is not None:
                await doing
        except PartialFailure as error:
            self._failed(job.name, str(error), error.times)
        except Exception as error:  # noqa: BLE001 - a daemon that ended here would end at every start
            self._failed(job.name, repr(error))

    def _failed(self, what: str, error: str, times: int = 1) -> None:
        self.failures[what] += times
        self.recurring.error(f"housekeeping: {what} failed, and is tried again", error=error, times=times)
