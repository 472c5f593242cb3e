"""The sealed segments, by the stores that they wait for. Pure.

Invariant: a segment is here as long as some store waits for it, and the totals are those of the
segments that are here. They are kept and not computed: they are asked for with every group, and a
store that is away for a day leaves a segment for each second of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from llmtraced.spool.segment import Segment


class Backlog:
    """Book-keeping of what waits. The queues are in the order of segments."""

    def __init__(self, stores: Iterable[str]) -> None:
        self.segments: dict[int, Segment] = {}
        self.queues: dict[str, dict[int, Segment]] = {store: {} for store in stores}
        self.unread: dict[int, Segment] = {}
        """Those whose begun calls and ends no store has told the spool of yet."""
        self.size = 0
        self.rows: Counter[str] = Counter()
        """By store."""
        self.by_session: Counter[bytes] = Counter()
        self.unread_by_session: Counter[bytes] = Counter()

    def add(self, segment: Segment, stores: Collection[str], *, unread: bool = True) -> None:
        """A segment was sealed, and waits for these stores."""
        self.segments[segment.number] = segment
        self.size += segment.size
        self.by_session.update(segment.by_session)
        if unread:
            self.unread[segment.number] = segment
            self.unread_by_session.update(segment.by_session)
        for store in stores:
            self.queues[store][segment.number] = segment
            self.rows[store] += segment.rows

    def is_next_to_read(self, number: int) -> bool:
        """Return whether all before it have been read, and it has not."""
        return next(iter(self.unread), None) == number

    def settled(self, store: str, number: int, *, read: bool) -> bool:
        """One store is done with a segment; return whether nobody waits for it any more."""
        segment = self.queues[store].pop(number, None)
        if segment is None:
            return False
        self.rows[store] -= segment.rows
        if read:
            self._read(segment)
        if any(number in queue for queue in self.queues.values()):
            return False
        self._read(segment)
        del self.segments[number]
        self.size -= segment.size
        _subtract(self.by_session, segment.by_session)
        return True

    def resized(self, segment: Segment, size: int) -> None:
        """Its file has been written anew."""
        self.size += size - segment.size
        segment.size = size

    def _read(self, segment: Segment) -> None:
        if self.unread.pop(segment.number, None) is not None:
            _subtract(self.unread_by_session, segment.by_session)


def _subtract(total: Counter[bytes], part: Counter[bytes]) -> None:
    for session, lines in part.items():
        total[session] -= lines
        if not total[session]:
            del total[session]
