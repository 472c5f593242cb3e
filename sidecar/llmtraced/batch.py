"""A segment's lines become what has to be stored: rows, losses, dead letters. Pure.

Invariant: every line of the segment is in exactly one of rows, dead letters, control lines and
lost lines, and the same segment gives the same batch however often it is prepared.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping

import msgspec

from llmtrace.protocol import Begin, End, Record
from llmtraced import records
from llmtraced.dead_letters import DeadLetter, with_line
from llmtraced.errors import Rejected
from llmtraced.rows import RowBuilder
from llmtraced.spool import BegunCall, Entry, EntryKind, ReadGroup, Segment, SessionState

LOSS_COLUMNS = (
    "at", "host", "service", "session", "stage", "reason", "count", "batch_id", "batch_row", "ingested_at",
)  # fmt: skip
"""Of ``llm_trace_losses``; a count of None is a loss of unknown size."""


class OwnLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the daemon itself appends to the spool, so that it is stored as surely as anything."""

    abandoned: bytes | None = None
    """The ``begin`` line of a call whose record has not come."""
    session: str = ""
    service: str = ""
    host: str = ""
    stage: str = ""
    reason: str = ""
    count: int | None = None


class RefusedLine(msgspec.Struct):
    """A line of a session that its sender has to be told of."""

    session: bytes
    number: int
    reason: str


class Batch(msgspec.Struct, kw_only=True):
    """What a segment holds, by what has to be done with it."""

    segment: Segment
    rows: dict[int, tuple[object, ...]] = {}
    ids: dict[str, int] = {}
    """Of the records: id -> row."""
    letters: dict[int, DeadLetter] = {}
    refused: list[RefusedLine] = []
    losses: list[tuple[object, ...]] = []
    opened: dict[str, BegunCall] = {}
    ended: list[bytes] = []
    abandoned: dict[str, int] = {}
    """Calls that this segment declares abandoned: id -> row."""
    repeats: dict[int, str] = {}
    """Rows that may have been stored in a life that the daemon has forgotten: row -> id."""
    control: int = 0
    lost: int = 0
    from_us: int = 0
    to_us: int = 0
    """The range of ``ingested_at``."""


class Source(msgspec.Struct):
    """Where a line comes from."""

    row: int
    received_us: int
    entry: Entry
    number: int
    service: str
    host: str


class Preparer:
    """Turns segments into batches."""

    def __init__(
        self, builder: RowBuilder, sessions: Callable[[], Mapping[bytes, SessionState]], host: str
    ) -> None:
        self._builder = builder
        self._sessions = sessions
        self._host = host

    def prepare(self, segment: Segment, groups: list[ReadGroup]) -> Batch:
        """Read every line of a segment closely."""
        batch = Batch(segment=segment, from_us=segment.first_us, to_us=segment.last_us)
        for group in groups:
            if group.body is None:
                self._damaged(batch, group)
                continue
            for source, line in self._lines(group):
                self._take(batch, source, line)
        found = sum(group.group.lines for group in groups)
        if found < segment.rows:  # a group's head was damaged after it was written
            self._lose(batch, segment.rows - found, segment.last_us)
        for call in batch.ids.keys() & batch.opened.keys():
            del batch.opened[call]
        for call in batch.ids.keys() & batch.abandoned.keys():
            self._drop_abandoned(batch, call)
        return batch

    def _lines(self, read: ReadGroup) -> Iterator[tuple[Source, bytes]]:
        body = bytes(read.body or b"")
        row, start = read.group.first_row, 0
        sessions = self._sessions()
        for entry in read.group.entries:
            session = sessions.get(entry.session)
            service, host = (session.service, session.host) if session else ("", "")
            for index in range(entry.lines):
                end = body.index(b"\n", start)
                number = entry.first + index if entry.session else 0
                yield Source(row, read.group.received_us, entry, number, service, host), body[start:end]
                row, start = row + 1, end + 1

    def _take(self, batch: Batch, source: Source, line: bytes) -> None:
        try:
            if source.entry.kind == EntryKind.OWN:
                self._own(batch, source, line)
            elif source.entry.kind == EntryKind.OVERSIZE:
                raise Rejected(records.TOO_LONG, f"{source.entry.full_size} bytes")
            else:
                self._line(batch, source, line)
        except Rejected as refusal:
            self._refuse(batch, source, line, refusal)

    def _line(self, batch: Batch, source: Source, line: bytes) -> None:
        parsed = records.parse(line)
        if isinstance(parsed, Record):
            self._record(batch, source, line, parsed)
            return
        batch.control += 1
        if isinstance(parsed, Begin):
            call = self._builder.call_id(parsed)
            batch.opened[call] = BegunCall(source.entry.session, line, source.received_us)
        elif isinstance(parsed, End):
            batch.ended.append(source.entry.session)
        else:
            for reason, count in parsed.counts.items():
                self._loss(batch, source, "client", reason, count)

    def _record(self, batch: Batch, source: Source, line: bytes, record: Record) -> None:
        row = self._builder.row(
            record,
            line=line,
            service=source.service,
            received_us=source.received_us,
            batch_id=batch.segment.batch,
            batch_row=source.row,
        )
        batch.rows[source.row] = row
        call = str(row[0])
        batch.ids[call] = source.row
        if source.entry.repeats:
            batch.repeats[source.row] = call

    def _own(self, batch: Batch, source: Source, line: bytes) -> None:
        own = msgspec.json.decode(line, type=OwnLine)
        source.service, source.host = own.service, own.host
        if own.abandoned is None:
            batch.control += 1
            self._loss(batch, source, own.stage, own.reason, own.count, own.session)
            return
        begin = records.parse(own.abandoned)
        if not isinstance(begin, Begin):
            raise Rejected(records.NOT_JSON, "not the begin line that it was")
        row = self._builder.abandoned(
            begin,
            service=own.service,
            received_us=source.received_us,
            batch_id=batch.segment.batch,
            batch_row=source.row,
        )
        batch.rows[source.row] = row
        batch.abandoned[str(row[0])] = source.row

    def _drop_abandoned(self, batch: Batch, call: str) -> None:
        row = batch.abandoned.pop(call)
        del batch.rows[row]
        batch.control += 1

    def _refuse(self, batch: Batch, source: Source, line: bytes, refusal: Rejected) -> None:
        letter = DeadLetter(
            id=f"{batch.segment.batch}:{source.row}",
            reason=refusal.reason,
            detail=refusal.detail,
            received_us=source.received_us,
            size=source.entry.full_size or len(line),
            session=_text(source.entry.session),
            line_number=source.number,
            service=source.service,
        )
        batch.letters[source.row] = with_line(letter, line)
        if refusal.reason == records.TOO_LONG:  # all but its head is gone
            self._loss(batch, source, "daemon", records.TOO_LONG, 1)
        if source.entry.session:
            batch.refused.append(RefusedLine(source.entry.session, source.number, refusal.reason))

    def _damaged(self, batch: Batch, group: ReadGroup) -> None:
        self._lose(batch, group.group.lines, group.group.received_us)

    def _lose(self, batch: Batch, lines: int, at_us: int) -> None:
        batch.lost += lines
        row = len(batch.losses)
        batch.losses.append(
            (
                at_us,
                self._host,
                "",
                "",
                "spool",
                "damaged",
                lines,
                batch.segment.batch,
                row,
                batch.segment.last_us,
            )
        )

    def _loss(
        self, batch: Batch, source: Source, stage: str, reason: str, count: int | None, session: str = ""
    ) -> None:
        host = source.host or self._host
        named = session or _text(source.entry.session)
        row = len(batch.losses)
        at = source.received_us
        batch.losses.append(
            (at, host, source.service, named, stage, reason, count, batch.segment.batch, row, at)
        )


def condemned(batch: Batch, groups: list[ReadGroup], row: int, reason: str, detail: str) -> DeadLetter:
    """Return the dead letter of a row that the store refused; its bytes come from the segment."""
    read = next(read for read in groups if 0 <= row - read.group.first_row < read.group.lines)
    line = bytes(read.body or b"").split(b"\n")[row - read.group.first_row]
    letter = DeadLetter(
        id=f"{batch.segment.batch}:{row}",
        reason=reason,
        detail=detail,
        received_us=read.group.received_us,
        size=len(line),
    )
    return with_line(letter, line)


def _text(session: bytes) -> str:
    return str(uuid.UUID(bytes=session)) if session else ""
