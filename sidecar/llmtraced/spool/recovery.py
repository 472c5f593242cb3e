"""What a folder of segments says after whatever happened to it.

Invariant: recovery always returns. A whole group that was acknowledged is never dropped; bytes
that cannot be understood are kept in quarantine; and what was lost is named.
"""

from __future__ import annotations

import sys
import uuid

import msgspec

from llmtraced.spool import format as fmt
from llmtraced.spool.files import Files
from llmtraced.spool.format import Buffer, Gap, Kind
from llmtraced.spool.segment import SUFFIX, Damage, HeaderMeta, Segment, name_of, rewrite
from llmtraced.spool.state import Condemned, Group, Settled, Snapshot, State

QUARANTINE = "quarantine"


class Recovered(msgspec.Struct):
    """What was found. ``previous`` is the newest segment and how many of its bytes count."""

    state: State
    segments: list[Segment]
    done: list[int]
    """Segments that are written off, or hold no line: to be deleted."""
    damage: list[Damage]
    last_number: int
    previous: tuple[int, int]
    incomplete: bool


class Found(msgspec.Struct):
    """A frame, without its body; ``snapshot`` is the body of a header that could be read."""

    kind: int
    meta: bytes
    start: int
    end: int
    snapshot: Snapshot | None = None


class Opened(msgspec.Struct):
    """One segment file as it was read, up to the bytes that count."""

    number: int
    size: int
    frames: list[Found]
    gaps: list[Gap]
    meta: HeaderMeta | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        return self.frames[0].snapshot if self.frames else None


def recover(files: Files) -> Recovered:
    """Read the folder. Raises OSError only where the folder itself cannot be read."""
    damage: list[Damage] = []
    numbers = _numbers(files)
    opened: list[Opened] = []
    limit: dict[int, int] = {}
    # Newest first, because each header says how much of the segment before it counts.
    for number in reversed(numbers):
        segment = _open(files, number, limit.get(number), damage)
        if segment is None:
            continue
        if segment.meta is not None:
            limit[segment.meta.previous] = segment.meta.previous_size
        opened.insert(0, segment)
    state, incomplete = _state(opened, damage)
    newest = opened[-1] if opened else None
    for segment in opened:
        _repair(files, segment, damage, newest=segment is newest)
    kept, done = _sorted_out(opened, state)
    return Recovered(
        state=state,
        segments=kept,
        done=done,
        damage=damage,
        last_number=max(numbers, default=0),
        previous=(newest.number, newest.size) if newest else (0, 0),
        incomplete=incomplete,
    )


def _numbers(files: Files) -> list[int]:
    numbers = []
    for name in files.names():
        stem = name.removesuffix(SUFFIX)
        if name.endswith(SUFFIX) and stem.isdigit():
            numbers.append(int(stem))
        elif name.endswith(f"{SUFFIX}.tmp"):
            files.unlink(name)
    return sorted(numbers)


def _open(files: Files, number: int, limit: int | None, damage: list[Damage]) -> Opened | None:
    """Read one segment; None where it had to be put aside.

    A segment that has a successor was synced when that began, so its bodies are left alone until
    they are shipped: a backlog of gigabytes must not delay the start. The newest is read whole.
    """
    try:
        size = min(files.size(name_of(number)), sys.maxsize if limit is None else limit)
        opened = _skim(files, number, size) if limit is not None else None
        if opened is None:
            opened = _read_whole(files, number, size)
    except OSError as error:
        _put_aside(files, number, damage, f"unreadable: {error.strerror or error}")
        return None
    if opened.frames and opened.frames[0].kind == Kind.HEADER and not _read_header(opened):
        _put_aside(files, number, damage, "of a newer format")
        return None
    return opened


def _skim(files: Files, number: int, size: int) -> Opened | None:
    """Read heads and metas alone; None at the first one that is not whole."""
    opened, at, name = Opened(number, size, [], []), 0, name_of(number)
    while at < size:
        data = files.read(name, at, 4096)
        more = fmt.HEAD_BYTES + fmt.meta_bytes(data) - len(data)
        if more > 0:
            data += files.read(name, at + len(data), more)
        head = fmt.read_head(data)
        if head is None or at + head.size > size:
            return None
        found = Found(head.kind, data[fmt.HEAD_BYTES :][: head.meta_len], at, at + head.size)
        if head.kind == Kind.HEADER:
            found.snapshot = _snapshot(files.read(name, at, head.size))
        opened.frames.append(found)
        at = found.end
    return opened


def _read_whole(files: Files, number: int, size: int) -> Opened:
    """Read every byte; frames at the end whose body is not whole are part of the torn tail."""
    data = files.read(name_of(number), 0, size)
    opened, whole = Opened(number, size, [], []), 0
    for item in fmt.scan(data):
        if isinstance(item, Gap):
            opened.gaps.append(item)
            continue
        opened.frames.append(Found(item.kind, item.meta, item.start, item.end))
        if item.kind == Kind.HEADER:
            opened.frames[-1].snapshot = _snapshot(data[item.start : item.end])
        if item.body is not None or item.kind == Kind.HEADER:
            whole = len(opened.frames)
    if whole < len(opened.frames):
        tail = opened.frames[whole].start
        opened.frames = opened.frames[:whole]
        opened.gaps = [gap for gap in opened.gaps if gap.end <= tail] + [Gap(tail, size)]
    return opened


def _snapshot(frame: bytes) -> Snapshot | None:
    try:
        (found,) = fmt.scan(frame)
        if isinstance(found, Gap):
            return None
        return msgspec.msgpack.decode(fmt.body_of(found), type=Snapshot)
    except (ValueError, msgspec.DecodeError):
        return None


def _read_header(opened: Opened) -> bool:
    """Fill in what the header says; return False where a newer daemon wrote it."""
    try:
        opened.meta = msgspec.msgpack.decode(opened.frames[0].meta, type=HeaderMeta)
    except msgspec.DecodeError:
        return False
    return opened.meta.format <= fmt.FORMAT


def _put_aside(files: Files, number: int, damage: list[Damage], why: str) -> None:
    damage.append(Damage(name_of(number), f"put aside, {why}"))
    try:
        files.rename(name_of(number), f"{QUARANTINE}/{name_of(number)}")
    except OSError:
        return  # it stays where it is, and is put aside at the next start


def _state(opened: list[Opened], damage: list[Damage]) -> tuple[State, bool]:
    """Fold the newest snapshot and the frames since; say whether anything may be forgotten."""
    newest = next((i for i in reversed(range(len(opened))) if opened[i].snapshot is not None), None)
    if newest is None:
        state = State()
        if opened:
            damage.append(Damage(name_of(opened[-1].number), "no header is whole: sessions are forgotten"))
    else:
        state = State(opened[newest].snapshot)
    for segment in opened[newest or 0 :]:
        for frame in segment.frames:
            _apply(state, frame)
    return state, newest is None and bool(opened)


def _apply(state: State, frame: Found) -> None:
    match frame.kind:
        case Kind.GROUP:
            state.received_group(msgspec.msgpack.decode(frame.meta, type=Group))
        case Kind.SETTLED:
            state.settle(msgspec.msgpack.decode(frame.meta, type=Settled))
        case Kind.CONDEMNED:
            state.condemn(msgspec.msgpack.decode(frame.meta, type=Condemned))


def _repair(files: Files, segment: Opened, damage: list[Damage], *, newest: bool) -> None:
    """Cut off a torn tail; keep a copy of anything worse and close the hole."""
    name = name_of(segment.number)
    torn = segment.gaps[-1] if newest and segment.gaps and segment.gaps[-1].end == segment.size else None
    holes = [gap for gap in segment.gaps if gap is not torn]
    damage += [Damage(name, f"{gap.end - gap.start} bytes at {gap.start} are damaged") for gap in holes]
    if torn is not None:
        damage.append(Damage(name, f"torn tail of {torn.end - torn.start} bytes at {torn.start} cut off"))
    try:
        if segment.gaps:
            # A copy also of a torn tail, since a flipped bit in the last group looks the same.
            files.copy(name, f"{QUARANTINE}/{name}")
            _close_holes(files, segment)
    except OSError as error:
        damage.append(Damage(name, f"not repaired: {error.strerror or error}"))


def _close_holes(files: Files, segment: Opened) -> None:
    data = files.read(name_of(segment.number), 0, segment.size)
    buffers: list[Buffer] = [memoryview(data)[frame.start : frame.end] for frame in segment.frames]
    rewrite(files, name_of(segment.number), buffers)
    segment.size = sum(map(len, buffers))


def _sorted_out(opened: list[Opened], state: State) -> tuple[list[Segment], list[int]]:
    kept, done = [], []
    settled = set(state.snapshot.settled)
    for file in opened:
        segment = _summary(file)
        if file.number in settled or not segment.rows:
            done.append(file.number)
        else:
            kept.append(segment)
    return kept, done


def _summary(file: Opened) -> Segment:
    # A segment whose header is gone has lost its batch id with it: the id is made of its number,
    # so that it is the same at the next start.
    batch = (
        uuid.UUID(bytes=file.meta.batch) if file.meta else uuid.uuid5(uuid.NAMESPACE_OID, str(file.number))
    )
    segment = Segment(number=file.number, batch=str(batch), size=file.size, recovered=True)
    for frame in file.frames:
        if frame.kind == Kind.GROUP:
            segment.add(msgspec.msgpack.decode(frame.meta, type=Group), file.size)
    return segment
