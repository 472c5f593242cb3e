"""A line as the sender gets it, without a sender."""

from __future__ import annotations

from typing import Any, Literal

from llmledger.buffer import Buffer
from llmledger.line import Line


def taken(kind: Literal["record", "begin"], fields: dict[str, Any], at: float) -> Line:
    """Return what a buffer makes of these fields."""
    buffer = Buffer(1 << 30)
    assert buffer.take(kind, fields, at)
    line = buffer.next_line()
    assert line is not None
    return line
