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
    """Book-keeping of what waits. The queues are in the order of segments."""

    def __init__(self, stores: Iterable[str]) -> None:
        self.segments: dict[int, Segment] = {}
        self.queues: dict[str, dict[int, Segment]] = {store: {} for store in stores}
        self.unread: dict[int, Segment] = {}
        """Those whose begun calls and ends no store has told the spool of yet."""
        self.size = 0
        self.rows: Counter[str] = Counter()
        """By store."""
        self._newest: dict[bytes, int] = {}
        """Session -> the newest segment that has lines of it."""

    def add(self, segment: Segment, stores: Collection[str], *, unread: bool = True) -> None:
        """A segment was sealed, and waits for these stores."""
        self.segments[segment.number] = segment
        self.size += segment.size
        if unread:
            self.unread[segment.number] = segment
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
            self.unread.pop(number, None)
        if any(number in queue for queue in self.queues.values()):
            return False
        self.unread.pop(number, None)
        del self.segments[number]
        self.size -= segment.size
        return True

    def sent(self, sessions: Iterable[bytes], number: int) -> None:
        """These sessions have lines in a segment, which is the newest."""
        self._newest.update(dict.fromkeys(sessions, number))

    def sent_before(self, newest: Mapping[bytes, int]) -> None:
        """An earlier process has received lines of these sessions, the last of them in these segments."""
        self._newest = {**newest, **self._newest}

    def waiting_sessions(self, open_: Segment | None) -> set[bytes]:
        """Return the sessions that have lines in the open segment, or in one from the oldest that waits on."""
        oldest = _first(self.segments, open_)
        self._newest = {session: last for session, last in self._newest.items() if last >= oldest}
        return set(self._newest)

    def unread_sessions(self, open_: Segment | None) -> set[bytes]:
        """The same, from the oldest on that may yet say that a call or the session has ended."""
        oldest = _first(self.unread, open_)
        return {session for session, last in self._newest.items() if last >= oldest}

    def resized(self, segment: Segment, size: int) -> None:
        """Its file has been written anew."""
        self.size += size - segment.size
        segment.size = size


def _first(segments: Iterable[int], open_: Segment | None) -> float:
    return next(iter(segments), open_.number if open_ and open_.rows else inf)
