"""A segment's lines become rows in their order, whatever their lengths and however they came."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.delivery.batch import Batch
from llmledgerd.delivery.preparer import Preparer, PreparerOptions
from llmledgerd.delivery.segment_lines import LARGE_LINE, LONG_LINE
from llmledgerd.errors import BatchRejected
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.treatment import Treatment
from llmledgerd.query.erasure import Erasure
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.repeats import name_of
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from llmledgerd.records.timestamps import NEVER_US
from llmledgerd.spool import Entry, EntryKind, Group, ReadGroup, Segment, SessionState
from llmledgerd.spool.own_lines import OwnLine
from llmledgerd.stores.receipt_window import Window

SESSION = uuid.UUID(int=1, version=4).bytes
RECEIVED_US = 1_790_000_000_000_000
ID, SERVICE, REQUEST, BATCH_ROW = map(COLUMNS.index, ("id", "service", "request_json", "batch_row"))
RESPONSE = COLUMNS.index("response_json")
USAGE, MESSAGE, TOKENS = map(COLUMNS.index, ("usage_json", "error_message", "prompt_tokens"))


def line(number: int, size: int) -> bytes:
    record = {"protocol_version": 4, "provider_trace_id": f"call-{number}", "request": "x" * size}
    return msgspec.json.encode(record) + b"\n"


def segment_of(runs: Sequence[Sequence[bytes]]) -> tuple[ReadGroup, Segment]:
    entries = [Entry(EntryKind.LINES, SESSION, 1, len(run), sum(map(len, run))) for run in runs]
    body = memoryview(b"".join(part for run in runs for part in run))
    lines = sum(map(len, runs))
    segment = Segment(number=1, batch=str(uuid.UUID(int=2, version=4)), rows=lines, last_us=RECEIVED_US)
    return ReadGroup(Group(RECEIVED_US, 0, entries), body), segment


def prepared(
    runs: Sequence[Sequence[bytes]], bad: str = "", *, takes_views: bool = False
) -> tuple[list[tuple[object, ...]], dict[int, str]]:
    """Return the rows of a segment of one group, and why those with the id ``bad`` are refused."""
    seen: list[tuple[object, ...]] = []

    def encode(rows: Sequence[tuple[object, ...]]) -> bytes:
        if bad in [row[ID] for row in rows]:
            raise BatchRejected(0, "as it was told")
        seen.extend(rows)
        return b"block"

    group, segment = segment_of(runs)
    sessions = {SESSION: SessionState(0, 0, "billing")}
    preparer = Preparer(
        RowBuilder(Pricer()), encode, lambda: sessions, PreparerOptions(host="here", takes_views=takes_views)
    )
    batch = preparer.prepare(segment, lambda _: [group])
    assert batch.lost == 0
    assert len(batch.rows) + len(batch.refused_here) == segment.rows
    return seen, {row: letter.detail for row, letter in batch.refused_here.items()}


@given(
    st.lists(st.lists(st.sampled_from((0, 10, LONG_LINE, 3 * LONG_LINE)), min_size=1, max_size=4), max_size=4)
)
def test_runs_of_short_and_of_long_lines_give_every_line_in_its_place(sizes: list[list[int]]) -> None:
    numbers = iter(range(100))
    rows, _ = prepared([[line(next(numbers), size) for size in run] for run in sizes])
    flat = [size for run in sizes for size in run]
    assert [row[ID] for row in rows] == [f"call-{number}" for number in range(len(flat))]
    assert [row[BATCH_ROW] for row in rows] == list(range(len(flat)))
    assert [row[REQUEST] for row in rows] == [b'"%s"' % (b"x" * size) for size in flat]
    assert {row[SERVICE] for row in rows} <= {"billing"}


def test_a_row_that_cannot_be_encoded_costs_itself_alone() -> None:
    rows, refused = prepared([[line(number, 10) for number in range(5)]], bad="call-3")
    assert [row[ID] for row in rows] == ["call-0", "call-1", "call-2", "call-4"]
    assert list(refused) == [3]
    assert "as it was told" in refused[3]


def test_a_segment_of_another_time_is_stored_now_the_same_at_each_try_and_looked_for_everywhere() -> None:
    body = line(1, 10)
    group = ReadGroup(Group(RECEIVED_US, 0, [Entry(EntryKind.LINES, b"", 0, 1, len(body))]), memoryview(body))
    number = str(uuid.UUID(int=2, version=4))
    segment = Segment(number=1, batch=number, rows=1, first_us=RECEIVED_US, last_us=RECEIVED_US)
    seen: list[tuple[object, ...]] = []
    builder = RowBuilder(Pricer())

    def encode(rows: Sequence[tuple[object, ...]]) -> bytes:
        seen.extend(rows)
        return b"block"

    preparer = Preparer(builder, encode, dict, PreparerOptions(host="here"))
    now_us = RECEIVED_US + 10**15

    batch = preparer.prepare(segment, lambda _: [group], Window(now_us - 5, now_us, now_us - 1))
    preparer.encode_some([group], batch, [0])

    (first, again) = seen
    assert first == again
    assert (first[COLUMNS.index("ingested_at")], first[COLUMNS.index("created_at")]) == (now_us - 1,) * 2
    assert builder.counts["receipt_replaced"] == 1
    assert (batch.from_us, batch.to_us) == (0, NEVER_US)


def mixed(*lines: tuple[str, str, bool]) -> Batch:
    """Prepare lines of these organizations and ids, of which some may be repeats."""
    bodies = [
        b'{"protocol_version":4,"org_id":"%s","provider_trace_id":"%s"}\n' % (org.encode(), call.encode())
        for org, call, _ in lines
    ]
    entries = [
        Entry(EntryKind.LINES, SESSION, number, 1, len(body), repeats=repeats)
        for number, (body, (_, _, repeats)) in enumerate(zip(bodies, lines, strict=True), 1)
    ]
    group = ReadGroup(Group(RECEIVED_US, 0, entries), memoryview(b"".join(bodies)))
    segment = Segment(number=1, batch=str(uuid.UUID(int=2, version=4)), rows=len(lines), last_us=RECEIVED_US)
    preparer = Preparer(RowBuilder(Pricer()), lambda rows: b"block", dict, PreparerOptions(host="here"))
    return preparer.prepare(segment, lambda _: [group])


def test_equal_ids_among_lines_that_may_be_repeats_are_one_row() -> None:
    batch = mixed(("o", "a", True), ("o", "b", True), ("o", "a", True), ("o", "a", True))
    assert (batch.rows, batch.control) == ([0, 1], 2)
    assert list(batch.repeats) == [0, 1]


def test_equal_ids_of_two_organizations_are_two_calls() -> None:
    batch = mixed(("o", "a", True), ("p", "a", True), ("p", "a", False))
    assert (batch.rows, batch.control) == ([0, 1, 2], 0)


def test_a_line_that_may_be_a_repeat_is_none_of_a_line_behind_it() -> None:
    assert mixed(("o", "a", False), ("o", "a", True)).rows == [0]
    assert mixed(("o", "a", True), ("o", "a", False)).rows == [0, 1]
    assert mixed(("o", "a", False), ("o", "a", False)).rows == [0, 1]


def test_a_call_that_was_given_up_twice_in_a_segment_is_one_row() -> None:
    begin = b'{"protocol_version":4,"begin":{"provider_trace_id":"a"}}'
    own = msgspec.json.encode(OwnLine(abandoned=begin)) + b"\n"
    entry = Entry(EntryKind.OWN, b"", 0, 2, 2 * len(own))
    group = ReadGroup(Group(RECEIVED_US, 0, [entry]), memoryview(2 * own))
    segment = Segment(number=1, batch=str(uuid.UUID(int=2, version=4)), rows=2, last_us=RECEIVED_US)
    preparer = Preparer(RowBuilder(Pricer()), lambda rows: b"block", dict, PreparerOptions(host="here"))
    batch = preparer.prepare(segment, lambda _: [group])
    assert (batch.rows, batch.control) == ([1], 1)


def test_a_large_line_is_the_same_row_whether_it_is_copied_or_referred_to() -> None:
    runs = [[line(0, 3 * LARGE_LINE)], [line(1, 10), line(2, 2 * LARGE_LINE), line(3, 10)]]
    copied, _ = prepared(runs)
    referred, _ = prepared(runs, takes_views=True)
    assert [type(row[REQUEST]) for row in referred] == [memoryview, bytes, memoryview, bytes]
    assert [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in referred] == copied


def test_a_stream_too_long_to_be_read_is_bytes_in_a_store_that_takes_no_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing, "LARGE_BYTES", 16)
    stream = b'{"protocol_version":4,"response_stream":"%s"}\n' % (b"x" * 100)
    for takes_views in (False, True):
        rows, refused = prepared([[stream]], takes_views=takes_views)
        assert not refused
        assert rows[0][RESPONSE] == b'"%s"' % (b"x" * 100)
        assert type(rows[0][RESPONSE]) is bytes


def test_a_line_that_raises_is_a_dead_letter_and_its_neighbors_are_rows() -> None:
    decided = {1: "decided before"}
    group, segment = segment_of([[line(number, 10) for number in range(4)]])
    builder = RowBuilder(Pricer())
    build = builder.steps

    def steps(record: Any, **given: Any) -> Any:
        if given["batch_row"] == 2:
            raise ZeroDivisionError("a payload's words")
        return build(record, **given)

    builder.steps = steps  # type: ignore[method-assign]  # a fault that no input is known to cause
    batch = Preparer(builder, lambda rows: b"", dict, PreparerOptions(host="here")).prepare(
        segment, lambda _: [group], failed=decided
    )
    assert batch.rows == [0, 3]
    assert {row: letter.reason for row, letter in batch.refused_here.items()} == dict.fromkeys(
        (1, 2), "internal_error"
    )
    assert batch.refused_here[1].detail == "decided before"
    assert list(batch.faults) == [2]
    assert "ZeroDivisionError" in batch.faults[2]
    assert "words" not in batch.faults[2]


def segment_of_records(lines: Sequence[bytes]) -> tuple[Segment, ReadGroup]:
    body = b"".join(lines)
    group = Group(RECEIVED_US, 0, [Entry(EntryKind.LINES, SESSION, 1, len(lines), len(body))])
    segment = Segment(number=1, batch=str(uuid.UUID(int=2, version=4)), rows=len(lines))
    segment.first_us = segment.last_us = RECEIVED_US
    return segment, ReadGroup(group, memoryview(body))


def erased(erasure: Erasure, *records: Mapping[str, object]) -> tuple[Batch, list[tuple[object, ...]]]:
    """Return the batch and the rows of records that wait when an erasure is in force."""
    seen: list[tuple[object, ...]] = []

    def encode(rows: Sequence[tuple[object, ...]]) -> bytes:
        seen.extend(rows)
        return b"block"

    segment, group = segment_of_records(
        [msgspec.json.encode({"protocol_version": 4, **one}) + b"\n" for one in records]
    )
    preparer = Preparer(
        RowBuilder(Pricer()),
        encode,
        lambda: {SESSION: SessionState(0, 0, "billing")},
        PreparerOptions(
            host="here",
            treatment=Treatment(Policy(Decision(mode="offload")), base="file:///objects"),
            erasures=lambda: (erasure,),
        ),
    )
    return preparer.prepare(segment, lambda _: [group]), seen


THEIRS: dict[str, object] = {
    "provider_trace_id": "theirs",
    "org_id": "acme",
    "user_id": "u-1",
    "error": "secret",
    "request": {"model": "gpt-4o"},
    "response": {
        "model": "gpt-4o",
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "note": "secret", "a": []},
    },
}
OTHER = {**THEIRS, "provider_trace_id": "other", "user_id": "u-2"}


def test_a_line_whose_rows_are_erased_is_none_and_is_counted() -> None:
    batch, rows = erased(
        Erasure(organization_id="acme", user_id="u-1", rows=True, until_us=RECEIVED_US), THEIRS, OTHER
    )
    assert [row[ID] for row in rows] == ["other"]
    assert (batch.control, batch.erased) == (1, 1)
    names = [name_of(("acme", "theirs")), name_of(("acme", "other"))]
    assert batch.closed(names) == names
    assert [loss[4:7] for loss in batch.losses] == [("daemon", "erased", 1)]
    assert list(batch.uploads.objects) == [1]


def test_a_line_whose_payloads_are_erased_has_its_numbers_and_no_object() -> None:
    batch, rows = erased(Erasure(organization_id="acme", user_id="u-1", until_us=RECEIVED_US), THEIRS, OTHER)
    mine: Any = rows[0]
    assert (mine[REQUEST], mine[MESSAGE], mine[TOKENS]) == (b"", "", 3)
    assert msgspec.json.decode(mine[USAGE]) == {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "note": "",
        "a": [],
    }
    assert (list(batch.uploads.objects), batch.control, batch.losses) == ([1], 0, [])


@pytest.mark.parametrize(
    "narrowed",
    [
        {"until_us": RECEIVED_US - 1},
        {"before_us": RECEIVED_US},
        {"customer_id": "c-1"},
        {"organization_id": "acme2"},
    ],
)
def test_what_an_erasure_does_not_cover_is_a_row(narrowed: dict[str, Any]) -> None:
    erasure = Erasure(**{"organization_id": "acme", "rows": True, **narrowed})
    batch, rows = erased(erasure, THEIRS, OTHER)
    assert (len(rows), batch.erased) == (2, 0)


def test_a_call_that_began_before_it_was_erased_leaves_no_row() -> None:
    begin = {"begin": {"provider_trace_id": "a", "org_id": "acme"}}
    for rows, opened in ((True, set()), (False, {name_of(("acme", "a"))})):
        batch, _ = erased(Erasure(organization_id="acme", rows=rows, until_us=RECEIVED_US), begin)
        assert set(batch.opened) == opened


def test_a_record_closes_the_call_of_its_organization_and_the_one_that_named_none() -> None:
    begins = [
        {"begin": {"provider_trace_id": "a", "org_id": organization}}
        for organization in ("acme", "other", "")
    ]
    record = {"provider_trace_id": "a", "org_id": "acme"}
    batch, _ = erased(Erasure(organization_id="nobody"), *begins, record)
    assert set(batch.opened) == {name_of(("other", "a"))}
