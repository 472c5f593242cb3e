"""Sessions, as decisions: what a hello is answered, and when a sender is given up."""

from __future__ import annotations

import json
import uuid

import msgspec
import pytest

from conformance.first_lines import CASES
from llmledger.protocol import Begin, Hello, Unsupported, frame
from llmledgerd.delivery.orphans import MOST_AT_ONCE, decided, orphans
from llmledgerd.ingest import handshake
from llmledgerd.ingest.handshake import NEVER, TEXT_CHARACTERS, HelloLine, is_changed, read_hello, remembered
from llmledgerd.spool import BegunCall, SessionState
from llmledgerd.spool.own_lines import OwnLine
from llmledgerd.spool.state import Snapshot

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
        (hello(1), True, NEVER),
        (hello(1, 0), False, 0),
        (hello(1, 5), False, 5),
        (hello(1, 30), True, 30),
        (hello(41, 50), False, 50),
        (hello(41, 40), False, 40),  # all that it has written was called durable
        (hello(41), False, NEVER),
        (hello(1, NEVER - 1), False, NEVER - 1),
    ],
)
def test_lines_that_a_forgotten_session_may_repeat_are_asked_for_first(
    said: Hello, incomplete: bool, until: int
) -> None:
    assert remembered(said, None, 7, incomplete=incomplete).suspect_until == until


def test_a_session_that_is_remembered_repeats_nothing() -> None:
    known = SessionState(durable=9, seen_us=1)
    assert remembered(hello(5, 50), known, 7, incomplete=True).suspect_until == 0


def test_a_session_that_was_told_more_than_the_spool_remembers_is_a_forgotten_one() -> None:
    known = SessionState(durable=9, seen_us=1)
    assert remembered(hello(11, 50), known, 7, incomplete=False).suspect_until == 50
    assert remembered(hello(11), known, 7, incomplete=False).suspect_until == NEVER
    assert remembered(hello(10, 50), known, 7, incomplete=False).suspect_until == 0


def test_what_may_be_repeated_stays_so_when_the_session_connects_again() -> None:
    known = SessionState(durable=9, seen_us=1, suspect_until=20)
    assert remembered(hello(10, 12), known, 7, incomplete=False).suspect_until == 20


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


def given_up(
    snapshot: Snapshot, *, now: int = 100, live: bool = False, waiting: bool = False, room: int = 1000
) -> list[str]:
    found = orphans(
        snapshot,
        now_us=now,
        started_us=0,
        grace_us=60,
        live={S} if live else set(),
        waiting={S} if waiting else set(),
        closed_at={S: 30},
        budget_bytes=room,
    )
    group, lines = decided(found, {}, "host", now)
    assert len(lines) == len(group.orphans) + len(group.over)
    reasons = [orphan.line.reason for orphan in found if orphan.session and orphan.line]
    return [*reasons, *group.orphans, *(f"forgotten {call}" for call in group.forgotten)]


def with_call(*, ended: bool = False, over: bool = False) -> Snapshot:
    call = BegunCall(S, b"{}", 10)
    return Snapshot(sessions={S: SessionState(3, 10, ended=ended, over=over)}, begun={"call": call})


def test_a_session_without_end_is_given_up_after_the_grace_with_its_calls() -> None:
    assert given_up(with_call(), now=89) == []
    assert given_up(with_call(), now=90) == ["sender_died", "call"]


def test_a_session_that_is_connected_or_has_lines_to_read_is_not_given_up() -> None:
    assert given_up(with_call(), live=True) == []
    assert given_up(with_call(), waiting=True) == []


def test_a_session_that_ended_leaves_only_its_calls_to_be_given_up() -> None:
    assert given_up(with_call(ended=True)) == ["call"]


def test_a_session_is_given_up_once() -> None:
    assert given_up(with_call(over=True)) == ["call"]


def test_a_call_without_session_is_given_up_after_its_own_grace() -> None:
    snapshot = Snapshot(begun={"call": BegunCall(b"", b"{}", 10)})
    assert given_up(snapshot, now=69) == []
    assert given_up(snapshot, now=70) == ["call"]


def test_a_call_whose_session_was_forgotten_is_given_up_after_its_own_grace() -> None:
    snapshot = Snapshot(begun={"call": BegunCall(S, b"{}", 50)})
    assert given_up(snapshot, now=109) == []
    assert given_up(snapshot, now=110) == ["call"]


def test_a_call_is_forgotten_where_nobody_could_remember_that_it_was_given_up() -> None:
    assert given_up(with_call(ended=True), room=15) == ["forgotten call"]
    assert given_up(with_call(ended=True), room=16) == ["call"]


def test_no_more_are_given_up_at_a_time_than_can_be_written_at_once() -> None:
    handshake = {number.to_bytes(16): SessionState(1, 1) for number in range(2 * MOST_AT_ONCE)}
    assert len(given_up(Snapshot(sessions=handshake))) == MOST_AT_ONCE


def test_what_was_forgotten_is_told_in_the_group_that_says_so() -> None:
    owed = {"call_forgotten": {"api": 3, "": 1}, "session_forgotten": {"api": 7}}
    group, lines = decided([], owed, "host", 5)
    assert group.said == owed
    told = [msgspec.json.decode(line, type=OwnLine) for line in lines]
    assert [(own.reason, own.service, own.count) for own in told] == [
        ("call_forgotten", "api", 3),
        ("call_forgotten", "", 1),
        ("session_forgotten", "api", None),
    ]


def test_a_session_that_may_have_been_forgotten_for_want_of_room_is_asked_about_as_far_as_it_can_have_been() -> (
    None
):
    assert remembered(hello(1), None, 7, incomplete=False, forgotten_lines=9).suspect_until == 9
    known = SessionState(durable=9, seen_us=1)
    assert remembered(hello(1), known, 7, incomplete=False, forgotten_lines=9).suspect_until == 0


def test_what_a_hello_says_is_remembered_up_to_a_length() -> None:
    said = Hello(session=str(SESSION), first=1, service="s" * 8000, host="h" * 8000, client="c" * 8000)
    state = remembered(said, None, 7, incomplete=False)
    assert {len(state.service), len(state.host), len(state.client)} == {TEXT_CHARACTERS}


def test_a_hello_is_news_when_it_says_something_or_the_last_one_is_long_ago() -> None:
    known = remembered(hello(1), None, 100, incomplete=False)
    known.durable = 5
    again = remembered(hello(3), known, 150, incomplete=False)
    assert not is_changed(known, again, 51)
    assert is_changed(known, again, 50)
    assert is_changed(None, again, 51)
    assert is_changed(known, remembered(hello(9), known, 150, incomplete=False), 51)
    other = Hello(session=str(SESSION), first=1, service="another")
    assert is_changed(known, remembered(other, known, 150, incomplete=False), 51)
    known.over = True
    assert is_changed(known, again, 51), "it was given up, and is there"
    known.over, known.ended = False, True
    assert not is_changed(known, again, 51), "an end stays one"


@pytest.mark.parametrize("field", ["first", "last", "pid"])
@pytest.mark.parametrize("number", [1 << 62, 1 << 64, 10**30])
def test_a_hello_with_numbers_that_the_spool_cannot_count_from_is_refused(field: str, number: int) -> None:
    said = {"session": str(SESSION), "first": 1, field: number}
    assert read_hello(b'{"protocol_version":4,"hello":%s}\n' % json.dumps(said).encode()) == Unsupported(
        "invalid_hello"
    )


@pytest.mark.parametrize(
    ("said", "is_sane"),
    [
        ({"first": 1, "last": 0}, True),
        ({"first": 41, "last": 40}, True),
        ({"first": 41, "last": 39}, False),
        ({"first": 41, "last": 0}, False),
        ({"first": 2, "last": 0}, False),
        ({"first": 1, "last": -1}, False),
        ({"first": 1, "pid": -1}, False),
        ({"first": (1 << 62) - 1, "last": (1 << 62) - 2}, True),
    ],
)
def test_a_hello_whose_numbers_contradict_each_other_is_refused(said: dict[str, int], is_sane: bool) -> None:
    body = json.dumps({"session": str(SESSION), **said}).encode()
    found = read_hello(b'{"protocol_version":4,"hello":%s}\n' % body)
    assert isinstance(found, HelloLine) if is_sane else found == Unsupported("invalid_hello")


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
        marks = [sum(1 for _ in handshake._members(part * size)) for size in (500, 1000)]
        assert marks[1] <= 2 * marks[0] + 2
