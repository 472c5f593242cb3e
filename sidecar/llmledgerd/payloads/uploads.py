"""Objects that must be in object storage before a batch's rows are inserted.

Invariant: a name is final when its row is encoded for the last time. No row of the batch is inserted before
``done``, and no object is added after it.
"""

from __future__ import annotations

import msgspec


class PayloadObject(msgspec.Struct, frozen=True):
    """One row's payloads as an object."""

    name: str
    content: bytes


class File(msgspec.Struct, frozen=True):
    """File extracted from payloads; its name is derived from its content."""

    name: str
    content: bytes
    media_type: str


class Uploads(msgspec.Struct):
    """Objects and files of one batch."""

    objects: dict[int, PayloadObject] = {}
    """Objects by row."""
    files: dict[str, File] = {}
    """Files by name, so that a file in many payloads is uploaded once."""
    names: dict[int, str] = {}
    """Row -> name of its object, if another call had the usual name."""
    stored: set[str] = set()
    """Names of stored objects that may not be synced yet."""
    done: bool = False
