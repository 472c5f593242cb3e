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
"""Required progress: one byte of this many buffered ones. With 6, senders on a slow link would be closed;
with 640, a single read could hold 100 MB for an hour."""


class Progress:
    """Progress of one connection, checked periodically."""

    def __init__(self) -> None:
        self._received = -1
        self._silent = 0.0

    def is_stalled(self, elapsed: float, received: int, held: int, timeout: float) -> bool:
        """Return whether the progress was too small for too long.

        ``elapsed``: seconds since the last check; ``received``: bytes of the connection so far;
        ``held``: bytes of its unfinished line.
        """
        if not held or self._received < 0 or received - self._received >= max(1, held // SHARE):
            self._received, self._silent = received, 0.0
            return False
        self._silent += elapsed
        return self._silent >= timeout

    def restart(self) -> None:
        """Start a new measurement, because the daemon did not read from the peer."""
        self._received = -1
