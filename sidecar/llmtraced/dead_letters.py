"""Dead letters: lines that cannot become rows, kept with their bytes and the reason.

Invariant: the dead letters of a segment are on the disk before the segment is written off: those of
lines that nobody could store in one file named after its batch, and those of rows that one store
refused in one named after batch and store. Writing them again replaces them by the same.

One file holds one JSON object a line. ``line`` is the text as received, or ``line_base64`` its
bytes where they are no UTF-8; of a line over the limit both hold how it began.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from llmtraced.folders import make_folder, sync_folder

FOLDER = "dead-letters"
SUFFIX = ".ndjson"


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line that was refused. ``id`` is ``batch:row``, or ``batch:row:store``; unique and stable."""

    id: str
    reason: str
    detail: str = ""
    received_us: int
    size: int
    """Bytes of the line as it was sent."""
    session: str = ""
    line_number: int = 0
    service: str = ""
    store: str = ""
    """Which store refused it; empty where the line is no record."""
    line: str | None = None
    line_base64: str | None = None


class Pruned(msgspec.Struct, kw_only=True):
    """How many letters were deleted, and what is left."""

    gone: int = 0
    files: int
    size: int


_encode = msgspec.json.Encoder().encode


def with_line(letter: DeadLetter, line: bytes) -> DeadLetter:
    """Return the letter with its bytes, as text where that loses nothing."""
    try:
        letter.line = line.decode()
    except UnicodeDecodeError:
        letter.line_base64 = base64.b64encode(line).decode()
    return letter


def write(spool_dir: Path, name: str, letters: Iterable[DeadLetter]) -> None:
    """Put dead letters on the disk, in the file of this name. Raises OSError, and is to be called again then."""
    write_lines(spool_dir / FOLDER, name, (_encode(letter) + b"\n" for letter in letters))


def write_lines(folder: Path, name: str, lines: Iterable[bytes]) -> None:
    """Put encoded letters into the file of this name. Raises OSError, and is to be called again then."""
    make_folder(folder)
    temporary = folder / f"{name}.tmp"
    temporary.unlink(missing_ok=True)  # not written through, should it be a link
    with open(temporary, "xb", opener=for_owner) as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / f"{name}{SUFFIX}")
    sync_folder(folder)


def read(spool_dir: Path) -> list[DeadLetter]:
    """Return all dead letters, oldest first."""
    letters = [letter for path in files(spool_dir) for letter in _letters_in(path)]
    return sorted(letters, key=lambda letter: letter.received_us)


def remove(spool_dir: Path, ids: Collection[str]) -> int:
    """Delete some dead letters, and return how many there were."""
    removed = 0
    for path in files(spool_dir):
        letters = _letters_in(path)
        kept = [letter for letter in letters if letter.id not in ids]
        if len(kept) == len(letters):
            continue
        removed += len(letters) - len(kept)
        if kept:
            write(spool_dir, path.stem, kept)
        else:
            path.unlink(missing_ok=True)
    return removed


def prune(spool_dir: Path, max_bytes: int, oldest_us: int) -> Pruned:
    """Delete whole files, oldest first, until the rest is young and small enough."""
    found = [(path.stat(), path) for path in files(spool_dir)]
    found.sort(key=lambda item: item[0].st_mtime_ns)
    left = Pruned(files=len(found), size=sum(status.st_size for status, _ in found))
    for status, path in found:
        if left.size <= max_bytes and status.st_mtime_ns // 1000 >= oldest_us:
            break
        left.gone += path.read_bytes().count(b"\n")
        path.unlink(missing_ok=True)
        left.files -= 1
        left.size -= status.st_size
    return left


def files(spool_dir: Path) -> list[Path]:
    """Return the files of letters; a link leads elsewhere, and is none."""
    return [path for path in (spool_dir / FOLDER).glob(f"*{SUFFIX}") if not path.is_symlink()]


def line_of(letter: DeadLetter) -> bytes | None:
    """Return the letter's whole line, or None where only its head was kept."""
    line = bytes_of(letter)
    return line if len(line) == letter.size else None


def bytes_of(letter: DeadLetter) -> bytes:
    """Return what was kept of the letter's line. Raises ValueError where it is no base64."""
    return base64.b64decode(letter.line_base64) if letter.line_base64 else (letter.line or "").encode()


def _letters_in(path: Path) -> list[DeadLetter]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # the daemon has pruned it meanwhile
        return []
    return [msgspec.json.decode(line, type=DeadLetter) for line in lines if line]


def for_owner(path: str, flags: int) -> int:
    """Open a file that holds payloads, in a folder that others may be able to enter."""
    return os.open(path, flags, 0o600)
