"""Sessions, as decisions: what a hello is answered, and when a sender is given up."""

from __future__ import annotations

import json
import uuid

import pytest

from conformance.first_lines import CASES
from llmtrace.protocol import Begin, Hello, Unsupported, frame
from llmtraced import sessions
from llmtraced.orphans import orphans
from llmtraced.sessions import NEVER, HelloLine, read_hello, remembered
from llmtraced.spool import BegunCall, SessionState
from llmtraced.spool.state import Snapshot

SESSION = uuid.UUID("00000000-0000-4000-8000-000000000001")
S = SESSION.bytes


def hello(first: int = 1, last: int | None = None) -> Hello:
    return Hello(session=str(SESSION), first=first, last=last, service="api")


def test_a_new_session_begins_before_the_oldest_line_that_its_sender_holds() -> None:
    assert remembered(hello(1), None, 7, incomplete=False).durable == 0
    assert remembered(hello(41), None, 7, incomplete=False).durable == 40


def test_a_known_session_goes_on_from_what_is_durable() -> None:
    known = SessionState(durable=9, seen_us=1)
    assert remembered(hello(3), known, 7, incomplete=False).durable == 9
    assert remembered(hello(12), known, 7, incomplete=False).durable == 11


@pytest.mark.parametrize(
    ("said", "incomplete", "until"),
    [
        (hello(1), False, 0),
        (hello(41, 50), False, 50),
        (hello(41), False, NEVER),
        (hello(1, 30), True, 30),
    ],
)
def test_lines_that_a_forgotten_session_may_repeat_are_asked_for_first(
    said: Hello, incomplete: bool, until: int
) -> None:
    assert remembered(said, None, 7, incomplete=incomplete).suspect_until == until


def test_a_session_that_is_remembered_repeats_nothing() -> None:
    known = SessionState(durable=9, seen_us=1)
    assert remembered(hello(5, 50), known, 7, incomplete=True).suspect_until == 0


def test_a_hello_is_told_from_a_record() -> None:
    assert isinstance(read_hello(frame("hello", hello())), HelloLine)
    assert read_hello(b'{"protocol_version":4,"request":{"hello":{}}}\n') is None
    assert read_hello(b'{"protocol_version":3,"hello":"an unknown field of an older sender"}\n') is None
    assert read_hello(b'"hello"\n') is None
    assert read_hello(frame("begin", Begin(provider_trace_id="hello"))) is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"protocol_version":5,"hello":{}}\n', "unsupported_protocol_version"),
        (b'{"protocol_version":"4","hello":{}}\n', "unsupported_protocol_version"),
        (b'{"protocol_version":4,"hello":{"session":"x","first":1}}\n', "invalid_hello"),
        (frame("hello", hello(0)), "invalid_hello"),
    ],
)
def test_a_hello_that_cannot_be_served_is_answered(line: bytes, error: str) -> None:
    answer = read_hello(line)
    assert isinstance(answer, Unsupported)
    assert answer.error == error


def given_up(snapshot: Snapshot, *, now: int = 100, live: bool = False, waiting: int = 0) -> list[str]:
    found = orphans(
        snapshot,
        now_us=now,
        started_us=0,
        grace_us=60,
        live={S} if live else set(),
        waiting={S: waiting},
        closed_at={S: 30},
    )
    return [orphan.call or orphan.line.reason for orphan in found]


def with_call(*, ended: bool = False, over: bool = False) -> Snapshot:
    call = BegunCall(S, b"{}", 10)
    return Snapshot(sessions={S: SessionState(3, 10, ended=ended, over=over)}, begun={"call": call})


def test_a_session_without_end_is_given_up_after_the_grace_with_its_calls() -> None:
    assert given_up(with_call(), now=89) == []
    assert given_up(with_call(), now=90) == ["sender_died", "call"]


def test_a_session_that_is_connected_or_has_lines_to_read_is_not_given_up() -> None:
    assert given_up(with_call(), live=True) == []
    assert given_up(with_call(), waiting=1) == []


def test_a_session_that_ended_leaves_only_its_calls_to_be_given_up() -> None:
    assert given_up(with_call(ended=True)) == ["call"]


def test_a_session_is_given_up_once() -> None:
    assert given_up(with_call(over=True)) == ["call"]


def test_a_call_without_session_is_given_up_after_its_own_grace() -> None:
    snapshot = Snapshot(begun={"call": BegunCall(b"", b"{}", 10)})
    assert given_up(snapshot, now=69) == []
    assert given_up(snapshot, now=70) == ["call"]


@pytest.mark.parametrize("field", ["first", "last", "pid"])
@pytest.mark.parametrize("number", [1 << 62, 1 << 64, 10**30])
def test_a_hello_with_numbers_that_the_spool_cannot_count_from_is_refused(field: str, number: int) -> None:
    said = {"session": str(SESSION), "first": 1, field: number}
    assert read_hello(b'{"protocol_version":4,"hello":%s}\n' % json.dumps(said).encode()) == Unsupported(
        "invalid_hello"
    )


def test_a_first_line_that_nests_too_deep_for_the_decoder_is_no_hello_and_raises_nothing() -> None:
    deep = b"[" * 3000 + b"]" * 3000
    assert read_hello(b'{"protocol_version":4,"request":%s,"hello":null}\n' % deep) is None
    assert read_hello(b'{"protocol_version":4,"hello":{"session":%s}}\n' % deep) == Unsupported(
        "invalid_hello"
    )


@pytest.mark.parametrize(("line", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_first_line_that_may_be_a_hello_is_answered_and_no_other(line: bytes, expected: str) -> None:
    found = read_hello(line + b"\n")
    said = found.error if isinstance(found, Unsupported) else "durable" if found else ""
    assert said == expected


def test_looking_for_a_hello_takes_time_in_proportion_to_the_line() -> None:
    """In steps of the regular expression's scanner, by matches: of twice the line twice as many."""
    for part in (b"{", b'"\\', b'"a":', b'"hello"', b"[1,"):
        marks = [sum(1 for _ in sessions._members(part * size)) for size in (500, 1000)]
        assert marks[1] <= 2 * marks[0] + 2
