"""Admission control of senders: a memory limit, shared fairly. Pure.

Invariants:
- Bytes held over all connections and stages stay under the limit, plus one read of each connection
  and one largest line.
- A sender may hold as much as is still free, of the pending bytes and of memory: one flooding sender
  gets half, two get a third each. This is the dynamic threshold of shared packet buffers (Choudhury and
  Hahne, 1998): it needs no list of active senders, and leaves space for new ones.
- A sender with no buffered bytes is always allowed one read, even when others have used up the limit.
  So it makes progress in every group.
- One connection can always proceed, so there is no deadlock: of a sender over its share, the one with its
  longest unfinished line; over the limit, the one with the longest of all. Only its end frees memory.

A sender is a process with all of its connections, because the failure is one runaway process. Users
are too coarse: in a pod, as on many hosts, all senders are one user. If the kernel does not report the
process, each connection is a sender.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

PENDING_BYTES = 1 << 20
"""Limit of complete lines that wait for their group's sync. More would only lengthen the next group."""


class Share(msgspec.Struct):
    """Bytes in memory of one sender."""

    lines: dict[Hashable, int] = {}
    """Bytes of the unfinished line, by connection."""
    held: int = 0
    """Their sum."""
    pending: int = 0
    """Bytes of whole lines that wait for their group's sync."""

    def longest(self) -> Hashable:
        return max(self.lines, key=self.lines.__getitem__, default=None)


class Admission:
    """Accounting of buffered bytes per sender, and the decision which connections may read."""

    def __init__(self, limit: int, pending_limit: int = PENDING_BYTES) -> None:
        self._limit = limit
        self._pending_limit = min(pending_limit, limit)
        self._shares: dict[Hashable, Share] = {}
        self._held = 0
        self.pending = 0
        self.shipping = 0
        self._shipped: dict[Hashable, int] = {}
        self.spool_full = False

    @property
    def total(self) -> int:
        return self._held + self.pending + self.shipping

    def holds(self, sender: Hashable, connection: Hashable, size: int) -> None:
        """Set the bytes of a connection's unfinished line."""
        share = self._share(sender)
        before = share.lines.pop(connection, 0)
        if size:
            share.lines[connection] = size
        share.held += size - before
        self._held += size - before
        self._forget_if_empty(sender, share)

    def waits(self, sender: Hashable, size: int) -> None:
        """Add bytes of complete lines that wait for their group."""
        self.pending += size
        self._share(sender).pending += size

    def written(self, sender: Hashable, size: int) -> None:
        """Remove bytes of complete lines that were written."""
        self.pending -= size
        share = self._share(sender)
        share.pending -= size
        self._forget_if_empty(sender, share)

    def ships(self, batch: Hashable, size: int) -> None:
        """Set the bytes in memory of a batch in delivery; 0 if only the disk has it."""
        self.shipping += size - self._shipped.pop(batch, 0)
        if size:
            self._shipped[batch] = size

    def may_read(self, sender: Hashable, connection: Hashable) -> bool:
        if self.spool_full:
            return False
        share = self._shares.get(sender)
        if share is None:
            return True
        if share.pending > self._pending_limit - self.pending:
            return False
        free = self._limit - self.total
        if share.held + share.pending <= free:
            return True
        return connection == (share.longest() if free >= 0 else self._longest())

    def _share(self, sender: Hashable) -> Share:
        return self._shares.setdefault(sender, Share())

    def _forget_if_empty(self, sender: Hashable, share: Share) -> None:
        if not share.lines and not share.pending:
            self._shares.pop(sender, None)

    def _longest(self) -> Hashable:
        lines = (line for share in self._shares.values() for line in share.lines.items())
        return max(lines, key=lambda line: line[1], default=(None, 0))[0]
