"""The process's memory, as far as the C library and the garbage collector decide about it.

Invariant: nothing here changes what the daemon does, and a C library that does not know of it is
left as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

M_ARENA_MAX = -8  # glibc's malloc.h
COLLECTED_AFTER = 3_000
"""New objects between two collections: rows are made by the thousand, and next to none is in a cycle."""


def use_one_arena() -> None:
    """Keep threads from growing heaps of their own. To be called before there are any.

    Segments pass from thread to thread in pieces of every size. With an arena for each thread what
    one has freed is of no use to the next, and is paid for in page faults and in memory. The
    interpreter's lock makes waiting for the one arena's rare.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def collect_less() -> None:
    """Leave what was imported out of every collection. To be called once it is there.

    It is most of all objects and lives as long as the process. Higher thresholds gave nothing more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER, 10, 10)
