"""What is remembered fits a header, whatever is sent; who has most loses first, and what is lost is counted."""

from __future__ import annotations

from random import Random

import msgspec

from llmledgerd.spool import BegunCall, Group, SessionState, Settled, State, bounds
from llmledgerd.spool.bounds import Limits
from llmledgerd.spool.snapshot_budget import CALL_FORGOTTEN, MOST_SERVICES, SESSION_FORGOTTEN
from llmledgerd.spool.state import NEVER, Snapshot

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))
encoded = msgspec.msgpack.encode


def calls(session: bytes, count: int, name: str = "call") -> dict[str, BegunCall]:
    return {f"{name}-{number}": BegunCall(session, b"x" * 10, 5) for number in range(count)}


def test_what_is_counted_of_a_session_or_a_call_is_never_less_than_a_header_takes() -> None:
    dice = Random(1)
    text = ["", "a", "é" * 128, "\N{PILE OF POO}" * 128, "s" * 128]
    for _ in range(500):
        service, host, client = (dice.choice(text) for _ in range(3))
        durable, pid = dice.choice([0, 200, 1 << 40, NEVER]), dice.choice([0, 70_000, 1 << 61])
        suspect = dice.choice([0, 5, NEVER])
        state = SessionState(
            durable, 1_700_000_000_000_000, service, host, client, pid, ended=True, suspect_until=suspect
        )
        assert len(encoded({A: state})) - 1 <= bounds.session_bytes(state)
        name, call = dice.choice(text), BegunCall(A, b"x" * dice.choice([0, 300, 32_000]), 1 << 60)
        assert len(encoded({name: call})) - 1 <= bounds.call_bytes(name, call)
        assert len(encoded({name: 1 << 60})) - 1 <= bounds.name_bytes([name])


def test_a_header_with_all_that_there_may_be_fits_the_reserve() -> None:
    limits = Limits()
    assert limits.header + (1 << 20) <= limits.reserve


def test_the_sender_with_the_most_calls_loses_its_oldest_and_another_none() -> None:
    flood, quiet = calls(A, 100, "flood"), calls(B, 3, "quiet")
    size = bounds.call_bytes("flood-10", flood["flood-10"])
    gone = bounds.too_many({**quiet, **flood}, 13 * size)
    assert set(gone) == {f"flood-{number}" for number in range(90)}


def test_of_many_senders_with_one_call_each_the_rest_fits() -> None:
    each = {f"call-{n}": BegunCall(n.to_bytes(16), b"x", 5) for n in range(1000)}
    size = bounds.call_bytes("call-100", each["call-100"])
    gone = bounds.too_many(each, 100 * size)
    left = sum(bounds.call_bytes(name, call) for name, call in each.items() if name not in set(gone))
    assert 98 * size <= left <= 100 * size


def test_of_a_segment_that_begins_too_many_calls_the_newest_are_kept() -> None:
    some = calls(A, 10)
    size = bounds.call_bytes("call-1", some["call-1"])
    assert bounds.within(some, 3 * size) == ["call-7", "call-8", "call-9"]
    assert bounds.within(some, 100 * size) == list(some)


def test_calls_over_the_bound_are_owed_as_a_loss_until_a_line_tells_it() -> None:
    state = State(limits=Limits(begun=10 * 56))
    state.put_in_force(("clickhouse",), {}, 0)
    state.received_group(Group(1, 0, [], hellos={A: SessionState(0, 1, "api")}))
    state.settle(state.budget.truncated(Settled(segment=1, control=30, opened=calls(A, 30))))
    left = len(state.snapshot.begun)
    assert 0 < left <= 10
    state.settle(Settled(segment=2, control=5, opened=calls(A, 5, "then")))
    owed = state.snapshot.owed[CALL_FORGOTTEN]
    assert sum(owed.values()) == 35 - len(state.snapshot.begun)
    assert owed["api"] > 0, "whose calls they were is known where the session is"
    state.received_group(Group(2, 0, [], said={CALL_FORGOTTEN: dict(owed)}))
    assert state.snapshot.owed == {}


def test_sessions_over_the_bound_are_forgotten_those_that_ended_first_and_none_that_is_busy() -> None:
    state = State(limits=Limits(sessions=3 * 63))
    for at, (session, ended) in enumerate([(A, False), (B, True), (C, False)]):
        state.received_group(Group(at, 0, [], hellos={session: SessionState(at + 7, at, "api")}))
        state.snapshot.sessions[session].ended = ended
    extra = b"\x09" * 16
    state.received_group(Group(9, 0, [], hellos={extra: SessionState(0, 9, "api")}))
    forget = {"memory_us": 1 << 60, "ended_memory_us": 1 << 60, "oldest_us": 0}
    state.forget(10, busy={A}, **forget)
    assert set(state.snapshot.sessions) == {A, C, extra}
    assert state.snapshot.owed == {}, "its end was read"
    assert state.snapshot.forgotten_lines == 8
    state.received_group(Group(11, 0, [], hellos={B: SessionState(0, 11, "api")}))
    state.forget(12, busy={A}, **forget)
    assert set(state.snapshot.sessions) == {A, extra, B}
    assert state.snapshot.owed == {SESSION_FORGOTTEN: {"api": 1}}
    state.received_group(Group(13, 0, [], hellos={C: SessionState(0, 13, "api")}))
    state.forget(14, busy={A, B, C, extra}, **forget)
    assert len(state.snapshot.sessions) == 4, "nobody is forgotten that is there, or of whom lines wait"


def test_that_somebody_was_forgotten_is_remembered_as_long_as_a_session_is() -> None:
    state = State(Snapshot(forgotten_lines=5, forgotten_us=100))
    for now, left in ((150, 5), (151, 0)):
        state.forget(now, memory_us=50, ended_memory_us=50, busy=set(), oldest_us=0)
        assert state.snapshot.forgotten_lines == left


def test_losses_of_services_beyond_some_are_told_together() -> None:
    state = State()
    for number in range(MOST_SERVICES + 5):
        state.budget.add_loss(SESSION_FORGOTTEN, f"service-{number}", 1)
    owed = state.snapshot.owed[SESSION_FORGOTTEN]
    assert len(owed) == MOST_SERVICES + 1
    assert owed[""] == 5
