"""Marks that erasures leave in the spool's folder, for lines that have not landed in every store yet.

Invariant: a mark is on the disk before anything is erased, and stays until no line waits that it
covers, and until it was executed in every store that was away. Until then no row, no object and no
dead letter is made of such a line that the erasure would have taken: a store that was away does not
bring back what was erased.

One file holds one mark, as JSON: ``erasures/ID.json``.
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from llmledger.protocol import Begin
from llmledgerd.errors import LlmledgerdError
from llmledgerd.log import Recurring
from llmledgerd.query.erasure import PAYLOADS, Erasure, left_of
from llmledgerd.records.rows import ABANDONED
from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS, Row
from llmledgerd.spool import dead_letters
from llmledgerd.system.folders import make_folder, sync_folder

FOLDER: Final = "erasures"
SUFFIX: Final = ".json"

_AT: Final = {name: index for index, name in enumerate(COLUMNS)}
_TEXT: Final = re.compile(rb'("(?:[^"\\]|\\.)*"\s*:)|"(?:[^"\\]|\\.)*"')


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was erased, and who asked."""

    erasure: Erasure
    by: str
    owed: tuple[str, ...] = ()
    """Stores that were away: the erasure is executed there when they are back."""


def leave(spool_dir: Path, mark: Mark, name: str = "") -> str:
    """Put a mark on the disk, new or instead of the one of a name; return its name.

    Raises LlmledgerdError: then nothing may be erased.
    """
    folder = spool_dir / FOLDER
    name = name or f"{uuid.uuid4()}{SUFFIX}"
    try:
        make_folder(folder)
        staged = folder / str(uuid.uuid4())
        with open(staged, "xb", opener=dead_letters.for_owner) as stream:
            stream.write(msgspec.json.encode(mark))
            stream.flush()
            os.fsync(stream.fileno())
        staged.rename(folder / name)
        sync_folder(folder)
        sync_folder(spool_dir)
    except OSError as error:
        raise LlmledgerdError(f"{folder}: {error.strerror}: nothing is erased") from error
    return name


class Marks:
    """The marks in one folder. For any thread."""

    def __init__(self, spool_dir: Path, stores: Sequence[str] = ()) -> None:
        """``stores`` are those that erasures may be owed to."""
        self._spool_dir = spool_dir
        self._folder = spool_dir / FOLDER
        self._stores = frozenset(stores)
        self._changing = threading.Lock()
        self._known: dict[str, Mark] = {}
        self.recurring = Recurring()

    def current(self) -> tuple[Erasure, ...]:
        """Return the erasures in force, read anew from the folder, since a command may leave some too."""
        known: dict[str, Mark] = {}
        for name in self._names():
            try:
                known[name] = self._read(name)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                self.recurring.error("invalid erasure mark", file=name, error=str(error))
        self._known = known
        return tuple(mark.erasure for mark in known.values())

    def owed(self, store: str) -> dict[str, Erasure]:
        """Return the erasures that a store has missed, by the names of their marks."""
        self.current()
        return {name: mark.erasure for name, mark in self._known.items() if store in mark.owed}

    def paid(self, name: str, store: str) -> None:
        """Note that an erasure was executed in a store that had missed it. Raises LlmledgerdError."""
        with self._changing:
            mark = self._known[name]
            owed = tuple(one for one in mark.owed if one != store)
            changed = msgspec.structs.replace(mark, owed=owed)
            leave(self._spool_dir, changed, name)
            self._known = {**self._known, name: changed}

    @property
    def are_left(self) -> bool:
        """Whether there was any at the last look."""
        return bool(self._known)

    def forget(self, oldest_us: int) -> None:
        """Delete the marks that cover nothing that waits: the oldest line was received at this time."""
        for name, mark in list(self._known.items()):
            if (mark.erasure.until_us or 0) < oldest_us and self._stores.isdisjoint(mark.owed):
                (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return []

    def _read(self, name: str) -> Mark:
        return msgspec.json.decode((self._folder / name).read_bytes(), type=Mark)


def covers_row(erasures: Sequence[Erasure], row: Row, received_us: int) -> Erasure | None:
    """Return the erasure that takes a row, the one that takes most of it where there are several."""
    found = [erasure for erasure in erasures if _takes(erasure, row, received_us)]
    return next((erasure for erasure in found if erasure.rows), found[0] if found else None)


def covers(erasures: Sequence[Erasure], sent: Row, stored: Row, received_us: int) -> Erasure | None:
    """Return the erasure that takes a row, by the names that were sent or are stored."""
    return covers_row(erasures, sent, received_us) or covers_row(erasures, stored, received_us)


def as_left(erasures: Sequence[Erasure], sent: Row, stored: Row, received_us: int) -> Row | None:
    """Return a row as the erasures leave it, by the names that were sent or are stored; None where it goes."""
    erasure = covers(erasures, sent, stored, received_us)
    if erasure is None:
        return stored
    return None if erasure.rows else emptied(stored)


def _takes(erasure: Erasure, row: Row, received_us: int) -> bool:
    if row[_AT["organization_id"]] != erasure.organization_id:
        return False
    created_us = row[_AT["created_at"]]
    assert isinstance(created_us, int)  # noqa: S101 - tells the type checker what the column holds
    # A call that was given up is received when that is said, and was known of before.
    known_us = min(received_us, created_us) if row[_AT["outcome"]] == ABANDONED else received_us
    return (
        erasure.user_id in (None, row[_AT["user_id"]])
        and erasure.customer_id in (None, row[_AT["billing_customer_id"]])
        and (erasure.before_us is None or created_us < erasure.before_us)
        and (erasure.until_us is None or known_us <= erasure.until_us)
    )


def covers_begin(erasures: Sequence[Erasure], begin: Begin, received_us: int) -> bool:
    """Return whether the row that would stand for a call is taken, should its record not come."""
    customer = (begin.billing.customer_id if begin.billing else None) or ""
    return any(
        erasure.rows
        and erasure.organization_id == (begin.org_id or "")
        and erasure.user_id in (None, begin.user_id or "")
        and erasure.customer_id in (None, customer)
        and received_us < (erasure.before_us or received_us + 1)
        and received_us <= (erasure.until_us or received_us)
        for erasure in erasures
    )


def emptied(row: Row) -> Row:
    """Return a row without its payloads, as the erasure of payloads leaves it in a store."""
    values = list(row)
    for name in PAYLOADS:
        values[_AT[name]] = b"" if name in BYTES_COLUMNS else left_of(name)
    usage = values[_AT["usage_json"]]
    if isinstance(usage, bytes):
        values[_AT["usage_json"]] = _TEXT.sub(lambda found: found[1] or b'""', usage)
    return tuple(values)
