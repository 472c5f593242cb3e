"""Recognition of a stream's API, and assembly of its response.

Invariant: the shape of the events decides, not the provider's name; a stream of unknown shape is kept event
by event.
"""

from __future__ import annotations

from llmledgerd.usage.decode import encode, is_null, members
from llmledgerd.usage.dispatch import assembler_for
from llmledgerd.usage.providers import bedrock
from llmledgerd.usage.streams import unknown
from llmledgerd.usage.streams.assembled import Whole
from llmledgerd.usage.streams.sse import Events, events

LOOKED_AT = 8
"""Events read to recognize the shape: pings and comments may come first."""


def assemble(stream: str) -> Whole:
    """Return the answer of a stream's text."""
    found = events(stream)
    if found.data and bedrock.PACKED in members(found.data[0]):
        found = bedrock.unpacked(found)
    whole = _assembled(found)
    if is_null(whole.response.get("error")) and is_null(whole.beside.get("error")):
        error = _named_error(found) if found.has_names else b""
        if error:
            whole.beside = {**whole.beside, "error": error}
    return whole


def _assembled(found: Events) -> Whole:
    for position in range(min(LOOKED_AT, len(found.data))):
        assembler = assembler_for(found.name(position), members(found.data[position]))
        if assembler is not None:
            try:
                return assembler(found)
            except RecursionError:  # nested too deep to be joined; then the events are kept
                break
    return unknown.assemble_unknown(found)


def _named_error(found: Events) -> bytes:
    """Return the error in an event's name: ``error``, or one of Bedrock's exceptions."""
    for name in sorted(found.distinct_names()):
        if name == "error" or name.endswith("Exception"):
            position = next(one for one in range(len(found.data)) if found.name(one) == name)
            said = found.value(position)
            nested = said.get("error") if isinstance(said, dict) else None
            return encode(nested) if nested else bedrock.error_of(name, found.data[position])
    return b""
