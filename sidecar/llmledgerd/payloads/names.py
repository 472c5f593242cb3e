"""Names of objects, and the check of names in rows. Pure.

Invariants:
- A name is derived from the row, so that the same row always has the same name.
- No two ids share a name, whatever characters they hold.
- A URI is followed only if it lies under the configured store and has a name that this module gives.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from llmledgerd.records.timestamps import EPOCH

RECORDS: Final = "raw"
FILES: Final = "files"
ENDING: Final = ".json.gz"

PLAIN_BYTES: Final = 150
"""Limit of a plain name; longer ones end in a hash: file systems allow 255 bytes, and the suffix needs 50."""

_RECORD: Final = re.compile(r"raw/date=\d{4}-\d\d-\d\d/[\w.~%=-]+\.json\.gz", re.ASCII)


def record_name(call: str, created_us: int) -> str:
    """Return the name of a call's object, by the day on which it started, in UTC."""
    return f"{folder_of(EPOCH + timedelta(microseconds=created_us))}/{_segment(call)}{ENDING}"


def folder_of(day: datetime) -> str:
    """Return the folder of the calls that started on a day."""
    return f"{RECORDS}/date={day:%Y-%m-%d}"


def day_of(name: str) -> str:
    """Return the day in a call's object's name, as ``YYYY-MM-DD``."""
    return name.removeprefix(f"{RECORDS}/date=").partition("/")[0]


def own_name(name: str, batch: str, row: int) -> str:
    """Return the object name of a call whose id another call of that day has used.

    An id's own ``=`` is encoded, so that no id can have such a name.
    """
    return f"{name.removesuffix(ENDING)}={batch}-{row}{ENDING}"


def file_name(organization: str, digest: str) -> str:
    """Return the name of a file that was cut out of an organization's payloads.

    Each organization has its own folder, although equal files are then stored several times: a sender can
    write a reference itself, and must not get another organization's file.
    """
    return f"{files_of(organization)}/{digest[:2]}/{digest}"


def files_of(organization: str) -> str:
    """Return the folder of an organization's files."""
    return f"{FILES}/org={_segment(organization)}"


def uri(base: str, name: str) -> str:
    """Return the URI of an object, for its row."""
    return f"{base}/{name}"


def name_within(base: str, said: str) -> str | None:
    """Return the name of the object in a row's URI; None if it is not under the configured URL."""
    if not said.startswith(f"{base}/"):
        return None
    name = said[len(base) + 1 :]
    return name if is_record(name) else None


def is_record(name: str) -> bool:
    """Return whether a call's object could have this name."""
    return _RECORD.fullmatch(name) is not None


def _segment(text: str) -> str:
    name = quote(text, safe="", errors="surrogatepass")
    if len(name) <= PLAIN_BYTES:
        return name
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[: PLAIN_BYTES - 65]}={digest}"
