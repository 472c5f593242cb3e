"""The process's memory, as far as the C library decides about it.

Invariant: nothing here changes what the daemon does, and a C library that does not know of it is
left as it is.
"""

from __future__ import annotations

import contextlib
import ctypes

M_ARENA_MAX = -8  # glibc's malloc.h


def use_one_arena() -> None:
    """Keep threads from growing heaps of their own. To be called before there are any.

    Segments pass from thread to thread in pieces of every size. With an arena for each thread what
    one has freed is of no use to the next, and is paid for in page faults and in memory. The
    interpreter's lock makes waiting for the one arena's rare.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
