"""Backlog: the sealed segments by the stores that they wait for. Pure.

Invariant: a segment is here as long as some store waits for it, and the totals are those of the
segments that are here. They are kept and not computed: they are asked for with every group, and a
store that is away for a day leaves a segment for each second of it. Of a session its newest segment is
known and no other, so that a backlog takes memory for each session that waits, and not for each of its
segments: it counts as waiting until that one is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import inf

from llmledgerd.spool.segment import Segment


class Backlog:
    """Index of waiting segments. The queues are in the order of segments."""

    def __init__(self, stores: Iterable[str]) -> None:
        self.segments: dict[int, Segment] = {}
        self.queues: dict[str, dict[int, Segment]] = {store: {} for store in stores}
        self.unread: dict[int, Segment] = {}
        """Segments whose begun calls and ends no store has reported yet."""
        self.size = 0
        self.rows: Counter[str] = Counter()
        """Waiting rows by store."""
        self._newest: dict[bytes, int] = {}
        """Session -> the newest segment with its lines."""

    def add(self, segment: Segment, stores: Collection[str], *, unread: bool = True) -> None:
        """Add a sealed segment that waits for these stores."""
        self.segments[segment.number] = segment
        self.size += segment.size
        if unread:
            self.unread[segment.number] = segment
        for store in stores:
            self.queues[store][segment.number] = segment
            self.rows[store] += segment.rows

    def is_next_to_read(self, number: int) -> bool:
        """Return whether this segment is the first unread one."""
        return next(iter(self.unread), None) == number

    def settled(self, store: str, number: int, *, read: bool) -> bool:
        """Remove a segment from one store's queue; return whether no store waits for it anymore."""
        segment = self.queues[store].pop(number, None)
        if segment is None:
            return False
        self.rows[store] -= segment.rows
        if read:
            self.unread.pop(number, None)
        if any(number in queue for queue in self.queues.values()):
            return False
        self.unread.pop(number, None)
        del self.segments[number]
        self.size -= segment.size
        return True

    def sent(self, sessions: Iterable[bytes], number: int) -> None:
        """Note the sessions with lines in the newest segment."""
        self._newest.update(dict.fromkeys(sessions, number))

    def sent_before(self, newest: Mapping[bytes, int]) -> None:
        """Take over the sessions of an earlier process, with the newest segment of each."""
        self._newest = {**newest, **self._newest}

    def waiting_sessions(self, open_: Segment | None) -> set[bytes]:
        """Return the sessions with lines in the oldest waiting segment or a later one."""
        oldest = _first(self.segments, open_)
        self._newest = {session: last for session, last in self._newest.items() if last >= oldest}
        return set(self._newest)

    def unread_sessions(self, open_: Segment | None) -> set[bytes]:
        """Return the sessions with lines in the oldest unread segment or a later one."""
        oldest = _first(self.unread, open_)
        return {session for session, last in self._newest.items() if last >= oldest}

    def resized(self, segment: Segment, size: int) -> None:
        """Update the totals after a segment's file was rewritten."""
        self.size += size - segment.size
        segment.size = size


def _first(segments: Iterable[int], open_: Segment | None) -> float:
    return next(iter(segments), open_.number if open_ and open_.rows else inf)
