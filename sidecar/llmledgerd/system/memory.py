"""Tuning of the C library's allocator and of the garbage collector.

Invariant: nothing here changes the daemon's results, and an unsupported C library is left unchanged.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

M_ARENA_MAX = -8  # glibc's malloc.h
COLLECTED_AFTER = 20_000
"""Objects more than at the last collection from which there is another one. The rows of a block are some ten thousand
of them, almost none is in a cycle, and all go with it."""


def use_one_arena() -> None:
    """Make all threads share one heap. Call this before the first thread starts.

    Segments pass from thread to thread in pieces of every size. With one arena per thread, memory freed by
    one thread is not reused by the next, which costs page faults and memory. The interpreter's lock makes
    contention for the single arena rare.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def collect_less() -> None:
    """Exclude imported objects from garbage collection, and give free memory back. Call this after imports.

    They are most of all objects, and live as long as the process.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    gc.set_threshold(COLLECTED_AFTER, 10, 10)
