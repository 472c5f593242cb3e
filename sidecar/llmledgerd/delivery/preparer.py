"""Preparation: a segment's lines become a batch of rows, losses and dead letters. Pure.

Invariant: every line of the segment is in exactly one of rows, dead letters, control lines and
lost lines, and the same segment gives the same batch however often it is prepared.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from llmledger.protocol import Begin, End, Record
from llmledgerd.delivery import erasure_marks
from llmledgerd.delivery.batch import Batch, Source, line_letter, rejected_letter, session_text
from llmledgerd.delivery.faults import INTERNAL_ERROR, NOT_OF_A_LINE, described
from llmledgerd.delivery.ready_lines import Ready, ready_lines
from llmledgerd.delivery.row_blocks import Encode, Rows
from llmledgerd.delivery.segment_lines import LARGE_LINE, Line, rows_of, split_run
from llmledgerd.errors import Rejected
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.treatment import Treatment
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.query.erasure import Erasure
from llmledgerd.records import begun_calls, parsing, twice_told
from llmledgerd.records.parsing import Dropped
from llmledgerd.records.repeats import call_of, name_of, placeholder, repeat
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import Row
from llmledgerd.records.steps import Steps, alone
from llmledgerd.records.timestamps import NEVER_US
from llmledgerd.spool import ONLY_STORE, BegunCall, EntryKind, ReadGroup, Segment, SessionState
from llmledgerd.spool.own_lines import OwnLine, RefusedLine
from llmledgerd.stores.receipt_window import Window


class PreparerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one store's ``Preparer``."""

    host: str
    """This machine's name, for losses that no sender reported."""
    store: str = ONLY_STORE
    finish: Callable[[Row], Row] | None = None
    """Hides what may not be stored; without it rows stay as they are."""
    treatment: Treatment | None = None
    """Decides where the payloads of a finished row go; without it they stay."""
    takes_views: bool = False
    """``encode`` accepts payloads that are views of their line."""
    erasures: Callable[[], tuple[Erasure, ...]] = tuple
    """Return the erasures in force."""
    late_after_us: int = NEVER_US
    """Age of a record, from its start to its receipt, at which its call may be an abandoned one that was forgotten."""
    knows_otlp: bool = False
    """Whether OTLP is received, so that a call may be told twice."""


class Preparer:
    """Prepares segments as batches of one store."""

    def __init__(
        self,
        builder: RowBuilder,
        encode: Encode,
        sessions: Callable[[], Mapping[bytes, SessionState]],
        options: PreparerOptions,
    ) -> None:
        """``sessions`` returns what is known of the senders' sessions."""
        treatment = options.treatment
        self._finish = options.finish or (lambda row: row)
        # What is hidden or taken out is looked for in bytes, and only one store's blocks refer to a line.
        self._is_plain = options.finish is None and (treatment is None or treatment.is_idle)
        """Whether rows stay as they are."""
        self._takes_views = options.takes_views and self._is_plain
        self._store = options.store
        self._builder = builder
        self._treatment = treatment or Treatment(Policy(Decision()))
        self._encode = encode
        self._sessions = sessions
        self._host = options.host
        self._erasures = options.erasures
        self._knows_otlp = options.knows_otlp
        self._late_after_us = options.late_after_us

    def prepare(
        self,
        segment: Segment,
        read: Callable[[Segment], Iterable[ReadGroup]],
        window: Window | None = None,
        failed: Mapping[int, str] = {},
    ) -> Batch:
        """Parse every line of a segment; ``read`` returns its groups, each time that it is called.

        What was received outside of the ``window`` is stored as if it had been received now. ``failed``
        are lines that met an internal error before, by their index in the segment: once decided, a line
        stays a dead letter, also where a newer daemon would not fail.
        """
        batch = Batch(segment=segment, window=window or Window(), erasures=self._erasures())
        batch.from_us, batch.to_us = batch.window.searched(
            segment.first_us, segment.last_us, recovered=segment.recovered
        )
        rows, found = Rows(self._encode), 0
        given_up: dict[str, Row] = {}
        for group in read(segment):
            found += group.group.lines
            self._take_group(batch, rows, given_up, group, failed)
        if found < segment.rows:  # a group's head was damaged after it was written
            self._lose(batch, segment.rows - found, batch.window.fit(segment.last_us))
        for call in batch.closed(batch.opened):
            del batch.opened[call]
        self._add_abandoned(batch, rows, given_up)
        if batch.erased:
            self._add_loss(batch, segment.last_us, "daemon", "erased", batch.erased)
        rows.close()
        self._leave_out_unencodable(batch, rows, read)
        batch.rows = sorted(row for row in batch.rows if row not in rows.refused and row not in rows.failed)
        batch.blocks = rows.blocks
        batch.started_us = array("q", sorted(rows.started_us))
        return batch

    def _take_group(
        self,
        batch: Batch,
        rows: Rows,
        given_up: dict[str, Row],
        group: ReadGroup,
        failed: Mapping[int, str],
    ) -> None:
        if batch.window.fit(group.group.received_us) != group.group.received_us:
            self._builder.counts["receipt_replaced"] += group.group.lines
        if group.body is None:
            self._lose(batch, group.group.lines, batch.window.fit(group.group.received_us))
            return
        lines = self._lines(group, batch.window)
        for ready in ready_lines(
            lines,
            partial(self._steps, batch),
            lambda source: not source.entry.kind and source.row not in failed,
        ):
            source, line = ready.source, ready.line
            if source.row in failed:
                batch.refused_here[source.row] = line_letter(
                    batch, source, line, INTERNAL_ERROR, failed[source.row], self._store
                )
            else:
                self._take(batch, rows, given_up, ready)

    def _leave_out_unencodable(
        self, batch: Batch, rows: Rows, read: Callable[[Segment], Iterable[ReadGroup]]
    ) -> None:
        """Make dead letters of the rows that could not be encoded."""
        segment = batch.segment
        for reason, left_out in (("not_encodable", rows.refused), (INTERNAL_ERROR, rows.failed)):
            for row, why in left_out.items():
                batch.refused_here[row] = rejected_letter(batch, read(segment), row, reason, why, self._store)
                batch.repeats.pop(row, None)
                batch.spans.pop(row, None)
        batch.faults.update(rows.failed)

    def encode_some(self, groups: Iterable[ReadGroup], batch: Batch, wanted: Collection[int]) -> Rows:
        """Return some rows of a batch, encoded again."""
        rows, chosen = Rows(self._encode), frozenset(wanted)
        for group in groups:
            if group.body is None or chosen.isdisjoint(rows_of(group)):
                continue
            for source, line in self._lines(group, batch.window):
                if source.row in chosen and (row := self._row(batch, source, line)) is not None:
                    rows.add(row, len(line))
        rows.close()
        return rows

    def erased_objects(
        self, groups: Iterable[ReadGroup], batch: Batch, erasures: Sequence[Erasure]
    ) -> Uploads:
        """Return the objects that attempts to store lines may have uploaded which the erasures take."""
        uploads = Uploads()
        for group in groups if not self._treatment.is_idle else ():
            for source, line in self._lines(group, batch.window) if group.body is not None else ():
                if source.entry.kind:  # the daemon's own lines have no payloads
                    continue
                try:
                    record = parsing.parse(line)
                    row = (
                        alone(self._steps(batch, source, line, record))
                        if isinstance(record, Record)
                        else None
                    )
                except NOT_OF_A_LINE:
                    raise
                except Exception:  # noqa: BLE001, S112 - of such a line nothing was uploaded: it is a dead letter
                    continue
                if row is not None and erasure_marks.covers(
                    erasures, row, self._finish(row), source.arrived_us
                ):
                    self._treatment.treat(self._finish(row), uploads)
        return uploads

    def _lines(self, read: ReadGroup, window: Window) -> Iterator[tuple[Source, Line]]:
        body = memoryview(read.body or b"")
        row, start, received_us = read.group.first_row, 0, window.fit(read.group.received_us)
        sessions = self._sessions()
        for entry in read.group.entries:
            session = sessions.get(entry.session)
            service, host = (session.service, session.host) if session else ("", "")
            number, step = (entry.first, 1) if entry.session else (0, 0)
            run, start = body[start : start + entry.size], start + entry.size
            for line in split_run(run, entry.lines, LARGE_LINE if self._takes_views else len(run)):
                yield Source(row, received_us, read.group.received_us, entry, number, service, host), line
                row, number = row + 1, number + step

    def _take(self, batch: Batch, rows: Rows, given_up: dict[str, Row], ready: Ready) -> None:
        control, losses = batch.control, len(batch.losses)
        source, line, parsed = ready.source, ready.line, ready.parsed
        try:
            if ready.error is not None:
                raise ready.error
            if parsed is None:  # of lines that are records, there are the most
                self._take_other(batch, given_up, source, line)
            elif isinstance(parsed, Record):
                self._record(batch, rows, ready, parsed)
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
            batch.refused_here[source.row] = line_letter(
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
            name = name_of((parsed.org_id or "", self._builder.call_id(parsed)))
            batch.opened[name] = BegunCall(source.entry.session, begun_calls.kept(parsed), source.received_us)
        elif isinstance(parsed, End):
            batch.ended.append(source.entry.session)
        else:
            for reason, count in parsed.counts.items():
                self._loss(batch, source, "client", reason, count)

    def _record(self, batch: Batch, rows: Rows, ready: Ready, record: Record) -> None:
        source = ready.source
        row = self._left(batch, source, ready.row)
        if row is None:
            batch.erased_calls.add((record.org_id or "", self._builder.call_id(record)))
            return
        call = call_of(row)
        if source.entry.repeats or record.may_repeat:
            if call in batch.calls:  # the first of equal ones stands for all, whatever becomes of it
                batch.control += 1
                return
            session = self._session(source)
            batch.repeats[source.row] = repeat(row, client=session.client if session else "")
        if self._knows_otlp:
            if twice_told.is_of_otlp(row):
                batch.spans[source.row] = twice_told.told(row)
            else:
                batch.recorded.append(twice_told.told(row))
        given_up = placeholder(row, self._late_after_us, lambda: self._is_resumed(source))
        if given_up is not None:
            batch.overdue.append(given_up)
        rows.add(row, len(ready.line))
        batch.rows.append(source.row)
        batch.calls.add(call)

    def _session(self, source: Source) -> SessionState | None:
        return self._sessions().get(source.entry.session)

    def _is_resumed(self, source: Source) -> bool:
        """Return whether the daemon had forgotten the line's session."""
        session = self._session(source)
        return session is not None and session.suspect_until > 0

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
        name = name_of(call_of(row))
        batch.control += name in given_up  # declared twice: one row
        given_up[name] = row
        batch.abandoned[name] = source.row

    def _add_abandoned(self, batch: Batch, rows: Rows, given_up: dict[str, Row]) -> None:
        """Keep the abandoned calls whose record has not come in this very segment."""
        closed = batch.closed(given_up)
        for call, row in given_up.items():
            if call in closed:
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
        return self._left(batch, source, alone(self._steps(batch, source, line, record)))

    def _steps(self, batch: Batch, source: Source, line: Line, record: Record) -> Steps[Row]:
        return self._builder.steps(
            record,
            line=line,
            service=source.service,
            received_us=source.received_us,
            batch_id=batch.segment.batch,
            batch_row=source.row,
        )

    def _left(self, batch: Batch, source: Source, row: Row) -> Row | None:
        """Return a record's row as it is stored; None where it is erased."""
        if self._is_plain and not batch.erasures:
            return row
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
        letter = line_letter(batch, source, line, refusal.reason, refusal.detail)
        batch.letters[source.row] = letter
        if refusal.reason == parsing.TOO_LONG:  # all but its head is gone
            self._loss(batch, source, "daemon", parsing.TOO_LONG, 1)
        if source.entry.session:
            batch.refused.append(RefusedLine(source.entry.session, source.number, refusal.reason))

    def _lose(self, batch: Batch, lines: int, at_us: int) -> None:
        batch.lost += lines
        self._add_loss(batch, at_us, "spool", "damaged", lines)

    def _add_loss(self, batch: Batch, at_us: int, stage: str, reason: str, lines: int) -> None:
        """Add a loss that no sender reported."""
        row, segment = len(batch.losses), batch.segment
        settled_us = batch.window.fit(segment.last_us)
        batch.losses.append((at_us, self._host, "", "", stage, reason, lines, segment.batch, row, settled_us))

    def _loss(
        self, batch: Batch, source: Source, stage: str, reason: str, count: int | None, session: str = ""
    ) -> None:
        host = source.host or self._host
        named = session or session_text(source.entry.session)
        row = len(batch.losses)
        at = source.received_us
        batch.losses.append(
            (at, host, source.service, named, stage, reason, count, batch.segment.batch, row, at)
        )
