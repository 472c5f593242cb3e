"""The client's settings from the environment, and whether the system has what the client needs.

Invariants:
- Nothing here raises, whatever is set.
- ``is_disabled`` is the only decision on whether the client is switched off.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Final

TRUE: Final = {"1", "true", "yes", "on"}

_NEEDED: Final = (
    (os, "fork"),
    (os, "geteuid"),
    (os, "register_at_fork"),
    (os, "set_blocking"),
    (select, "poll"),
    (socket, "AF_UNIX"),
)
"""Linux and macOS have all of these; Windows lacks most."""

_warned: set[str] = set()
"""Not empty after the warning about a system without them."""


def is_disabled() -> bool:
    """Return whether the client is switched off: all calls do nothing, and nothing is hooked.

    ``LLMLEDGER_DISABLED`` switches it off, and so does a system that lacks what the client needs, which
    is logged once in a process.
    """
    if os.environ.get("LLMLEDGER_DISABLED", "").strip().lower() in TRUE:
        return True
    missing = [f"{module.__name__}.{name}" for module, name in _NEEDED if not hasattr(module, name)]
    if missing and not _warned:
        _warned.add("missing")
        _warn(missing)
    return bool(missing)


def daemon_uids() -> frozenset[int] | None:
    """Return the user ids in ``LLMLEDGER_DAEMON_UID``; None if it is empty or unset.

    Values that are not numbers are ignored.
    """
    said = os.environ.get("LLMLEDGER_DAEMON_UID", "").replace(",", " ").split()
    return frozenset(int(one) for one in said if one.isdecimal()) if said else None


def _warn(missing: list[str]) -> None:
    with suppress(Exception):  # a handler or filter of the application's
        import logging  # only where it is needed: it is not free to import

        logging.getLogger("llmledger").warning(
            "llmledger is switched off: it needs Linux or macOS, and this system has no %s; nothing is recorded",
            ", ".join(missing),
        )
