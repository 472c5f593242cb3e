"""Batch: what has to be stored of a segment, and the dead letters of its lines. Pure.

Invariant: a dead letter has the same id however often its line is read.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence

import msgspec

from llmledgerd.delivery.segment_lines import Line, rows_of
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.repeats import Call, Repeat, answered_by, name_of
from llmledgerd.records.twice_told import Told
from llmledgerd.spool import BegunCall, Entry, ReadGroup, Segment
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.stores.base import Buffer
from llmledgerd.stores.receipt_window import Window


class Batch(msgspec.Struct, kw_only=True):
    """Contents of a segment, by what has to be done with them."""

    segment: Segment
    rows: list[int] = []
    """Which lines are rows of ``llm_traces``, by their index in the segment."""
    blocks: list[Buffer] | None = None
    """All of the rows, encoded; None where they have to be encoded again."""
    started_us: Sequence[int] = ()
    """When the calls of all these rows started, in order."""
    uploads: Uploads = msgspec.field(default_factory=Uploads)
    """Objects that are uploaded before the rows are inserted."""
    calls: set[Call] = set()
    """Of the records."""
    erased_calls: set[Call] = set()
    """Of records that an erasure took."""
    answered: set[str] | None = None
    """Names of the begun calls that any of these may answer, once they were asked for."""
    letters: dict[int, DeadLetter] = {}
    """Lines that are invalid in every store."""
    refused_here: dict[int, DeadLetter] = {}
    """Rows that this store rejects, and lines that met an internal error."""
    faults: dict[int, str] = {}
    """Of these, internal errors that are not written to the spool yet: row -> what went wrong."""
    refused: list[RefusedLine] = []
    losses: list[tuple[object, ...]] = []
    opened: dict[str, BegunCall] = {}
    ended: list[bytes] = []
    abandoned: dict[str, int] = {}
    """Calls that this segment declares abandoned: name -> row."""
    repeats: dict[int, Repeat] = {}
    """Lines that the store may have already, by row: it is queried for them."""
    overdue: list[Repeat] = []
    """Calls with a record so late that the daemon may have forgotten their abandoned rows."""
    spans: dict[int, Told] = {}
    """Rows made of OTLP, whose calls a record may tell of as well."""
    recorded: list[Told] = []
    """Records of this batch that may tell of such calls; only where OTLP is received."""
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

    def closed(self, begun: Collection[str]) -> list[str]:
        """Return those of the begun calls, by name, whose record has come. To be asked when all lines are read.

        The names of all calls are made only for this: most batches have no call that was begun.
        """
        if not begun:
            return []
        if self.answered is None:
            calls = self.calls | self.erased_calls
            self.answered = {name_of(one) for call in calls for one in answered_by(call)}
        return [name for name in begun if name in self.answered]


class Source(msgspec.Struct, gc=False):
    """Origin of a line."""

    row: int
    received_us: int
    """As it is stored: within the store's window."""
    arrived_us: int
    """As it was."""
    entry: Entry
    number: int
    service: str
    host: str


def line_letter(
    batch: Batch, source: Source, line: Line, reason: str, detail: str, store: str = ""
) -> DeadLetter:
    """Return the dead letter of a line; one of all stores where ``store`` is empty."""
    letter = DeadLetter(
        id=":".join(filter(None, (batch.segment.batch, str(source.row), store))),
        reason=reason,
        detail=detail,
        received_us=source.received_us,
        size=source.entry.full_size or len(line),
        session=session_text(source.entry.session),
        line_number=source.number,
        service=source.service,
        store=store,
    )
    return with_line(letter, line)


def rejected_letter(
    batch: Batch, groups: Iterable[ReadGroup], row: int, reason: str, detail: str, store: str
) -> DeadLetter:
    """Return the dead letter of a row that one store refused; its bytes come from the segment."""
    read = next(read for read in groups if row in rows_of(read))
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


def session_text(session: bytes) -> str:
    """Return a session's UUID as text; empty for none."""
    return str(uuid.UUID(bytes=session)) if session else ""
