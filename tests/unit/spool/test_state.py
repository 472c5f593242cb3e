"""What the spool remembers is the same whether it was there or has replayed it."""

from __future__ import annotations

from llmtraced.spool import BegunCall, Condemned, Entry, EntryKind, Group, SessionState, Settled, State
from llmtraced.spool.state import NEVER

A, B = b"\x01" * 16, b"\x02" * 16
HOUR_US = 3_600_000_000


def lines(session: bytes, first: int, count: int, kind: EntryKind = EntryKind.LINES) -> Entry:
    return Entry(kind, session, first, count, 10 * count)


def test_a_durable_count_never_goes_back() -> None:
    state = State()
    state.received_group(Group(5, 0, [lines(A, 1, 4)]))
    state.received_group(Group(6, 4, [], hellos={A: SessionState(2, 6, "service")}))
    assert state.snapshot.sessions[A].durable == 4
    assert state.snapshot.sessions[A].service == "service"
    state.received_group(Group(7, 4, [lines(A, 3, 1)]))
    assert state.snapshot.sessions[A].durable == 4


def test_a_hello_counts_lines_that_the_sender_no_longer_has() -> None:
    state = State()
    state.received_group(Group(5, 0, [lines(A, 10, 2)], hellos={A: SessionState(9, 5)}))
    assert state.snapshot.sessions[A].durable == 11


def test_an_ended_session_stays_ended_when_it_says_hello_again() -> None:
    state = State()
    state.received_group(Group(5, 0, [lines(A, 1, 1)]))
    state.settle(Settled(segment=1, control=1, ended=[A]))
    state.received_group(Group(6, 0, [], hellos={A: SessionState(1, 6)}))
    assert state.snapshot.sessions[A].ended


def test_one_way_and_own_lines_count_as_received_and_touch_no_session() -> None:
    state = State()
    state.received_group(Group(5, 0, [lines(b"", 0, 3), lines(A, 1, 1, EntryKind.OWN)]))
    assert state.snapshot.received == 4
    assert state.snapshot.sessions == {}


def test_a_begun_call_is_open_then_abandoned_then_settled_by_its_record() -> None:
    state = State()
    state.settle(Settled(segment=1, control=1, opened={"call": BegunCall(A, b"{}", 5)}))
    assert set(state.snapshot.begun) == {"call"}
    state.received_group(Group(9, 0, [lines(b"", 0, 1, EntryKind.OWN)], orphans=["call", "unknown"]))
    assert not state.snapshot.begun
    assert state.snapshot.abandoned == {"call": 9}
    state.settle(Settled(segment=2, stored=1, closed=["call"]))
    assert not state.snapshot.abandoned


def test_decisions_on_rows_are_kept_until_their_segment_is_settled() -> None:
    state = State()
    state.condemn(Condemned(1, 7, "refused", "why"))
    state.condemn(Condemned(2, 0, "refused", "why"))
    assert state.snapshot.condemned == {1: {7: ("refused", "why")}, 2: {0: ("refused", "why")}}
    state.settle(Settled(segment=1, dead=1))
    assert set(state.snapshot.condemned) == {2}


def test_a_deletion_that_is_certain_is_forgotten_with_what_was_known_of_its_segment() -> None:
    state = State()
    for number in (1, 2):
        state.cut(number, 100)
        state.settle(Settled(segment=number))
    state.deleted({1})
    assert state.snapshot.settled == [2]
    assert state.snapshot.cut == {2: 100}


def test_a_session_is_forgotten_after_its_time_unless_it_is_busy() -> None:
    state = State()
    state.received_group(Group(0, 0, [lines(A, 1, 1), lines(B, 1, 1)]))
    state.snapshot.sessions[B].ended = True
    state.snapshot.abandoned["call"] = 0

    def forget(now_us: int, busy: set[bytes]) -> set[bytes]:
        state.forget(now_us, memory_us=24 * HOUR_US, ended_memory_us=HOUR_US, busy=busy)
        return set(state.snapshot.sessions)

    assert forget(HOUR_US, set()) == {A, B}
    assert forget(2 * HOUR_US, {B}) == {A, B}
    assert forget(2 * HOUR_US, set()) == {A}
    assert state.snapshot.abandoned
    assert forget(25 * HOUR_US, set()) == set()
    assert not state.snapshot.abandoned


def test_lines_that_are_gone_without_a_trace_become_losses() -> None:
    state = State()
    state.received_group(Group(0, 0, [lines(A, 1, 10)]))
    assert state.reconcile(waiting=7) == 3
    assert state.snapshot.lost == 3
    assert state.reconcile(waiting=7) == 0


def test_lines_that_are_there_and_were_never_counted_are_received() -> None:
    state = State()
    state.received_group(Group(0, 0, [lines(A, 1, 10)]))
    assert state.reconcile(waiting=12) == 0
    assert (state.snapshot.received, state.snapshot.lost) == (12, 0)


def test_every_session_is_suspect_once_a_part_of_the_log_is_gone() -> None:
    state = State()
    state.received_group(Group(0, 0, [lines(A, 1, 1)]))
    state.suspect_all()
    assert state.snapshot.sessions[A].suspect_until == NEVER
