"""However the kernel cuts its writes, what leaves is the buffer's lines, whole and in order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmledger import outbox
from llmledger.buffer import TOO_LONG, Buffer
from llmledger.line import Line, complete
from llmledger.outbox import GATHERED_BYTES, MOST_VIEWS, Outbox


def filled(*payloads: bytes) -> Buffer:
    buffer = Buffer(1 << 30)
    for number, payload in enumerate(payloads):
        assert buffer.take("record", {"model": str(number), "request": payload}, 0.0)
    return buffer


def drained(outbox: Outbox, takes: list[int]) -> bytes:
    """Return all that leaves, when the kernel takes so many bytes at a time, again and again."""
    left = bytearray()
    turn = 0
    while views := outbox.views():
        offered = b"".join(views)
        count = min(len(offered), takes[turn % len(takes)])
        left += offered[:count]
        outbox.written(count)
        turn += 1
    return bytes(left)


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 2 * GATHERED_BYTES), max_size=4),
    st.lists(st.integers(1, 3 * GATHERED_BYTES), min_size=1, max_size=4).filter(
        lambda takes: max(takes) > 999
    ),
)
def test_lines_stay_whole_however_the_kernel_cuts(sizes: list[int], takes: list[int]) -> None:
    payloads = [b"[" + b" " * size + b"]" for size in sizes]
    lines = drained(Outbox(filled(*payloads)), takes).splitlines()
    assert [json.loads(line)["model"] for line in lines] == [str(number) for number in range(len(sizes))]
    assert all(payload in line for payload, line in zip(payloads, lines, strict=True))


def test_no_more_is_worked_on_between_two_writes_than_is_allowed() -> None:
    outbox = Outbox(filled(b"[" + b" " * (8 * GATHERED_BYTES) + b"]"))
    assert GATHERED_BYTES <= sum(map(len, outbox.views())) < 2 * GATHERED_BYTES


def test_one_call_gets_no_more_views_than_the_kernel_takes() -> None:
    assert 1 < len(Outbox(filled(*[b"1"] * 2 * MOST_VIEWS)).views()) <= MOST_VIEWS


def test_a_short_line_is_one_view() -> None:
    assert len(Outbox(filled(b'{"a":1}', b"<html>")).views()) == 2


def test_what_was_given_and_not_taken_is_given_again() -> None:
    outbox = Outbox(filled(b"{}"))
    assert b"".join(outbox.views()) == b"".join(outbox.views())


@pytest.mark.parametrize("payload", [b'"' + b"x" * 5_000 + b'"', b"\x01" * 1_000])
def test_a_line_over_the_limit_leaves_as_the_report_of_its_loss(payload: bytes) -> None:
    buffer = filled(b"{}", payload, b"{}")
    buffer.max_line_bytes = 4_000
    lines = [json.loads(line) for line in drained(Outbox(buffer), [1 << 20]).splitlines()]
    assert [line.get("model", line.get("dropped")) for line in lines] == ["0", {TOO_LONG: 1}, "2"]


def test_a_line_that_only_might_have_been_too_long_is_sent() -> None:
    buffer = filled(b"plain text " * 300)
    buffer.max_line_bytes = 4_000
    assert json.loads(drained(Outbox(buffer), [1 << 20]))["model"] == "0"


def test_a_line_that_cannot_be_made_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value is known that encoding fails for; memory may still be short."""

    def fails_for_one(line: Line) -> None:
        if line.fields is not None and line.fields.get("model") == "1":
            raise MemoryError
        complete(line)

    monkeypatch.setattr(outbox, "complete", fails_for_one)
    buffer = filled(b"{}", b"{}", b"{}")
    lines = [json.loads(line) for line in drained(Outbox(buffer), [1 << 20]).splitlines()]
    assert [line.get("model", line.get("dropped")) for line in lines] == ["0", {"encode_failed": 1}, "2"]
