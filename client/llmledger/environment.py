"""What the environment says to the client; read when it is asked for, and never refused.

Invariant: nothing here raises, whatever is set.
"""

from __future__ import annotations

import os
from typing import Final

_TRUE: Final = {"1", "true", "yes", "on"}


def is_disabled() -> bool:
    """Return whether ``LLMLEDGER_DISABLED`` switches everything off."""
    return os.environ.get("LLMLEDGER_DISABLED", "").strip().lower() in _TRUE


def daemon_uids() -> frozenset[int] | None:
    """Return the users that ``LLMLEDGER_DAEMON_UID`` names; None where it says nothing.

    What is no number names nobody.
    """
    said = os.environ.get("LLMLEDGER_DAEMON_UID", "").replace(",", " ").split()
    return frozenset(int(one) for one in said if one.isdecimal()) if said else None
