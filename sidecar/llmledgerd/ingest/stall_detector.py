"""Detection of stalled unfinished lines. Pure.

Invariant: a connection is never closed for a low rate, or for silence between lines. An unfinished
line must grow, within each ``timeout``, by one byte and by a 64th of its buffered bytes: the required
progress is proportional to the memory. So a line typed by hand is allowed, one byte per minute
keeps at most 128 bytes, and 100 MB need 1.6 MB in every timeout. Time in which the daemon did
not read does not count.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 64
"""The part of a line that has to follow. A 6th would end honest senders behind a slow link; with a
640th, 100 MB would be held for an hour by what fits in one read."""


class Progress:
    """One connection's, looked at from time to time."""

    def __init__(self) -> None:
        self._received = -1
        self._silent = 0.0

    def is_stalled(self, elapsed: float, received: int, held: int, timeout: float) -> bool:
        """Return whether too little has come for too long.

        ``elapsed`` are the seconds since the last look, ``received`` all bytes of the connection,
        ``held`` those of its unfinished line.
        """
        if not held or self._received < 0 or received - self._received >= max(1, held // SHARE):
            self._received, self._silent = received, 0.0
            return False
        self._silent += elapsed
        return self._silent >= timeout

    def restart(self) -> None:
        """Begin anew: the peer was not read from."""
        self._received = -1
