"""What the spool remembers is the same whether it was there or has replayed it."""

from __future__ import annotations

from llmledgerd.spool import (
    ONLY_STORE,
    BegunCall,
    Entry,
    EntryKind,
    Group,
    Progress,
    RejectedRow,
    SessionState,
    Settled,
    State,
)
from llmledgerd.spool.state import NEVER

A, B = b"\x01" * 16, b"\x02" * 16
HOUR_US = 3_600_000_000


def fresh(*stores: str) -> State:
    state = State()
    state.put_in_force(stores or (ONLY_STORE,), {}, 0)
    return state


def lines(session: bytes, first: int, count: int, kind: EntryKind = EntryKind.LINES) -> Entry:
    return Entry(kind, session, first, count, 10 * count)


def test_a_durable_count_never_goes_back() -> None:
    state = fresh()
    state.received_group(Group(5, 0, [lines(A, 1, 4)]))
    state.received_group(Group(6, 4, [], hellos={A: SessionState(2, 6, "service")}))
    assert state.snapshot.sessions[A].durable == 4
    assert state.snapshot.sessions[A].service == "service"
    state.received_group(Group(7, 4, [lines(A, 3, 1)]))
    assert state.snapshot.sessions[A].durable == 4


def test_a_hello_counts_lines_that_the_sender_no_longer_has() -> None:
    state = fresh()
    state.received_group(Group(5, 0, [lines(A, 10, 2)], hellos={A: SessionState(9, 5)}))
    assert state.snapshot.sessions[A].durable == 11


def test_an_ended_session_stays_ended_when_it_says_hello_again() -> None:
    state = fresh()
    state.received_group(Group(5, 0, [lines(A, 1, 1)]))
    state.settle(Settled(segment=1, control=1, ended=[A]))
    state.received_group(Group(6, 0, [], hellos={A: SessionState(1, 6)}))
    assert state.snapshot.sessions[A].ended


def test_one_way_and_own_lines_count_as_received_and_touch_no_session() -> None:
    state = fresh()
    state.received_group(Group(5, 0, [lines(b"", 0, 3), lines(A, 1, 1, EntryKind.OWN)]))
    assert state.snapshot.stores[ONLY_STORE].received == 4
    assert state.snapshot.sessions == {}


def test_a_begun_call_is_open_then_abandoned_then_settled_by_its_record() -> None:
    state = fresh()
    state.settle(Settled(segment=1, control=1, opened={"call": BegunCall(A, b"{}", 5)}))
    assert set(state.snapshot.begun) == {"call"}
    state.received_group(Group(9, 0, [lines(b"", 0, 1, EntryKind.OWN)], orphans=["call", "unknown"]))
    assert not state.snapshot.begun
    assert state.snapshot.abandoned == {"call": 9}
    state.settle(Settled(segment=2, stored=1, closed=["call"]))
    assert not state.snapshot.abandoned


def test_decisions_on_rows_are_kept_until_their_segment_is_settled() -> None:
    state = fresh()
    state.reject_row(RejectedRow(1, 7, "refused", "why"))
    state.reject_row(RejectedRow(2, 0, "refused", "why"))
    rejected = state.snapshot.stores[ONLY_STORE].rejected
    assert rejected == {1: {7: ("refused", "why")}, 2: {0: ("refused", "why")}}
    state.settle(Settled(segment=1, dead=1))
    assert set(rejected) == {2}


def test_a_deletion_that_is_certain_is_forgotten_with_what_was_known_of_its_segment() -> None:
    state = fresh()
    for number in (1, 2):
        state.cut(number, 100)
        state.settle(Settled(segment=number))
    state.deleted({1})
    assert state.snapshot.stores[ONLY_STORE].settled == [(2, 2)]
    assert state.snapshot.cut == {2: 100}


def test_a_session_is_forgotten_after_its_time_unless_it_is_busy() -> None:
    state = fresh()
    state.received_group(Group(0, 0, [lines(A, 1, 1), lines(B, 1, 1)]))
    state.snapshot.sessions[B].ended = True
    state.snapshot.abandoned["call"] = 0

    def forget(now_us: int, busy: set[bytes]) -> set[bytes]:
        state.forget(now_us, memory_us=24 * HOUR_US, ended_memory_us=HOUR_US, busy=busy, oldest_us=now_us)
        return set(state.snapshot.sessions)

    assert forget(HOUR_US, set()) == {A, B}
    assert forget(2 * HOUR_US, {B}) == {A, B}
    assert forget(2 * HOUR_US, set()) == {A}
    assert state.snapshot.abandoned
    assert forget(25 * HOUR_US, set()) == set()
    assert not state.snapshot.abandoned


def test_lines_that_are_gone_without_a_trace_become_losses() -> None:
    progress = Progress(received=10)
    assert progress.reconcile(waiting=7) == 3
    assert progress.lost == 3
    assert progress.reconcile(waiting=7) == 0


def test_lines_that_are_there_and_were_never_counted_are_received() -> None:
    progress = Progress(received=10)
    assert progress.reconcile(waiting=12) == 0
    assert (progress.received, progress.lost) == (12, 0)


def test_every_session_is_suspect_once_a_part_of_the_log_is_gone() -> None:
    state = fresh()
    state.received_group(Group(0, 0, [lines(A, 1, 1)]))
    state.suspect_all()
    assert state.snapshot.sessions[A].suspect_until == NEVER


A_STORE, B_STORE = "clickhouse", "postgres"


def test_a_segment_waits_until_the_last_store_has_settled_it() -> None:
    state = fresh(A_STORE, B_STORE)
    state.settle(Settled(segment=1, store=A_STORE, stored=2))
    assert state.wanting(1) == [B_STORE]
    state.settle(Settled(segment=1, store=B_STORE, stored=1, dead=1, reads=False))
    assert state.wanting(1) == []
    assert state.snapshot.stores[A_STORE].stored == 2
    assert state.snapshot.stores[B_STORE].dead == 1


def test_a_call_that_came_late_is_remembered_until_every_store_has_its_record() -> None:
    state = fresh(A_STORE, B_STORE)
    state.snapshot.abandoned["call"] = 5
    state.settle(Settled(segment=3, store=A_STORE, closed=["call"]))
    assert state.snapshot.late == {3: ["call"]}
    state.settle(Settled(segment=3, store=B_STORE, reads=False))
    assert state.snapshot.late == {}


def test_a_call_that_was_given_up_is_remembered_as_long_as_its_row_may_wait() -> None:
    state = fresh()
    state.snapshot.abandoned["call"] = HOUR_US
    for oldest_us, left in ((HOUR_US, {"call"}), (HOUR_US + 1, set())):
        state.forget(
            99 * HOUR_US, memory_us=HOUR_US, ended_memory_us=HOUR_US, busy=set(), oldest_us=oldest_us
        )
        assert set(state.snapshot.abandoned) == left


def test_a_store_that_is_added_begins_at_now() -> None:
    state = fresh(A_STORE)
    change = state.put_in_force([A_STORE, B_STORE], {7: 10, 8: 10}, 9)
    assert change.added == {B_STORE: 9}
    assert (state.wanting(7), state.wanting(9)) == ([A_STORE], [A_STORE, B_STORE])


def test_a_store_that_takes_another_s_place_gets_what_nobody_has() -> None:
    state = fresh(A_STORE)
    state.settle(Settled(segment=6, store=A_STORE))
    change = state.put_in_force([B_STORE], {6: 1, 7: 10, 8: 10}, 9)
    assert change.added == {B_STORE: 7}
    assert change.removed == {A_STORE: 20}
    assert [state.wanting(number) for number in (6, 7, 8)] == [[], [B_STORE], [B_STORE]]


def test_a_store_that_is_removed_is_forgotten_with_what_waited_for_it_alone() -> None:
    state = fresh(A_STORE, B_STORE)
    state.settle(Settled(segment=7, store=A_STORE))
    assert state.put_in_force([A_STORE], {7: 10, 8: 5}, 9).removed == {B_STORE: 15}
    assert (state.wanting(7), state.wanting(8)) == ([], [A_STORE])
