"""Registration interface of a provider's module: hosts, usage objects and streams.

Invariant: an entry is data and pure functions, so that all decisions about which module reads an
exchange are made in ``dispatch.py`` and ``url_rules.py``, from the list in ``providers/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llmledgerd.usage.decode import Json, Members
from llmledgerd.usage.exchange_facts import Facts
from llmledgerd.usage.streams.assembled import Whole
from llmledgerd.usage.streams.sse import Events

Rule = Callable[[Json], Facts]
Assembler = Callable[[Events], Whole]


class UsageShape(NamedTuple):
    """A usage object, recognized by the names of its members alone, as the SQL view has to."""

    rule: Rule
    any_of: frozenset[str]
    """One of these names is required,"""
    and_any_of: frozenset[str] = frozenset()
    """and one of these, if any."""

    def matches(self, usage: Members) -> bool:
        """Return whether the usage object has this shape.

        >>> UsageShape(rule=len, any_of=frozenset({"eval_count"})).matches({"eval_count": b"3"})
        True
        """
        if self.any_of.isdisjoint(usage):
            return False
        return not self.and_any_of or not self.and_any_of.isdisjoint(usage)


class StreamShape(NamedTuple):
    """Streamed answer, recognized by one of its first events."""

    assemble: Assembler
    matches: Callable[[str, str, Members], bool]
    """Function of the event's SSE name, its ``type`` and its members."""


class Api(NamedTuple):
    """Registration of one module. Every part is optional."""

    hosts: tuple[tuple[str, str], ...] = ()
    """Host, suffix with a leading dot, or pattern with ``*``, and its provider; specific entries before general ones."""
    usage: tuple[UsageShape, ...] = ()
    streams: tuple[StreamShape, ...] = ()
