"""Dispatch of usage objects and streams to the providers' modules.

Invariant: the shape of the bytes decides, never the provider's name. For usage the members' names are
enough, so that the SQL view can make the same choice.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.usage.api import Assembler, Rule
from llmledgerd.usage.decode import Members, value
from llmledgerd.usage.providers import APIS

USAGE_SHAPES: Final = tuple(shape for api in APIS for shape in api.usage)
STREAM_SHAPES: Final = tuple(shape for api in APIS for shape in api.streams)


def rule_for(usage: Members) -> Rule | None:
    """Return the rule of a usage object, or None if no member is known."""
    return next((shape.rule for shape in USAGE_SHAPES if shape.matches(usage)), None)


def assembler_for(name: str, event: Members) -> Assembler | None:
    """Return the assembler of an event's stream, or None if the event is ambiguous."""
    kind = str(value(event["type"])) if "type" in event else ""
    return next((shape.assemble for shape in STREAM_SHAPES if shape.matches(name, kind, event)), None)
