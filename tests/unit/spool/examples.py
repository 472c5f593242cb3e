"""A small spool with one of everything, for tests that damage it."""

from __future__ import annotations

from llmledgerd.spool import BegunCall, Entry, EntryKind, Group, RejectedRow, SessionState, Settled, Spool
from llmledgerd.spool.files import FileSystem

SESSION = b"\x01" * 16
OTHER = b"\x02" * 16
OWN = b'{"stage":"spool"}\n'
START_US = 1_700_000_000_000_000


def group(lines: list[bytes], *, session: bytes = SESSION, first: int = 1, at_us: int = START_US) -> Group:
    """Return a group of one run of lines, which end without their newlines."""
    size = sum(len(line) + 1 for line in lines)
    return Group(at_us, 0, [Entry(EntryKind.LINES, session, first if session else 0, len(lines), size)])


def append(spool: Spool, lines: list[bytes], *, session: bytes = SESSION, first: int = 1) -> None:
    """Append one group of one session's lines."""
    now = START_US + spool.last_number
    spool.append(group(lines, session=session, first=first, at_us=now), [line + b"\n" for line in lines], now)


def text(number: int) -> bytes:
    """Return a line that says its number and compresses well."""
    return b'{"line":%d,"text":"%s"}' % (number, b"again and " * 12)


def one_of_everything(files: FileSystem) -> Spool:
    """Fill a folder: segments settled, compressed, plain and open, with each kind of frame.

    Of the 16 lines of ``SESSION``, 1 and 2 are settled and 3 to 16 wait; ``OTHER`` has one line in
    the open segment, and one-way senders and the daemon itself have some.
    """
    spool = Spool(files)
    spool.recover()
    first = group([text(1), text(2)])
    first.hellos[SESSION] = SessionState(0, START_US, "service", "host", "client/1", 7)
    spool.append(first, [text(1) + b"\n", text(2) + b"\n"], START_US)
    spool.seal(START_US + 1)
    for start in (3, 5, 7):
        append(spool, [text(start), text(start + 1)], first=start)
    spool.seal(START_US + 2)
    append(spool, [text(9), text(10), text(11)], first=9)
    append(spool, [b'{"one":"way"}'], session=b"")
    append(spool, [text(12)], first=12)
    spool.seal(START_US + 3)
    opened = {"call-1": BegunCall(SESSION, b'{"begin":1}', START_US)}
    spool.settle(Settled(segment=1, stored=1, control=1, opened=opened), START_US + 4)
    spool.reject_row(RejectedRow(3, 2, "refused_by_store", "27: no number"), START_US + 5)
    append(spool, [text(13), text(14)], first=13)
    append(spool, [b'{"other":1}'], session=OTHER)
    _give_up(spool)
    append(spool, [text(15), text(16)], first=15)
    assert spool.compress(spool.segments[2])
    return spool


def _give_up(spool: Spool) -> None:
    own = Group(
        START_US + 6, 0, [Entry(EntryKind.OWN, b"", 0, 1, len(OWN))], orphans=["call-1"], over=[OTHER]
    )
    spool.append(own, [OWN], START_US + 6)


def lines_in(spool: Spool) -> list[bytes]:
    """Return every line that can be read, oldest first."""
    opened = spool.open
    segments = [*spool.segments.values(), *([opened] if opened else [])]
    return [
        line
        for segment in segments
        for found in spool.read(segment)
        if found.body is not None
        for line in bytes(found.body).split(b"\n")[:-1]
    ]
