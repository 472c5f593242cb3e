"""Recording of streams that have ended and that nobody closes.

Invariants:
- A stream whose last word has come is recorded ``GRACE_SECONDS`` later at the latest, if nothing more comes,
  even if the application holds the response for ever (LiteLLM does, of Anthropic's streams).
- The thread exists only while there are such streams, and a fork's child starts without.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic, sleep
from typing import Final, Protocol
from weakref import ReferenceType, ref

from llmledger.instrumentation.safety import harmless
from llmledger.lifecycle import in_forked_child

GRACE_SECONDS: Final = 5.0
"""Usage may follow the last word; providers send it at once."""


class Lingering(Protocol):
    """Interface of an exchange to this module."""

    def closed(self) -> None:
        """End the exchange as if its response were closed; nothing if it has ended."""


_waiting: Final[deque[tuple[float, ReferenceType[Lingering]]]] = deque()
_threads: Final[list[threading.Thread]] = []
"""At most one that lives."""
_lock: Final = [threading.Lock()]


@harmless
def ends_soon(exchange: Lingering) -> None:
    """End the exchange after the grace, unless it ends or vanishes before."""
    _waiting.append((monotonic() + GRACE_SECONDS, ref(exchange)))
    if not _threads and _lock[0].acquire(blocking=False):
        try:
            thread = threading.Thread(target=_run, name="llmledger-lingering", daemon=True)
            _threads.append(thread)
            thread.start()
        except RuntimeError:  # no thread to be had: the close, the collector or the exit record them
            _threads.clear()
        finally:
            _lock[0].release()


def _run() -> None:
    while True:
        while _waiting:
            moment, _ = _waiting[0]
            sleep(max(0.0, moment - monotonic()))
            exchange = _waiting.popleft()[1]()
            if exchange is not None:
                exchange.closed()
            del exchange
        _threads.clear()
        if not _waiting or _threads:  # one added since has seen no thread, and started another
            return
        _threads.append(threading.current_thread())


def _forked() -> None:
    _waiting.clear()
    _threads.clear()
    _lock[0] = threading.Lock()


in_forked_child(_forked)
