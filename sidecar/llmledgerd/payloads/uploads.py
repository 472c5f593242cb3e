"""Objects that must be in object storage before a batch's rows are inserted.

Invariant: a name is decided when its row is encoded for the last time; until ``done`` nothing of the
batch may be inserted, and after it nothing is added.
"""

from __future__ import annotations

import msgspec


class PayloadObject(msgspec.Struct, frozen=True):
    """One row's payloads as an object."""

    name: str
    content: bytes


class File(msgspec.Struct, frozen=True):
    """A file that was cut out of payloads; its name is made of its content."""

    name: str
    content: bytes
    media_type: str


class Uploads(msgspec.Struct):
    """Of one batch."""

    objects: dict[int, PayloadObject] = {}
    """By row."""
    files: dict[str, File] = {}
    """By name, so that a file that many payloads hold is uploaded once."""
    names: dict[int, str] = {}
    """Rows whose object has a name of its own, because another call had theirs."""
    stored: set[str] = set()
    """Names of objects that are stored, and may still have to be synced."""
    done: bool = False
