"""Recovery of a folder of segments after a crash or damage.

Invariant: recovery always returns. A whole group that was acknowledged is never dropped; bytes
that cannot be understood are kept in quarantine; and what was lost is named.

Segments are read from the newest to the oldest, because each header has the valid length of earlier ones.
Of segments older than the newest whole header only ``Segment`` stays in memory, so that a backlog of any size
fits.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from llmledgerd.spool import runs
from llmledgerd.spool.bounds import Limits
from llmledgerd.spool.files import FileSystem
from llmledgerd.spool.format import Gap
from llmledgerd.spool.scanning import Found, NotUnderstood, Opened, marker_of, scan_segment
from llmledgerd.spool.segment import (
    TEMPORARY,
    Damage,
    Segment,
    name_of,
    number_of,
    senders,
    written_beside,
)
from llmledgerd.spool.state import Change, Group, RejectedRow, Settled, State

QUARANTINE = "quarantine"


class Recovered(msgspec.Struct):
    """Result of a recovery. ``previous`` is the newest segment, how many of its bytes count, and its marker."""

    state: State
    change: Change
    segments: list[Segment]
    """Segments with waiting lines, oldest first."""
    done: list[int]
    """Settled segments and those without lines, to be deleted."""
    damage: list[Damage]
    last_number: int
    previous: tuple[int, int, bytes]
    incomplete: bool
    unsynced: list[str]
    """Files that were read but could not be rewritten and synced."""
    last_us: int
    """Latest time in any segment."""
    newest: dict[bytes, int]
    """Session -> the newest segment with its lines."""
    base: int
    """The segment with the newest whole header. What is done and older can be deleted at once, the
    others when there is a newer header, as is what only a store waited for that is no longer named."""


def recover(files: FileSystem, stores: Sequence[str], limits: Limits) -> Recovered:
    """Read the folder for the stores that are in force now, and repair what can be.

    Raises OSError where the folder cannot be listed.
    """
    numbers = _numbers(files)
    walk = _Walk(files)
    for number in reversed(numbers):
        walk.visit(number)
    return walk.result(stores, limits, max([0, *numbers, *_numbers_aside(files)]))


def _numbers(files: FileSystem) -> list[int]:
    numbers = []
    for name in files.names():
        number = number_of(name)
        if number is not None:
            numbers.append(number)
        elif name.endswith(TEMPORARY) and number_of(name.removesuffix(TEMPORARY)) is not None:
            with suppress(OSError):  # it only occupies space
                files.unlink(name)
    return sorted(numbers)


def _numbers_aside(files: FileSystem) -> list[int]:
    """Return the segment numbers in use by quarantine, so that no copy replaces another."""
    try:
        return [number_of(name) or 0 for name in files.names(QUARANTINE)]
    except OSError:
        return []


class _Walk:
    """One pass over the folder, from the newest segment to the oldest."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files
        self._limits: dict[int, int] = {}
        """Segment -> valid length, from the newest header that has it."""
        self._markers: dict[int, bytes] = {}
        """Segment -> marker of its frames, from the same header."""
        self._base: Opened | None = None
        self._newer: list[Opened] = []
        """Segments from the base on, newest first."""
        self._newest: Opened | None = None
        self._sealed = False
        self._aside = False
        """Whether a segment newer than the base went to quarantine."""
        self._unsynced: list[str] = []
        self._cut: dict[int, int] = {}
        self._unkept: set[int] = set()
        self._segments: list[Segment] = []
        self._last_us = 0
        self._last_lines: dict[bytes, int] = {}
        self.damage: list[Damage] = []

    def visit(self, number: int) -> None:
        try:
            marker = marker_of(self._files, number, self._markers.get(number, b""))
            limit = self._limits.get(number)
            opened = scan_segment(self._files, number, marker, limit, self._sealed, self._base is None)
        except OSError as error:
            self._put_aside(number, f"unreadable: {error.strerror or error}")
            return
        except NotUnderstood:
            self._put_aside(number, "of another format")
            return
        self._repair(opened)
        if not opened.sealed:
            self._sync(opened)
        self._newest = self._newest or opened
        if self._base is None:
            self._newer.append(opened)
        self._learn(opened)
        self._segments.append(_summary(opened))
        begun_us = opened.header.created_us if opened.header else 0
        self._last_us = max(self._last_us, begun_us, self._segments[-1].last_us)
        for session in senders(opened.groups):
            self._last_lines.setdefault(session, number)
        if opened.longer:
            self._cut[number] = opened.size
        if not opened.kept:
            self._unkept.add(number)

    def result(self, stores: Sequence[str], limits: Limits, last_number: int) -> Recovered:
        state = State(self._base.snapshot if self._base else None, limits)
        for opened in reversed(self._newer):
            for frame in opened.frames:
                _apply(state, frame)
        for number, size in self._cut.items():
            state.cut(number, size)
        holed = self._is_holed()
        if holed:
            self.damage.append(Damage("the spool", "sessions may be forgotten: repeats are asked for"))
            state.suspect_all()
        newest = self._newest
        with_lines = {found.number: found.rows for found in reversed(self._segments) if found.rows}
        change = state.put_in_force(stores, with_lines, last_number + 1)
        kept = [found for found in reversed(self._segments) if found.rows and state.wanting(found.number)]
        return Recovered(
            state=state,
            change=change,
            segments=kept,
            done=self._done(state, kept),
            damage=self.damage,
            last_number=last_number,
            previous=(newest.number, newest.size, newest.marker) if newest else (0, 0, b""),
            incomplete=holed,
            unsynced=self._unsynced,
            last_us=self._last_us,
            newest=self._last_lines,
            base=self._base.number if self._base and not self._unsynced and not change.removed else 0,
        )

    def _done(self, state: State, kept: list[Segment]) -> list[int]:
        snap = state.snapshot
        done = {*(found.number for found in self._segments), *runs.numbers(snap.done), *snap.cut}
        done.update(*(runs.numbers(store.settled) for store in snap.stores.values()))
        return sorted(done - self._unkept - {found.number for found in kept})

    def _is_holed(self) -> bool:
        """Return whether anything may be missing between the base and the newest segment.

        Nothing is missing if only unfinished headers follow, in sequence, and nothing is missing before the
        first segment.
        """
        base = self._base.number if self._base else 0
        after = [opened for opened in self._newer if opened is not self._base and opened.size]
        unfinished = not any(opened.frames for opened in after)
        in_turn = [opened.number for opened in reversed(after)] == list(
            range(base + 1, base + len(after) + 1)
        )
        return self._aside or not (unfinished and in_turn)

    def _learn(self, opened: Opened) -> None:
        """Read a header's limits of earlier segments; the newest header wins."""
        if opened.header is None:
            return
        self._sealed = True
        self._limits.setdefault(opened.header.previous, opened.header.previous_size)
        self._markers.setdefault(opened.header.previous, opened.header.previous_marker)
        if self._base is None and opened.snapshot is not None:
            self._base = opened
            self._limits = {**opened.snapshot.cut, **self._limits}

    def _put_aside(self, number: int, why: str) -> None:
        name = name_of(number)
        self._aside |= self._base is None
        self.damage.append(Damage(name, f"put aside, {why}"))
        try:
            self._files.rename(name, f"{QUARANTINE}/{name}")
        except OSError as error:  # it stays there, and goes to quarantine at the next start
            self.damage.append(Damage(name, f"still in its place: {error.strerror or error}"))

    def _sync(self, opened: Opened) -> None:
        """Rewrite and sync segments that an earlier process may not have synced."""
        name = name_of(opened.number)
        try:
            self._files.resync(name)
            self._files.sync_folder()
        except OSError as error:
            self._unsynced.append(name)
            self.damage.append(Damage(name, f"may not be on the disk: {error.strerror or error}"))

    def _repair(self, opened: Opened) -> None:
        """Cut off a torn tail; keep a copy of anything worse and close the hole.

        A torn tail is copied as well, since a flipped bit in the last group looks the same. A group
        whose body alone is damaged keeps its place, and is counted when the segment is shipped.
        """
        name = name_of(opened.number)
        said = [_said(gap, opened) for gap in opened.gaps]
        said += [f"the frame at {frame.start} is damaged" for frame in opened.frames if not frame.whole]
        self.damage += [Damage(name, what) for what in said]
        if not said:
            return
        try:
            opened.kept = False
            self._files.copy(name, f"{QUARANTINE}/{name}")
            opened.kept = True
            if opened.frames and opened.gaps:
                self._close_holes(opened)
        except OSError as error:
            self.damage.append(Damage(name, f"not repaired: {error.strerror or error}"))
            # Holes are skipped when reading; only the end has to be known.
            opened.size = opened.frames[-1].end if opened.frames else 0
            opened.longer = True

    def _close_holes(self, opened: Opened) -> None:
        name = name_of(opened.number)
        data = memoryview(self._files.read(name, 0, opened.size))
        whole = [data[frame.start : frame.end] for frame in opened.frames]
        self._files.rename(written_beside(self._files, name, whole), name)
        self._files.sync_folder()
        opened.size = sum(map(len, whole))


def _said(gap: Gap, opened: Opened) -> str:
    size = gap.end - gap.start
    if gap.end == opened.size and not opened.sealed:
        return f"torn tail of {size} bytes at {gap.start} cut off"
    return f"{size} bytes at {gap.start} are damaged"


def _apply(state: State, frame: Found) -> None:
    match frame.record:
        case Group():
            state.received_group(frame.record)
        case Settled():
            state.settle(frame.record)
        case RejectedRow():
            state.reject_row(frame.record)


def _summary(opened: Opened) -> Segment:
    header = opened.header
    # Made of the number where it is lost, so that it is the same at the next start.
    batch = uuid.UUID(bytes=header.batch) if header else uuid.uuid5(uuid.NAMESPACE_OID, str(opened.number))
    segment = Segment(
        number=opened.number,
        batch=str(batch),
        marker=opened.marker,
        size=opened.size,
        recovered=True,
        nameless=header is None,
    )
    for group in opened.groups:
        segment.add(group, opened.size)
    return segment
