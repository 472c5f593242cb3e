"""Lines that are read some at a time (``delivery.ready_lines``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmledger.protocol import Begin, Record
from llmledgerd.delivery.batch import Source
from llmledgerd.delivery.ready_lines import MOST_BYTES, MOST_LINES, Ready, ready_lines
from llmledgerd.delivery.segment_lines import Line
from llmledgerd.errors import Rejected
from llmledgerd.records.schema import Row
from llmledgerd.records.steps import Steps
from llmledgerd.spool import Entry


def _source(row: int) -> Source:
    return Source(row, 0, 0, Entry(0, b"", 0, 1, 0), 0, "", "")


def _steps(source: Source, line: Line, record: Record) -> Steps[Row]:
    yield
    if record.agent_id == "odd":
        raise ZeroDivisionError(source.row)
    return (source.row, bytes(line))


def _read(lines: list[bytes], left_out: int = -1) -> list[Ready]:
    given = ((_source(row), line) for row, line in enumerate(lines))
    return list(ready_lines(given, _steps, lambda source: source.row != left_out))


RECORD, ODD = b'{"protocol_version":4}', b'{"protocol_version":4,"agent_id":"odd"}'
BEGIN = b'{"protocol_version":4,"begin":{"provider_trace_id":"a"}}'


def test_each_line_is_what_it_is_alone_and_stays_in_its_place() -> None:
    found = _read([RECORD, b"{", BEGIN, ODD, RECORD, RECORD], left_out=4)

    assert [one.source.row for one in found] == list(range(6))
    assert [type(one.error) for one in found] == [
        type(None), Rejected, type(None), ZeroDivisionError, type(None), type(None),
    ]  # fmt: skip
    assert [one.row for one in found] == [(0, RECORD), (), (), (), (), (5, RECORD)]
    assert isinstance(found[2].parsed, Begin)
    assert found[4].parsed is None


@pytest.mark.parametrize(("line", "most"), [(RECORD, MOST_LINES), (b" " * (MOST_BYTES // 4) + RECORD, 4)])
def test_no_more_lines_are_taken_than_are_read_together(line: bytes, most: int) -> None:
    taken = []

    def lines() -> Iterator[tuple[Source, Line]]:
        for row in range(3 * MOST_LINES):
            taken.append(row)
            yield _source(row), line

    for done, one in enumerate(ready_lines(lines(), _steps, lambda _: True)):
        assert one.row
        assert len(taken) - done <= most
