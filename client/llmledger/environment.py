"""Environment variables of the client, read on each use.

Invariant: no value raises an error.
"""

from __future__ import annotations

import os
from typing import Final

_TRUE: Final = {"1", "true", "yes", "on"}


def is_disabled() -> bool:
    """Return whether ``LLMLEDGER_DISABLED`` switches everything off."""
    return os.environ.get("LLMLEDGER_DISABLED", "").strip().lower() in _TRUE


def daemon_uids() -> frozenset[int] | None:
    """Return the user ids in ``LLMLEDGER_DAEMON_UID``; None if it is empty or unset.

    Values that are not numbers are ignored.
    """
    said = os.environ.get("LLMLEDGER_DAEMON_UID", "").replace(",", " ").split()
    return frozenset(int(one) for one in said if one.isdecimal()) if said else None
