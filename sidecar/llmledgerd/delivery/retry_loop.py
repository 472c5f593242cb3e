"""One store's troubles: what is wrong, how often, and when to try again.

Invariant: an action that is harmless to repeat is repeated until it works; what went wrong is counted
by kind, shown while it lasts, and logged once a minute.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from llmledgerd.backoff import Backoff
from llmledgerd.errors import BatchRejected, SpoolBroken, StoreBusy
from llmledgerd.log import Recurring

T = TypeVar("T")


class Patience:
    """With one store, by its name."""

    def __init__(
        self, store: str, backoff: Backoff, recurring: Recurring, waiting: Callable[[], int]
    ) -> None:
        """``waiting`` says how many segments the store has kept waiting."""
        self._store = store
        self._backoff = backoff
        self._waiting = waiting
        self._recurring = recurring
        self.retries: Counter[str] = Counter()
        self.trouble = ""
        """What the store's last answer was, while it is not taking batches; empty while it is."""

    async def until_it_works(
        self, pool: Executor, action: Callable[[], T], on_wait: Callable[[], None] = lambda: None
    ) -> T:
        """Run a harmless action in a thread, again and again; ``on_wait`` is called before each wait.

        That it has worked says nothing of the store.
        """
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, action)
            except (StoreBusy, SpoolBroken) as error:
                on_wait()
                await self.wait(error)
            except BatchRejected as error:  # a query that no server ought to refuse
                on_wait()
                await self.wait(StoreBusy("other", str(error)))

    async def wait(self, error: StoreBusy | SpoolBroken) -> None:
        """Something did not work; return when it is to be tried again."""
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

    def works(self) -> None:
        """The store took rows. That it answers a question is no sign of it: a full one does so too."""
        if self.trouble:
            self._recurring.info("the store takes batches again", store=self._store)
        self.trouble = ""
        self._backoff.succeeded()
