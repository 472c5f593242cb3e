"""Retry loop of one store: backoff between attempts, counters by kind of error, and the error that lasts.

Invariant: an action that is harmless to repeat is repeated until it succeeds; each failure is counted
by kind, shown in the status while it lasts, and logged once a minute.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from llmledgerd.backoff import Backoff
from llmledgerd.errors import AnswerIncomplete, BatchRejected, SpoolBroken, StoreBusy, let_go
from llmledgerd.log import Recurring

T = TypeVar("T")


class RetryLoop:
    """Repeats actions on one store until they succeed."""

    def __init__(
        self, store: str, backoff: Backoff, recurring: Recurring, waiting: Callable[[], int]
    ) -> None:
        """``waiting`` returns how many segments wait for the store."""
        self._store = store
        self._backoff = backoff
        self._waiting = waiting
        self._recurring = recurring
        self.retries: Counter[str] = Counter()
        self.trouble = ""
        """The store's last error while it does not take batches; empty while it does."""

    async def until_done(
        self, pool: Executor, action: Callable[[], T], on_wait: Callable[[], None] = lambda: None
    ) -> T:
        """Run a harmless action in a thread until it succeeds; ``on_wait`` is called before each wait.

        Raises AnswerIncomplete where the action does.

        Its success does not reset the backoff: a full store answers queries too.
        """
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, action)
            except AnswerIncomplete:
                raise  # an answer, of which the caller makes what can be made
            except (StoreBusy, SpoolBroken) as error:
                on_wait()
                await self.wait(error)
            except BatchRejected as error:  # a query that no server ought to reject
                on_wait()
                let_go(error)
                await self.wait(StoreBusy("other", str(error)))

    async def wait(self, error: StoreBusy | SpoolBroken) -> None:
        """Record a failure, free what it holds, and return when the next attempt is due."""
        let_go(error)
        kind = error.kind if isinstance(error, StoreBusy) else "spool"
        self.retries[kind] += 1
        self.trouble = f"{kind}: {error}"
        self._recurring.warn(
            "delivery failed, retrying",
            store=self._store,
            kind=kind,
            error=str(error),
            segments=self._waiting(),
        )
        await asyncio.sleep(self._backoff.failed())

    def inserted(self) -> None:
        """Reset the backoff, because the store took rows."""
        if self.trouble:
            self._recurring.info("the store takes batches again", store=self._store)
        self.trouble = ""
        self._backoff.succeeded()
