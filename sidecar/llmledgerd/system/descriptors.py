"""Budget of file descriptors: the process's limit and its reservations.

Invariant: however many connect, the spool, the store and the admin server can still open their files.
The soft limit is raised to the hard one at start, up to ``MOST``; connections get what is left of it
after what is open then and what is kept back.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

MOST: Final = 1 << 19
"""systemd's hard limit. Some container runtimes have 2^30, and a child that closes them all takes minutes."""
KEPT_BACK: Final = 256
"""Reserve for segments, folders, dead letters, and the store's connections or files."""

ADMIN_CONNECTIONS: Final = 128
"""Connections of the admin server; a reader has at most 100."""


class Shares(msgspec.Struct, frozen=True):
    """Connection limits."""

    connections: int
    """Connections to the record socket."""
    per_process: int
    """Connections of one process: at most half if descriptors are scarce, so that others can connect."""
    admin: int


class Budget(msgspec.Struct, frozen=True):
    """Descriptor limit of the process, and the number open without any connection."""

    limit: int
    used: int

    def shares(self, connections: int, per_process: int, admin: int) -> Shares:
        """Return the possible part of the wanted numbers, at least one of each. Pure."""
        free = max(0, self.limit - self.used)
        free -= min(KEPT_BACK, free // 2)
        for_admin = max(1, min(admin, free // 4))
        for_records = max(1, free - for_admin)
        if for_records < connections:
            connections, per_process = for_records, min(per_process, max(1, for_records // 2))
        return Shares(connections, per_process, for_admin)


PLENTY: Final = Budget(limit=1 << 30, used=0)


def raise_limit() -> None:
    """Raise the soft limit as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def budget() -> Budget:
    """Return the present budget of the process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(list(Path("/dev/fd").iterdir()))
    except OSError:
        used = KEPT_BACK // 4  # a daemon that has just started; nothing depends on the exact number
    return Budget(PLENTY.limit if soft == resource.RLIM_INFINITY else soft, used)
