"""Which of nested spans is the row of a call. Pure: ``journal`` keeps what has to outlive the process.

A framework's span of a call encloses the SDK's span of the same call, and the application's encloses the gateway's.
Children end first and are usually exported first, but an exporter that retries turns the order around, and a request may
hold any part of a trace. So a decision is made once per span, when it first arrives, and kept:

- Of the spans of one request, the innermost call that has usage is the row; without usage in any, the innermost.
- A row covers the calls above it, up to an agent or a tool: they are no rows when they arrive later.
- A row without usage covers above it only what has none either.
- A call below one that is a row already is no row.

Invariants: a span that was decided is decided the same way again, so that repeats are repeats; and of two calls of which
one is the other's parent, or is above it through spans that arrived with or after it, one is a row, in any order.

What cannot be told: a call and one above it, whose spans between arrive before the lower one and in another request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from llmledgerd.otlp.calls import Role

ROW: Final = 1
COVERED: Final = 2
WEAKLY_COVERED: Final = 3
"""A row without usage is below: a call with usage is a row all the same, so that its tokens are counted."""

MOST: Final = 100_000
"""Limit of remembered spans, some 20 MB; the oldest are forgotten."""
DEEPEST: Final = 64

Key = bytes
Mark = tuple[Key, int]


class Node(msgspec.Struct, frozen=True, gc=False):
    """One span of a request."""

    key: Key
    """Trace and span."""
    parent: Key = b""
    role: Role = Role.OTHER
    has_usage: bool = False
    is_failure: bool = False
    step: str = ""
    """What a step does, to tell a tool that is reported twice."""


def key_of(trace_id: str, span_id: str) -> Key:
    """Return the key of a span; empty without one."""
    return bytes.fromhex(trace_id + span_id) if span_id else b""


class Nesting:
    """Decisions on spans, remembered within a limit."""

    def __init__(self, most: int = MOST) -> None:
        self._marks: OrderedDict[Key, int] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._marks)

    def remember(self, key: Key, mark: int) -> None:
        """Keep a decision, in the place of an earlier one."""
        self._marks[key] = mark
        if len(self._marks) > self._most:
            self._marks.popitem(last=False)

    def mark(self, key: Key) -> int:
        """Return the decision on a span; 0 without one."""
        return self._marks.get(key, 0)

    def marks(self) -> Iterator[Mark]:
        """Yield what is remembered, oldest first."""
        yield from self._marks.items()

    def decide(self, nodes: Sequence[Node]) -> tuple[list[bool], list[Mark]]:
        """Return which of a request's spans are rows, and the decisions that are new. Remembers nothing."""
        return _Request(nodes, self._marks).decide()


class _Request:
    """The decision on one request."""

    def __init__(self, nodes: Sequence[Node], marks: OrderedDict[Key, int]) -> None:
        self._nodes = nodes
        self._marks = marks
        self._new: dict[Key, int] = {}
        self._at = {node.key: index for index, node in enumerate(nodes)}
        self._is_row = [False] * len(nodes)

    def decide(self) -> tuple[list[bool], list[Mark]]:
        self._pass_up_earlier_marks()
        calls = [index for index, node in enumerate(self._nodes) if node.role is Role.CALL]
        above = {index: self._above(index) for index in calls}
        for index in sorted(calls, key=lambda one: -len(above[one][0])):
            if self._at[self._nodes[index].key] == index:  # of a span that is there twice, the last
                self._decide_call(index, *above[index])
        self._decide_steps()
        return self._is_row, list(self._new.items())

    def _mark(self, key: Key) -> int:
        return self._new.get(key) or self._marks.get(key, 0)

    def _above(self, index: int) -> tuple[list[int], Key]:
        """Return the spans above one, nearest first, up to a boundary, and the key at which the request ends."""
        found: list[int] = []
        at = self._nodes[index].parent
        while at and len(found) < DEEPEST:
            above = self._at.get(at)
            if above is None:
                return found, at
            if above == index or self._nodes[above].role in (Role.AGENT, Role.STEP):
                break
            found.append(above)
            at = self._nodes[above].parent
        return found, b""

    def _pass_up_earlier_marks(self) -> None:
        """Pass the marks that spans got from rows of earlier requests on to the spans above them."""
        for index, node in enumerate(self._nodes):
            mark = self._marks.get(node.key, 0)
            if mark in (COVERED, WEAKLY_COVERED) and node.role in (Role.OTHER, Role.CALL):
                self._cover(*self._above(index), mark)

    def _decide_call(self, index: int, above: list[int], end: Key) -> None:
        node = self._nodes[index]
        mark = self._mark(node.key)
        if mark == ROW:
            is_row = True
        elif mark == COVERED or (mark == WEAKLY_COVERED and not node.has_usage):
            is_row = False
        else:
            if mark == WEAKLY_COVERED:
                self._drop_below(index)
            is_row = not self._is_below_a_row(above, end)
        self._is_row[index] = is_row
        self._set(node.key, ROW if is_row else COVERED)
        if is_row:
            self._cover(above, end, COVERED if node.has_usage else WEAKLY_COVERED)

    def _is_below_a_row(self, above: list[int], end: Key) -> bool:
        """Return whether a call above was made a row by an earlier request."""
        keys = [self._nodes[one].key for one in above]
        return any(self._marks.get(key) == ROW for key in (*keys, end))

    def _drop_below(self, index: int) -> None:
        """Take back rows of this request without usage below a call that has it; failures stay."""
        for one, node in enumerate(self._nodes):
            is_new = self._is_row[one] and node.key not in self._marks
            says_nothing = node.role is Role.CALL and not (node.has_usage or node.is_failure)
            if is_new and says_nothing and index in self._above(one)[0]:
                self._is_row[one] = False
                self._new[node.key] = COVERED

    def _cover(self, above: list[int], end: Key, mark: int) -> None:
        keys = [self._nodes[one].key for one in above if self._nodes[one].role is Role.CALL]
        for key in (*keys, end):
            if key and self._mark(key) in (0, WEAKLY_COVERED):
                self._set(key, mark)

    def _set(self, key: Key, mark: int) -> None:
        if self._marks.get(key) != mark:
            self._new[key] = mark

    def _decide_steps(self) -> None:
        """Make steps rows; of a step within one that does the same, the inner one."""
        repeated: set[int] = set()
        for index, node in enumerate(self._nodes):
            if node.role is not Role.STEP:
                continue
            above = self._at.get(node.parent)
            for _ in range(DEEPEST):
                if above is None or self._nodes[above].role is not Role.OTHER:
                    break
                above = self._at.get(self._nodes[above].parent)
            if above is not None and above != index and self._nodes[above].step == node.step:
                repeated.add(above)
        for index, node in enumerate(self._nodes):
            if node.role is Role.STEP and self._at[node.key] == index:
                self._is_row[index] = index not in repeated
