"""What a spool was given and what it has promised of it, as a test sees it from outside."""

from __future__ import annotations

from collections import Counter

import msgspec

from llmtraced.spool import Group


class Died(BaseException):
    """The process ends here, whatever handlers there are."""


class Sent(msgspec.Struct):
    """A group that was offered to the spool."""

    group: Group
    lines: list[bytes]
    senders: list[tuple[bytes, int]]
    """Of each line: its session (empty for a one-way sender) and its number."""
    begun: list[str] = []


class Ledger(msgspec.Struct):
    """What the spool has promised."""

    lines: dict[bytes, tuple[int, int]] = {}
    """Lines that wait -> segment and row."""
    settled: set[bytes] = set()
    durable: Counter[bytes] = msgspec.field(default_factory=Counter)
    begun: set[str] = set()
    abandoned: set[str] = set()
    condemned: dict[int, set[int]] = {}
    batches: dict[int, str] = {}
    counts: Counter[str] = msgspec.field(default_factory=Counter)
