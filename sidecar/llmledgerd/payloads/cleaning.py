"""Cleanup of objects whose rows have expired.

Invariants:
- A call's object is deleted only if it is older than the retention of rows, and no row refers to it.
- A file is deleted only if no payload has referred to it for as long, plus a margin. Payloads are not
  searched; storing one refreshes the age of its files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from llmledgerd.payloads import names

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Found, Objects

FILES_MARGIN: Final = timedelta(days=15)
"""Margin: rows expire by weekly partitions, some days late, and a file is refreshed at most once a day."""

Pointed = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Function that returns the names to which rows refer."""


class Cleaned(msgspec.Struct):
    """Objects deleted, or to be deleted."""

    objects: int = 0
    object_bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    kept: int = 0
    """Old objects to which rows refer."""


async def clean(
    objects: Objects,
    pointed: Pointed,
    before: datetime,
    *,
    delete: bool,
    on_step: Callable[[int], None] = lambda looked_at: None,
) -> Cleaned:
    """Find objects older than a time without a row, and ``delete`` or only count them.

    ``on_step`` receives the number of old objects examined so far.

    Raises StoreBusy; earlier deletions remain, and the command can be run again.
    """
    done = Cleaned()
    for page in _old_records(objects, before):
        wanted = await pointed([found.name for found in page])
        gone = [found for found in page if found.name not in wanted]
        done.kept += len(page) - len(gone)
        done.objects += len(gone)
        done.object_bytes += sum(found.size for found in gone)
        if delete:
            objects.delete([found.name for found in gone])
        on_step(done.kept + done.objects)
    for page in _older(objects.pages(names.FILES), before - FILES_MARGIN):
        done.files += len(page)
        done.file_bytes += sum(found.size for found in page)
        if delete:
            objects.delete([found.name for found in page])
    return done


def pointed_sql(wanted: Sequence[str]) -> str:
    """Return the SQL that selects the names to which rows refer, under any URL of the store.

    Only names from this package occur, which need no escaping. The day in a name limits the query to the
    rows of that day.
    """
    ours = [name for name in wanted if names.is_record(name)]
    asked = ", ".join(f"'{name}'" for name in ours)
    days = ", ".join(sorted({f"toDate('{names.day_of(name)}')" for name in ours}))
    start = f"position(payload_uri, '{names.RECORDS}/date=')"
    return (
        f"SELECT DISTINCT substring(payload_uri, {start}) AS name FROM llm_traces"  # noqa: S608 - names of one form, checked above
        f" WHERE toDate(created_at, 'UTC') IN ({days}) AND substring(payload_uri, {start}) IN ({asked})"
    )


def _old_records(objects: Objects, before: datetime) -> Iterator[list[Found]]:
    for folder in objects.folders(names.RECORDS):
        if folder < names.folder_of(before):  # a call's day is no later than the one on which it was stored
            yield from _older(objects.pages(folder), before, names.is_record)


def _older(
    pages: Iterator[list[Found]], before: datetime, ours: Callable[[str], bool] = lambda name: True
) -> Iterator[list[Found]]:
    for page in pages:
        old = [found for found in page if found.modified < before and ours(found.name)]
        if old:
            yield old
