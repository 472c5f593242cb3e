"""A segment's lines become what has to be stored: rows, losses, dead letters. Pure.

Invariant: every line of the segment is in exactly one of rows, dead letters, control lines and
lost lines, and the same segment gives the same batch however often it is prepared.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from llmledger.protocol import Begin, End, Record
from llmledgerd.delivery import erasure_marks
from llmledgerd.delivery.faults import INTERNAL_ERROR, NOT_OF_A_LINE, described
from llmledgerd.delivery.row_blocks import Encode, Rows
from llmledgerd.errors import Rejected
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.treatment import Treatment
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.query.erasure import Erasure
from llmledgerd.records import begun_calls, parsing
from llmledgerd.records.parsing import Dropped
from llmledgerd.records.repeats import Call, Repeat, call_of, repeat
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, Row
from llmledgerd.spool import ONLY_STORE, BegunCall, Entry, EntryKind, ReadGroup, Segment, SessionState
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from llmledgerd.spool.own_lines import OwnLine, RefusedLine
from llmledgerd.stores.base import Buffer
from llmledgerd.stores.receipt_window import Window

LONG_LINE = 16 << 10
"""A list of lines of this length is memory that the caches do not hold, and costs several times its copying."""

LARGE_LINE = 1 << 20
"""A line of this length is not copied out of its group, where nobody needs it as bytes."""

Line = bytes | memoryview

ID = COLUMNS.index("id")


class Batch(msgspec.Struct, kw_only=True):
    """What a segment holds, by what has to be done with it."""

    segment: Segment
    rows: list[int] = []
    """Which lines are rows of ``llm_traces``, by their index in the segment."""
    blocks: list[Buffer] | None = None
    """All of the rows, encoded; None where they have to be encoded again."""
    started_us: Sequence[int] = ()
    """When the calls of all these rows started, in order."""
    uploads: Uploads = msgspec.field(default_factory=Uploads)
    """What has to lie in object storage before the rows are inserted."""
    ids: set[str] = set()
    """Of the records."""
    calls: set[Call] = set()
    """Of the records."""
    letters: dict[int, DeadLetter] = {}
    """Lines that are no records, whoever reads them."""
    refused_here: dict[int, DeadLetter] = {}
    """Rows that this store cannot take, and lines that we fail at."""
    faults: dict[int, str] = {}
    """Of these, lines that we fail at and that is not written down yet: row -> what went wrong."""
    refused: list[RefusedLine] = []
    losses: list[tuple[object, ...]] = []
    opened: dict[str, BegunCall] = {}
    ended: list[bytes] = []
    abandoned: dict[str, int] = {}
    """Calls that this segment declares abandoned: id -> row."""
    repeats: dict[int, Repeat] = {}
    """By row, those that the store is to be asked for."""
    repeated: set[int] = set()
    """Rows that were left out because the store has another row with their id."""
    control: int = 0
    lost: int = 0
    from_us: int = 0
    to_us: int = 0
    """In which range of ``ingested_at`` its rows are looked for."""
    window: Window = Window()
    """The times of receipt that its store takes as they are."""
    erasures: tuple[Erasure, ...] = ()
    """Those that were in force when the segment was read: its rows are made as they leave them."""
    erased: int = 0
    """Lines that are no rows because of them; counted as ``control`` too."""


class Source(msgspec.Struct, gc=False):
    """Where a line comes from."""

    row: int
    received_us: int
    """As it is stored: within the store's window."""
    arrived_us: int
    """As it was."""
    entry: Entry
    number: int
    service: str
    host: str


class Preparer:
    """Turns segments into batches."""

    def __init__(
        self,
        builder: RowBuilder,
        encode: Encode,
        sessions: Callable[[], Mapping[bytes, SessionState]],
        host: str,
        *,
        finish: Callable[[Row], Row] | None = None,
        treatment: Treatment | None = None,
        store: str = ONLY_STORE,
        takes_views: bool = False,
        erasures: Callable[[], tuple[Erasure, ...]] = tuple,
    ) -> None:
        """``finish`` hides what may not be stored, then ``treatment`` says where payloads go: else they stay.

        ``takes_views``: ``encode`` takes payloads that are views of their line. ``erasures`` are in force.
        """
        self._finish = finish or (lambda row: row)
        # What is hidden or taken out is looked for in bytes, and only one store's blocks refer to a line.
        self._takes_views = takes_views and finish is None and (treatment is None or treatment.is_idle)
        self._store = store
        self._builder = builder
        self._treatment = treatment or Treatment(Policy(Decision()))
        self._encode = encode
        self._sessions = sessions
        self._host = host
        self._erasures = erasures

    def prepare(
        self,
        segment: Segment,
        read: Callable[[Segment], Iterable[ReadGroup]],
        window: Window | None = None,
        failed: Mapping[int, str] = {},
    ) -> Batch:
        """Read every line of a segment closely; ``read`` gives its groups, as often as it is asked.

        What was received outside of the ``window`` is stored as if it had been received now. ``failed``
        are lines that we failed at before, by their index in the segment: once decided, a line stays a
        dead letter, also where a newer daemon would not fail.
        """
        batch = Batch(segment=segment, window=window or Window(), erasures=self._erasures())
        batch.from_us, batch.to_us = batch.window.searched(
            segment.first_us, segment.last_us, recovered=segment.recovered
        )
        rows, found = Rows(self._encode), 0
        given_up: dict[str, Row] = {}
        for group in read(segment):
            found += group.group.lines
            if batch.window.fit(group.group.received_us) != group.group.received_us:
                self._builder.counts["receipt_replaced"] += group.group.lines
            if group.body is None:
                self._lose(batch, group.group.lines, batch.window.fit(group.group.received_us))
                continue
            for source, line in self._lines(group, batch.window):
                if source.row in failed:
                    batch.refused_here[source.row] = self._letter(
                        batch, source, line, INTERNAL_ERROR, failed[source.row], self._store
                    )
                else:
                    self._take(batch, rows, given_up, source, line)
        if found < segment.rows:  # a group's head was damaged after it was written
            self._lose(batch, segment.rows - found, batch.window.fit(segment.last_us))
        for call in batch.ids & batch.opened.keys():
            del batch.opened[call]
        self._add_abandoned(batch, rows, given_up)
        if batch.erased:
            self._add_loss(batch, segment.last_us, "daemon", "erased", batch.erased)
        rows.close()
        for row, why in rows.refused.items():
            letter = rejected_letter(batch, read(segment), row, "not_encodable", why, self._store)
            batch.refused_here[row] = letter
            batch.repeats.pop(row, None)
        for row, why in rows.failed.items():
            batch.refused_here[row] = rejected_letter(
                batch, read(segment), row, INTERNAL_ERROR, why, self._store
            )
            batch.faults[row] = why
            batch.repeats.pop(row, None)
        batch.rows = sorted(row for row in batch.rows if row not in rows.refused and row not in rows.failed)
        batch.blocks = rows.blocks
        batch.started_us = array("q", sorted(rows.started_us))
        return batch

    def encode_some(self, groups: Iterable[ReadGroup], batch: Batch, wanted: Collection[int]) -> Rows:
        """Return some rows of a batch, encoded again."""
        rows, chosen = Rows(self._encode), frozenset(wanted)
        for group in groups:
            if group.body is None or chosen.isdisjoint(_rows_of(group)):
                continue
            for source, line in self._lines(group, batch.window):
                if source.row in chosen and (row := self._row(batch, source, line)) is not None:
                    rows.add(row, len(line))
        rows.close()
        return rows

    def _lines(self, read: ReadGroup, window: Window) -> Iterator[tuple[Source, Line]]:
        body = memoryview(read.body or b"")
        row, start, received_us = read.group.first_row, 0, window.fit(read.group.received_us)
        sessions = self._sessions()
        for entry in read.group.entries:
            session = sessions.get(entry.session)
            service, host = (session.service, session.host) if session else ("", "")
            number, step = (entry.first, 1) if entry.session else (0, 0)
            run, start = body[start : start + entry.size], start + entry.size
            for line in _split(run, entry.lines, LARGE_LINE if self._takes_views else len(run)):
                yield Source(row, received_us, read.group.received_us, entry, number, service, host), line
                row, number = row + 1, number + step

    def _take(self, batch: Batch, rows: Rows, given_up: dict[str, Row], source: Source, line: Line) -> None:
        control, losses = batch.control, len(batch.losses)
        try:
            if source.entry.kind:  # of LINES, which is 0, there are the most
                self._take_other(batch, given_up, source, line)
                return
            parsed = parsing.parse(line)
            if isinstance(parsed, Record):
                self._record(batch, rows, source, line, parsed)
            else:
                self._control(batch, source, line, parsed)
        except Rejected as refusal:
            self._refuse(batch, source, line, refusal)
        except NOT_OF_A_LINE:
            raise
        except Exception as error:  # noqa: BLE001 - of whatever nobody foresaw, only this line is the cause
            batch.control = control
            del batch.losses[losses:]
            what = batch.faults[source.row] = described(error)
            batch.refused_here[source.row] = self._letter(
                batch, source, line, INTERNAL_ERROR, what, self._store
            )

    def _take_other(self, batch: Batch, given_up: dict[str, Row], source: Source, line: Line) -> None:
        if source.entry.kind == EntryKind.OVERSIZE:
            raise Rejected(parsing.TOO_LONG, f"{source.entry.full_size} bytes")
        self._own(batch, given_up, source, line)

    def _control(self, batch: Batch, source: Source, line: Line, parsed: Begin | Dropped | End) -> None:
        batch.control += 1
        if isinstance(parsed, Begin):
            if erasure_marks.covers_begin(batch.erasures, parsed, source.arrived_us):
                return
            call = self._builder.call_id(parsed)
            batch.opened[call] = BegunCall(source.entry.session, begun_calls.kept(parsed), source.received_us)
        elif isinstance(parsed, End):
            batch.ended.append(source.entry.session)
        else:
            for reason, count in parsed.counts.items():
                self._loss(batch, source, "client", reason, count)

    def _record(self, batch: Batch, rows: Rows, source: Source, line: Line, record: Record) -> None:
        row = self._built(batch, source, line, record)
        if row is None:
            batch.ids.add(self._builder.call_id(record))
            return
        call = call_of(row)
        if source.entry.repeats:
            if call in batch.calls:  # the first of equal ones stands for all, whatever becomes of it
                batch.control += 1
                return
            batch.repeats[source.row] = repeat(row)
        rows.add(row, len(line))
        batch.rows.append(source.row)
        batch.ids.add(call[1])
        batch.calls.add(call)

    def _own(self, batch: Batch, given_up: dict[str, Row], source: Source, line: Line) -> None:
        own = msgspec.json.decode(line, type=OwnLine)
        if own.abandoned is None or own.store not in ("", self._store):
            batch.control += 1
        if own.store not in ("", self._store):
            return
        if own.abandoned is None:
            source.service, source.host = own.service, own.host
            self._loss(batch, source, own.stage, own.reason, own.count, own.session)
            return
        row = self._row(batch, source, line)
        if row is None:
            return
        batch.control += str(row[ID]) in given_up  # said twice: one row
        given_up[str(row[ID])] = row
        batch.abandoned[str(row[ID])] = source.row

    def _add_abandoned(self, batch: Batch, rows: Rows, given_up: dict[str, Row]) -> None:
        """Keep the abandoned calls whose record has not come in this very segment."""
        for call, row in given_up.items():
            if call in batch.ids:
                batch.control += 1
                del batch.abandoned[call]
            else:
                # A forgotten session may have begun it anew: its record may have come in the life before.
                batch.repeats[batch.abandoned[call]] = repeat(row)
                batch.rows.append(batch.abandoned[call])
                rows.add(row, 0)

    def _row(self, batch: Batch, source: Source, line: Line) -> Row | None:
        """Return the row of a line that is a record, or an abandoned call of the daemon's own; None: erased."""
        if source.entry.kind == EntryKind.OWN:
            own = msgspec.json.decode(line, type=OwnLine)
            begin = parsing.parse(own.abandoned or b"")
            if not isinstance(begin, Begin):
                raise Rejected(parsing.NOT_JSON, "not the begin line that it was")
            row = self._builder.abandoned(
                begin,
                service=own.service,
                received_us=source.received_us,
                batch_id=batch.segment.batch,
                batch_row=source.row,
            )
            return self._unless_erased(batch, source, row)[0]
        record = parsing.parse(line)
        if not isinstance(record, Record):
            raise Rejected(parsing.NOT_JSON, "not the record that it was")
        return self._built(batch, source, line, record)

    def _built(self, batch: Batch, source: Source, line: Line, record: Record) -> Row | None:
        """Return a record's row as it is stored; None where it is erased."""
        row = self._builder.row(
            record,
            line=line,
            service=source.service,
            received_us=source.received_us,
            batch_id=batch.segment.batch,
            batch_row=source.row,
        )
        finished, has_payloads = self._unless_erased(batch, source, row)
        if finished is None or not has_payloads:
            return finished
        return self._treatment.treat(finished, batch.uploads)

    def _unless_erased(self, batch: Batch, source: Source, row: Row) -> tuple[Row | None, bool]:
        """Return the finished row as an erasure leaves it, and whether it has its payloads."""
        finished = self._finish(row)
        if not batch.erasures:
            return finished, True
        left = erasure_marks.as_left(batch.erasures, row, finished, source.arrived_us)
        if left is not None:
            return left, left is finished
        batch.control += 1
        batch.erased += 1
        return None, False

    def _refuse(self, batch: Batch, source: Source, line: Line, refusal: Rejected) -> None:
        letter = self._letter(batch, source, line, refusal.reason, refusal.detail)
        batch.letters[source.row] = letter
        if refusal.reason == parsing.TOO_LONG:  # all but its head is gone
            self._loss(batch, source, "daemon", parsing.TOO_LONG, 1)
        if source.entry.session:
            batch.refused.append(RefusedLine(source.entry.session, source.number, refusal.reason))

    @staticmethod
    def _letter(
        batch: Batch, source: Source, line: Line, reason: str, detail: str, store: str = ""
    ) -> DeadLetter:
        letter = DeadLetter(
            id=":".join(filter(None, (batch.segment.batch, str(source.row), store))),
            reason=reason,
            detail=detail,
            received_us=source.received_us,
            size=source.entry.full_size or len(line),
            session=_text(source.entry.session),
            line_number=source.number,
            service=source.service,
            store=store,
        )
        return with_line(letter, line)

    def _lose(self, batch: Batch, lines: int, at_us: int) -> None:
        batch.lost += lines
        self._add_loss(batch, at_us, "spool", "damaged", lines)

    def _add_loss(self, batch: Batch, at_us: int, stage: str, reason: str, lines: int) -> None:
        """Add a loss that is of no sender's saying."""
        row, segment = len(batch.losses), batch.segment
        batch.losses.append(
            (
                at_us,
                self._host,
                "",
                "",
                stage,
                reason,
                lines,
                segment.batch,
                row,
                batch.window.fit(segment.last_us),
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


def rejected_letter(
    batch: Batch, groups: Iterable[ReadGroup], row: int, reason: str, detail: str, store: str
) -> DeadLetter:
    """Return the dead letter of a row that one store refused; its bytes come from the segment."""
    read = next(read for read in groups if row in _rows_of(read))
    line = bytes(read.body or b"").split(b"\n")[row - read.group.first_row]
    letter = DeadLetter(
        id=f"{batch.segment.batch}:{row}:{store}",
        reason=reason,
        detail=detail,
        received_us=read.group.received_us,
        size=len(line),
        store=store,
    )
    return with_line(letter, line)


def own_lines(groups: Iterable[ReadGroup]) -> Iterator[bytes]:
    """Yield the lines of a segment that the daemon wrote itself, each with its newline."""
    for read in groups:
        body, start = bytes(read.body or b""), 0
        for entry in read.group.entries if body else ():
            if entry.kind == EntryKind.OWN:
                yield from body[start : start + entry.size].splitlines(keepends=True)
            start += entry.size


def _split(run: memoryview, lines: int, most: int) -> Iterable[Line]:
    """Return the lines of a run: short ones at once; long ones each in the memory of the one before.

    What is longer than ``most`` is a view of the run.
    """
    if len(run) < LONG_LINE * lines:
        return bytes(run).split(b"\n", lines)[:lines]
    return (line if len(line) > most else bytes(line) for line in _one_by_one(run, lines))


def _one_by_one(run: memoryview, lines: int) -> Iterator[memoryview]:
    start = 0
    for left in range(lines, 0, -1):
        end = _newline(run, start) if left > 1 else len(run) - 1
        yield run[start:end]
        start = end + 1


def _newline(run: memoryview, start: int) -> int:
    """Return where the next newline is; a view cannot be searched, and a copy of it might be large."""
    for at in range(start, len(run), LONG_LINE):
        found = bytes(run[at : at + LONG_LINE]).find(b"\n")
        if found >= 0:
            return at + found
    return len(run)


def _rows_of(read: ReadGroup) -> range:
    return range(read.group.first_row, read.group.first_row + read.group.lines)


def _text(session: bytes) -> str:
    return str(uuid.UUID(bytes=session)) if session else ""
