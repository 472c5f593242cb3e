"""The end of the threads that ask a store.

Invariant: a question that runs when the daemon ends holds it up no longer than its store takes to cancel a statement,
however many statements the question has; a store that cannot be reached holds it up for MOST_SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Final

MOST_SECONDS: Final = 10.0
BETWEEN_SECONDS: Final = 0.2
"""Time after which what still runs is canceled again: it may have begun its next statement."""


def end_all(
    threads: ThreadPoolExecutor,
    interrupt: Callable[[], None],
    *,
    most: float = MOST_SECONDS,
    between: float = BETWEEN_SECONDS,
) -> None:
    """End the threads; ``interrupt`` cancels the statements that run now. Blocking."""
    ending = Thread(target=threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    ending.start()
    ending.join(between)  # those that do nothing end at once
    for _ in range(round(most / between)):
        if not ending.is_alive():
            return
        interrupt()
        ending.join(between)
