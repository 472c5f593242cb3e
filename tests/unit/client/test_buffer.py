"""The buffer's invariants: order, numbers, the bound, and the sum of its counters."""

from __future__ import annotations

import json
import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llmledger.buffer import _COMING_AT_MOST, BUFFER_FULL, CLOSED, TOO_LONG, Buffer
from llmledger.line import Line


def record(size: int = 10, name: str = "") -> Line:
    return Line("record", size, envelope=name.encode())


def body(line: Line) -> object:
    """Return what a control line says; None of another."""
    return json.loads(line.envelope)[line.kind] if line.kind in ("dropped", "end") else None


def written(buffer: Buffer) -> list[Line]:
    lines = []
    while (line := buffer.next_line()) is not None:
        lines.append(line)
    return lines


def assert_identity(buffer: Buffer) -> None:
    buffer.counts()  # takes up what has come
    waiting = [*buffer._written, *buffer._unwritten]
    records = sum(line.kind == "record" for line in waiting)
    assert buffer.records == buffer.delivered + records + buffer.lost.total()
    assert buffer.held_bytes == sum(line.size for line in waiting)
    assert buffer.unwritten_bytes == sum(line.size for line in buffer._unwritten)


def test_lines_leave_in_the_order_in_which_they_came() -> None:
    buffer = Buffer(1000)
    lines = [record(name=str(number)) for number in range(5)]
    assert all(buffer.offer(line) for line in lines)
    assert written(buffer) == lines


def test_a_line_is_held_until_it_is_durable() -> None:
    buffer = Buffer(1000)
    for _ in range(3):
        buffer.offer(record())
    written(buffer)
    assert buffer.held_bytes == 30
    buffer.forget(2)
    assert (buffer.first, buffer.held_bytes, buffer.delivered) == (3, 10, 2)


def test_a_full_buffer_drops_the_newest_and_counts_it() -> None:
    buffer = Buffer(25)
    assert [buffer.offer(record()) for _ in range(4)] == [10, 20, 0, 0]
    assert buffer.lost == {BUFFER_FULL: 2}
    assert_identity(buffer)


def test_written_lines_count_until_they_are_durable() -> None:
    buffer = Buffer(20)
    buffer.offer(record())
    buffer.offer(record())
    written(buffer)
    assert not buffer.offer(record())


def test_one_record_larger_than_the_bound_enters_an_empty_buffer() -> None:
    buffer = Buffer(20)
    assert buffer.offer(record(1000))
    assert not buffer.offer(record(1))
    assert_identity(buffer)


def test_a_lost_connection_brings_all_that_is_not_durable_again() -> None:
    buffer = Buffer(1000)
    lines = [record(name=str(number)) for number in range(4)]
    for line in lines:
        buffer.offer(line)
    written(buffer)
    buffer.forget(1)
    buffer.rewind()
    assert (buffer.first, buffer.last, buffer.unwritten_bytes) == (2, 4, 30)
    assert written(buffer) == lines[1:]


def test_durable_lines_that_wait_to_be_written_again_are_forgotten() -> None:
    buffer = Buffer(1000)
    for _ in range(3):
        buffer.offer(record())
    written(buffer)
    buffer.rewind()
    buffer.forget(2)
    assert len(written(buffer)) == 1
    assert_identity(buffer)


def test_an_answer_beyond_what_was_ever_written_forgets_no_unwritten_line() -> None:
    buffer = Buffer(1000)
    buffer.offer(record())
    written(buffer)
    buffer.offer(record())
    buffer.forget(99)
    assert (buffer.first, buffer.delivered) == (2, 1)
    assert_identity(buffer)


def test_an_answer_that_goes_back_changes_nothing() -> None:
    buffer = Buffer(1000)
    buffer.offer(record())
    written(buffer)
    buffer.forget(1)
    buffer.forget(0)
    assert buffer.first == 2


def test_losses_are_reported_in_a_line_behind_the_others() -> None:
    buffer = Buffer(10)
    for _ in range(3):
        buffer.offer(record())
    kinds = [(line.kind, body(line)) for line in written(buffer)]
    assert kinds[1] == ("dropped", {BUFFER_FULL: 2})
    assert written(buffer) == []


def test_one_report_waits_at_a_time() -> None:
    buffer = Buffer(30)
    for _ in range(3):
        buffer.offer(record())
    for _ in range(3):
        buffer.offer(record())
        buffer.next_line()
    assert [line.kind for line in buffer._unwritten] == ["dropped"]


def test_a_line_that_is_too_long_gives_its_number_to_the_report_of_its_loss() -> None:
    buffer = Buffer(1000)
    buffer.offer(record(name="long"))
    buffer.offer(record(name="next"))
    buffer.next_line()
    report = buffer.replace(TOO_LONG)
    assert body(report) == {TOO_LONG: 1}
    assert [line.envelope for line in written(buffer)] == [b"next"]
    assert buffer.newest() == 2
    buffer.forget(2)
    assert (buffer.delivered, buffer.lost) == (1, {TOO_LONG: 1})
    assert_identity(buffer)


def test_the_end_says_how_many_records_were_handed_over() -> None:
    buffer = Buffer(10)
    buffer.offer(record())
    buffer.offer(record())
    buffer.offer(Line("begin", 1, envelope=b"{}"))
    assert buffer.finish() == 3
    assert [(line.kind, body(line)) for line in written(buffer)[1:]] == [
        ("dropped", {BUFFER_FULL: 1}),
        ("end", {"taken": 2}),
    ]
    assert not buffer.offer(record())
    assert buffer.lost[CLOSED] == 1


def test_a_dropped_announcement_is_no_lost_record() -> None:
    buffer = Buffer(10)
    buffer.offer(record())
    buffer.offer(Line("begin", 5, envelope=b"{}"))
    assert (buffer.begins_lost, buffer.lost.total(), buffer.records) == (1, 0, 1)


def test_a_refused_session_counts_everything_as_lost() -> None:
    buffer = Buffer(1000)
    for _ in range(3):
        buffer.offer(record())
    buffer.next_line()
    buffer.refuse("unsupported_protocol_version")
    assert not buffer.offer(record())
    assert buffer.lost == {"unsupported_protocol_version": 4}
    assert_identity(buffer)


class Intruder(Counter[str]):
    """Records while it is copied, as a destructor would in the middle of anything."""

    def __init__(self, buffer: Buffer) -> None:
        super().__init__()
        self.buffer = buffer

    def copy(self) -> Intruder:
        assert self.buffer.offer(record(name="second"))
        return self


def test_a_record_from_within_the_buffer_is_put_aside_and_taken_up() -> None:
    buffer = Buffer(1000)
    buffer.lost = Intruder(buffer)
    buffer.offer(record(name="first"))
    buffer.counts()
    assert [line.envelope for line in written(buffer)] == [b"first", b"second"]
    assert buffer.records == 2


def test_threads_lose_no_line_and_no_count() -> None:
    buffer = Buffer(1 << 30)

    def hand_over() -> None:
        for _ in range(2000):
            buffer.take("record", {"model": "m"}, 0.0)

    threads = [threading.Thread(target=hand_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        written(buffer)
        buffer.forget(buffer.last)
    written(buffer)
    buffer.forget(buffer.last)
    assert (buffer.records, buffer.delivered, buffer.held_bytes) == (8000, 8000, 0)


def test_a_caller_waits_for_no_lock_while_there_is_room() -> None:
    buffer = Buffer(1_500)
    for _ in range(10):
        assert buffer.take("record", {"model": "m"}, 0.0)
        written(buffer)
        buffer.forget(buffer.last)
    caller = threading.Thread(target=buffer.take, args=("record", {"model": "m"}, 0.0), daemon=True)
    with buffer._lock:
        caller.start()
        caller.join(timeout=10)
        assert not caller.is_alive()
    assert buffer.counts()[0] == 11


def test_an_addition_that_threads_lost_is_made_good_when_lines_are_taken_up() -> None:
    buffer = Buffer(1_500)
    assert buffer.take("record", {"request": b"first"}, 0.0)
    buffer._coming_bytes = 0
    assert buffer.take("record", {"request": b"second"}, 0.0)
    buffer._coming_bytes = 0
    assert buffer.take("record", {"request": b"one too many"}, 0.0)
    assert_identity(buffer)
    assert (buffer.records, buffer.lost, buffer.broken_promises) == (3, {BUFFER_FULL: 1}, 1)
    assert buffer.held_bytes <= buffer.max_bytes


def test_lines_that_nobody_comes_for_are_taken_up_by_their_callers() -> None:
    buffer = Buffer(1 << 20)
    for number in range(1_000):
        buffer.take("record", {"model": str(number)}, 0.0)
        assert len(buffer._coming) <= _COMING_AT_MOST
    assert [line.fields for line in written(buffer)] == [{"model": str(number)} for number in range(1_000)]


def test_a_closed_buffer_takes_nothing() -> None:
    buffer = Buffer(1 << 20)
    buffer.finish()
    assert not buffer.take("record", {"model": "m"}, 0.0)
    assert buffer.counts()[2] == {CLOSED: 1}


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 1_000)),
        st.tuples(st.just("offer"), st.integers(1, 1_000)),
        st.tuples(st.just("begin"), st.integers(1, 1_000)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("rewind"), st.just(0)),
        st.tuples(st.just("too_long"), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_the_identity_holds_after_any_sequence_of_calls(actions: list[tuple[str, int]]) -> None:
    buffer = Buffer(2_000)
    for action, number in actions:
        match action:
            case "take":
                buffer.take("record", {"request": b" " * number}, 0.0)
            case "offer":
                buffer.offer(record(number))
            case "begin":
                buffer.offer(Line("begin", number, envelope=b"{}"))
            case "write":
                buffer.next_line()
            case "rewind":
                buffer.rewind()
            case "too_long":
                if buffer.next_line() is not None:
                    buffer.replace(TOO_LONG)
            case "forget":
                buffer.forget(number)
        assert_identity(buffer)
        assert buffer.newest() >= buffer.last >= buffer.first - 1
