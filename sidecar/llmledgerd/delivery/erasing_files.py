"""What lies aside in the spool's folder, and is somebody's: dead letters, and copies of damaged segments.

Invariant: a letter or a line that is not theirs keeps its bytes, and what could not be read far enough
to tell whose it is stays and is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.attribution import Person, Verdict, verdict
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.spool.recovery import QUARANTINE
from llmledgerd.spool.scrubbing import scrubbed
from llmledgerd.system.folders import sync_folder

LATER: Final = 1 << 63
"""A time that no line was received at."""

NAMED: Final = 5
"""Letters that are named by their ids; of more there is the number."""


class FilesErased(msgspec.Struct):
    """What was found, or erased, of somebody."""

    letters: int = 0
    lines: int = 0
    """In quarantine."""
    unread: list[str] = []
    """What stays because nobody can tell whose it is, a sentence each."""


def person(erasure: Erasure) -> Person:
    """Return whose lines are asked for."""
    return Person(erasure.organization_id, erasure.customer_id, erasure.user_id)


def covers(erasure: Erasure, line: bytes, received_us: int, *, cut: bool = False) -> bool | None:
    """Return whether an erasure is of a line; None where that cannot be told.

    A ``received_us`` of 0 is not known, and is in time.
    """
    if received_us >= (erasure.before_us or LATER) or received_us > (erasure.until_us or LATER):
        return False
    return {Verdict.YES: True, Verdict.NO: False, Verdict.UNKNOWN: None}[
        verdict(person(erasure), line, cut=cut)
    ]


def concerns(erasure: Erasure, letter: DeadLetter) -> bool | None:
    """Return whether a dead letter is of what is erased; None where its line does not tell."""
    line = dead_letters.bytes_of(letter)
    return covers(erasure, line, letter.received_us, cut=len(line) < letter.size)


def erase(spool_dir: Path, erasure: Erasure, *, only_count: bool) -> FilesErased:
    """Erase what lies aside, or count it. Raises LlmledgerdError where the folders cannot be read or written."""
    done = FilesErased()
    try:
        for path in _files(spool_dir / dead_letters.FOLDER):
            _letters(path, erasure, done, only_count=only_count)
        for path in _files(spool_dir / QUARANTINE):
            _segment(path, erasure, done, only_count=only_count)
    except OSError as error:
        raise LlmledgerdError(f"{error.filename or spool_dir}: {error.strerror}: not erased there") from error
    return done


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder that may not be there; a link leads elsewhere, and is none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    yield from (Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))


def _letters(path: Path, erasure: Erasure, done: FilesErased, *, only_count: bool) -> None:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:  # the daemon has deleted it meanwhile
        return
    kept, unknown = [], []
    for number, line in enumerate(lines, 1):
        try:
            letter = msgspec.json.decode(line, type=DeadLetter)
            goes, name = concerns(erasure, letter), letter.id
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            goes, name = covers(erasure, line, 0, cut=True), f"{path.name}:{number}"
        if goes is None:
            unknown.append(name)
        if not goes:
            kept.append(line)
    done.letters += len(lines) - len(kept)
    if unknown:
        more = f" and {len(unknown) - NAMED:,} more" if len(unknown) > NAMED else ""
        done.unread.append(
            f"{_plural(len(unknown), 'dead letter does', 'dead letters do')} not say whose:"
            f" {', '.join(unknown[:NAMED])}{more}"
        )
    if only_count or len(kept) == len(lines):
        return
    if kept and path.suffix == dead_letters.SUFFIX:
        dead_letters.write_lines(path.parent, path.stem, kept)
    else:  # what is half written is written again by its writer
        path.unlink(missing_ok=True)


def _segment(path: Path, erasure: Erasure, done: FilesErased, *, only_count: bool) -> None:
    found = scrubbed(
        path.read_bytes(),
        lambda line, received_us, cut: covers(erasure, line, received_us, cut=cut),
    )
    done.lines += found.lines
    if found.unknown:
        places = _plural(found.unknown, "place", "places")
        done.unread.append(f"quarantine/{path.name}: {places} that is not a valid value")
    if only_count or not found.lines:
        return
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with open(temporary, "xb", opener=dead_letters.for_owner) as stream:
        stream.writelines(found.buffers)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)  # beside, since the file may be a second name of a segment that is shipped
    sync_folder(path.parent)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
