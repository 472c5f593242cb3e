"""A daemon that is broken on purpose, in one named way: what the suite has to catch.

Invariant: the product knows nothing of this. Each mutant replaces one decision of the daemon from
outside and asserts that what it replaces is there, so that a mutant cannot become the daemon itself
when the code moves on.

Run as ``python -m tests.chaos.mutants NAME serve …``; the rest is ``llmledgerd``'s.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmledgerd.cli import daemon
from llmledgerd.delivery import attempts, batch, batch_delivery, preparer, settlement, shipper
from llmledgerd.errors import BatchRejected
from llmledgerd.ingest import connection, server
from llmledgerd.records import schema
from llmledgerd.spool import Spool, committer, log
from llmledgerd.spool.state import Snapshot, State
from llmledgerd.stores.clickhouse import client, sink

MUTANTS: dict[str, Callable[[], None]] = {}


def mutant(apply: Callable[[], None]) -> Callable[[], None]:
    MUTANTS[apply.__name__] = apply
    return apply


def replace(owner: Any, name: str, replacement: Any) -> Any:
    """Put something in the place of an attribute that exists; return what it was."""
    before = getattr(owner, name)
    setattr(owner, name, replacement)
    return before


# -- sessions -------------------------------------------------------------------------------------


@mutant
def sessions_not_recovered() -> None:
    """What each session was told is forgotten at the start."""

    def recover(self: Spool) -> list[Any]:
        damage: list[Any] = before(self)
        self.state.snapshot.sessions.clear()
        return damage

    before = replace(Spool, "recover", recover)


@mutant
def header_without_counts() -> None:
    """A header names the sessions and not how far they are; groups in the log still say it."""

    def encode(value: Any) -> bytes:
        if isinstance(value, Snapshot):
            sessions = {
                key: msgspec.structs.replace(state, durable=0) for key, state in value.sessions.items()
            }
            value = msgspec.structs.replace(value, sessions=sessions)
        return bytes(before(value))

    before = replace(log, "_encode", encode)


@mutant
def header_without_begun_calls() -> None:
    """Begun calls are forgotten with the segment that announced them."""

    def encode(value: Any) -> bytes:
        return bytes(
            before(msgspec.structs.replace(value, begun={}) if isinstance(value, Snapshot) else value)
        )

    before = replace(log, "_encode", encode)


@mutant
def received_instead_of_durable() -> None:
    """A hello is answered with the lines that were read, synced or not."""
    read: dict[bytes, int] = {}

    async def open_(self: server.Listener, peer: connection.Peer, hello: Any) -> None:
        flush = replace(self.committer, "flush", _at_once)
        session = uuid.UUID(hello.session).bytes
        older = self._sessions.get(session)
        if older is not None:
            read[session] = older.next_line - 1
        try:
            hello.first = max(hello.first, read.get(session, 0) + 1)
            await before(self, peer, hello)
        finally:
            self.committer.flush = flush  # type: ignore[method-assign]  # put back what was replaced

    def lost(self: server.Listener, peer: connection.Peer) -> None:
        if peer.session:
            read[peer.session] = peer.next_line - 1
        before_lost(self, peer)

    before = replace(server.Listener, "_open", open_)
    before_lost = replace(server.Listener, "lost", lost)


@mutant
def forgotten_sessions_not_asked_about() -> None:
    """Lines of a session that the daemon has forgotten are taken for new."""

    async def leave_out(self: batch_delivery.BatchDelivery) -> None:
        self._batch.repeats = {}
        await before(self)

    before = replace(batch_delivery.BatchDelivery, "leave_out_repeats", leave_out)


@mutant
def sessions_forgotten_that_wait() -> None:
    """A session is as old as its last line, whether that is stored or not."""
    replace(Spool, "waiting_sessions", lambda self: set())


@mutant
def hello_without_flush() -> None:
    """A hello is answered with what is on the disk, while what was read before it is on its way there."""

    async def open_(self: server.Listener, peer: connection.Peer, hello: Any) -> None:
        flush = replace(self.committer, "flush", _at_once)
        try:
            await before(self, peer, hello)
        finally:
            self.committer.flush = flush  # type: ignore[method-assign]  # put back what was replaced

    before = replace(server.Listener, "_open", open_)


@mutant
def own_rows_taken_for_others() -> None:
    """A batch's own rows, of an insert that nobody heard of, keep it from being theirs."""

    def calls_present(
        self: sink.ClickHouseSink, calls: Any, from_us: int, to_us: int, *, besides: str
    ) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = before(self, calls, from_us, to_us, besides=str(uuid.UUID(int=0)))
        return found

    before = replace(sink.ClickHouseSink, "calls_present", calls_present)


@mutant
def repeats_beside_each_other() -> None:
    """A segment does not wait for what its lines may repeat."""

    async def wait(self: shipper.Shipper, made: batch.Batch) -> None:
        return

    replace(shipper.Shipper, "_wait_for_repeated", wait)


@mutant
def repeats_within_a_batch() -> None:
    """Equal ids among the repeats of a batch are as many rows."""

    def call_of(row: Any) -> tuple[str, str]:
        organization, call = before(row)
        return organization, f"{call} {next(numbers)}"

    numbers = itertools.count()
    before = replace(preparer, "call_of", call_of)


# -- durable -----------------------------------------------------------------------------------------


@mutant
def answer_before_the_write() -> None:
    """Lines are called durable when they are queued."""

    def add(self: committer.Committer, run: committer.Run) -> None:
        before(self, run)
        self._hooks.on_durable([run.entry])

    before = replace(committer.Committer, "add", add)


@mutant
def segment_gone_before_the_insert() -> None:
    """A segment is written off and deleted first, and inserted then."""

    async def ship(self: shipper.Shipper, segment: Any, earlier: Any) -> None:
        made = await self._reader.read(segment)
        await self._settlement.settle(made)
        await batch_delivery.BatchDelivery(self._context, made).deliver_rows()

    replace(shipper.Shipper, "_ship", ship)


@mutant
def losses_after_the_settle() -> None:
    """A segment is written off and deleted first, and its losses are inserted then."""

    async def deliver(self: batch_delivery.BatchDelivery) -> None:
        return

    async def settle(self: settlement.Settlement, made: batch.Batch) -> None:
        await before_settle(self, made)
        await before_deliver(batch_delivery.BatchDelivery(self._context, made))

    before_deliver = replace(batch_delivery.BatchDelivery, "deliver_losses", deliver)
    before_settle = replace(settlement.Settlement, "settle", settle)


# -- inserts -------------------------------------------------------------------------------------------


@mutant
def no_asking() -> None:
    """After an unknown outcome the same rows are simply offered again."""

    def busy(self: attempts.Delivery, error: Exception) -> None:
        self._uncertain = False

    def init(self: attempts.Delivery, batch_id: str, numbers: Any, *, uncertain: bool) -> None:
        before(self, batch_id, numbers, uncertain=False)

    replace(attempts.Delivery, "busy", busy)
    before = replace(attempts.Delivery, "__init__", init)


@mutant
def halves_not_asked_about() -> None:
    """A refused block is halved on the assumption that none of it was ever stored."""

    def rejected(self: attempts.Delivery, error: BatchRejected) -> None:
        before(self, error)
        self._uncertain = False
        for part in self._parts:
            part.is_cleared = True

    no_asking()
    before = replace(attempts.Delivery, "rejected", rejected)


def _rows_differ_per_try() -> None:
    """Give every encoding of a row a ``source`` of its own, so that the server sees other content."""
    tries = itertools.count(1)
    source = schema.COLUMNS.index("source")

    def differing(before: Any) -> Any:
        def encode(
            self: client.Store, table: str, columns: Sequence[str], given: Sequence[Sequence[Any]]
        ) -> Any:
            if table == schema.TRACES:
                attempt = f"try {next(tries)}"
                given = [(*row[:source], attempt, *row[source + 1 :]) for row in given]
            return before(self, table, columns, given)

        return encode

    for name in ("encode", "encode_in_pieces"):
        replace(client.Store, name, differing(getattr(client.Store, name)))


@mutant
def rows_that_differ_per_try() -> None:
    """Not broken: the control for ``token_left_out``, which tells that the token is what saves."""
    _rows_differ_per_try()


@mutant
def token_left_out() -> None:
    """Without a token the server knows a repeat by equal content alone."""
    _rows_differ_per_try()

    def insert_blocks(
        self: client.Store,
        table: str,
        columns: Sequence[str],
        blocks: Any,
        token: str,
        *,
        at: int | None = None,
    ) -> None:
        before(self, table, columns, blocks, "", at=at)

    before = replace(client.Store, "insert_blocks", insert_blocks)


# -- the machine ---------------------------------------------------------------------------------------


@mutant
def another_time() -> None:
    """Not broken: its machine's clock is wrong by as many seconds as the file TIME_OFF says, and may be set."""
    path = Path(os.environ["TIME_OFF"])
    before = time.time_ns

    def time_ns() -> int:
        return before() + int(float(path.read_text()) * 1e9)

    replace(time, "time_ns", time_ns)


@mutant
def no_file_is_synced() -> None:
    """A file's bytes are left to reach the disk when they may."""
    replace(os, "fdatasync", lambda descriptor: None)


@mutant
def no_folder_is_synced() -> None:
    """A folder's names are left to reach the disk when they may."""
    replace(os, "fsync", lambda descriptor: None)


# -- order ---------------------------------------------------------------------------------------------


@mutant
def settled_out_of_order() -> None:
    """A segment does not wait for the one before it."""

    async def ship(self: shipper.Shipper, segment: Any, earlier: Any) -> None:
        await before(self, segment, None)

    before = replace(shipper.Shipper, "_ship", ship)


@mutant
def abandoned_rows_stay() -> None:
    """A record that comes late does not replace the row that stands for it."""

    async def delete(self: settlement.Settlement, further: Any, *, at_once: bool = False) -> list[Any]:
        return []

    replace(settlement.Settlement, "_delete_due", delete)


@mutant
def dead_senders_not_remembered() -> None:
    """That a session was given up is not written down, so that every start counts it again."""

    def received_group(self: State, group: Any) -> None:
        group.over = []
        before(self, group)

    before = replace(State, "received_group", received_group)


async def _at_once() -> None:
    await asyncio.sleep(0)


def main() -> None:
    name = sys.argv.pop(1)
    MUTANTS[name]()
    daemon.main()


if __name__ == "__main__":
    main()
