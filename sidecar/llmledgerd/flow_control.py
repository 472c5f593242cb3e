"""Who may be read from, so that memory has a bound and nobody takes it all. Pure.

Invariants:
- Bytes held over all connections and stages stay under the limit, plus one read of each connection
  and one largest line.
- A sender has as much as is still free and no more, of what may wait for the disk and of memory: one
  that floods is left with half, two with a third each. This is the dynamic threshold of shared
  packet buffers (Choudhury and Hahne, 1998): no list of who is active, and room for whoever comes.
- A sender of whom nothing is held may read once, whatever the others hold. So it gets its turn in
  every group, also where others have used up everything.
- Somebody may always go on, so nothing waits for ever: of what a sender has over its share, its
  longest unfinished line; over the limit, the longest of all. Only ending it frees anything.

A sender is a process, with all of its connections: what goes wrong is one process gone wild. Users
would not do, since in a pod, as on many a host, all senders are one user. Where the kernel does
not tell the process, each connection is a sender.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

PENDING_BYTES = 1 << 20
"""Whole lines that wait for their group's sync. More would only lengthen the group after it."""


class Share(msgspec.Struct):
    """What is held of one sender."""

    lines: dict[Hashable, int] = {}
    """Bytes of the line that has not ended, by connection."""
    held: int = 0
    """Their sum."""
    pending: int = 0
    """Bytes of whole lines that wait for their group's sync."""

    def longest(self) -> Hashable:
        return max(self.lines, key=self.lines.__getitem__, default=None)


class Admission:
    """Counts what is held of whom, and says who may read on."""

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
        """The connection of this sender holds so many bytes of a line that has not ended."""
        share = self._share(sender)
        before = share.lines.pop(connection, 0)
        if size:
            share.lines[connection] = size
        share.held += size - before
        self._held += size - before
        self._forget_if_empty(sender, share)

    def waits(self, sender: Hashable, size: int) -> None:
        """So many bytes of whole lines wait for their group."""
        self.pending += size
        self._share(sender).pending += size

    def written(self, sender: Hashable, size: int) -> None:
        """They wait no more."""
        self.pending -= size
        share = self._share(sender)
        share.pending -= size
        self._forget_if_empty(sender, share)

    def ships(self, batch: Hashable, size: int) -> None:
        """A batch on its way into a store has so many bytes in memory; 0 where the disk alone has them."""
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
