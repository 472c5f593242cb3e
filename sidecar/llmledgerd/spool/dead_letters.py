"""Dead letters: lines that cannot become rows, kept with their bytes and the reason.

Invariant: the dead letters of a segment are on the disk before the segment is written off: those of
lines that no store accepts in one file named after its batch, and those of rows that one store
refused in one named after batch and store. Writing them again replaces them by the same.

One file holds one JSON object a line. ``line`` is the text as received, or ``line_base64`` its
bytes where they are no UTF-8; of a line over the limit both hold how it began.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from llmledgerd.system.folders import make_folder, sync_folder

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
    """Store that refused the row; empty if the line is not a record."""
    line: str | None = None
    line_base64: str | None = None


class Pruned(msgspec.Struct, kw_only=True):
    """Result of ``prune``: letters deleted, and letters and bytes left."""

    gone: int = 0
    files: int
    size: int
    failed: list[str] = []
    """Files that could not be read or deleted, and why."""


_encode = msgspec.json.Encoder().encode


def with_line(letter: DeadLetter, line: bytes | memoryview) -> DeadLetter:
    """Return the letter with its bytes, as text where that loses nothing."""
    try:
        letter.line = str(line, "utf-8")
    except UnicodeDecodeError:
        letter.line_base64 = base64.b64encode(line).decode()
    return letter


def write(spool_dir: Path, name: str, letters: Iterable[DeadLetter]) -> None:
    """Write and sync dead letters to the file of this name. After an OSError, call this again."""
    write_lines(spool_dir / FOLDER, name, (piece for letter in letters for piece in (_encode(letter), b"\n")))


def write_lines(folder: Path, name: str, lines: Iterable[bytes]) -> None:
    """Write and sync encoded letters to the file of this name. After an OSError, call this again."""
    make_folder(folder)
    temporary = folder / f"{name}.tmp"
    try:
        temporary.unlink(missing_ok=True)  # replaces a link instead of writing to its target
        with open(temporary, "xb", opener=for_owner) as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()  # on a full disk it occupies the space that is needed
        raise
    temporary.replace(folder / f"{name}{SUFFIX}")
    sync_folder(folder)


@contextlib.contextmanager
def alone(spool_dir: Path) -> Iterator[None]:
    """Context in which no other process replays letters."""
    try:
        descriptor = os.open(spool_dir / FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # no folder, no letters
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(spool_dir: Path) -> list[DeadLetter]:
    """Return all dead letters, oldest first."""
    letters = [letter for path in files(spool_dir) for letter in _letters_in(path)]
    return sorted(letters, key=lambda letter: letter.received_us)


def remove(spool_dir: Path, ids: Collection[str]) -> int:
    """Delete dead letters, and return the number deleted."""
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
    """Delete whole files, oldest first, until the rest is young and small enough.

    A file that cannot be read or deleted is skipped and reported. Raises OSError where the folder
    cannot be listed.
    """
    failed: list[str] = []
    found: list[tuple[int, int, Path]] = []
    for path in files(spool_dir):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            failed.append(f"{path.name}: {error.strerror or error}")
        else:
            found.append((status.st_mtime_ns, status.st_size, path))
    left = Pruned(files=len(found), size=sum(size for _, size, _ in found), failed=failed)
    for changed_ns, size, path in sorted(found):
        if left.size <= max_bytes and changed_ns // 1000 >= oldest_us:
            break
        try:
            letters = _count(path)
            path.unlink(missing_ok=True)
        except OSError as error:
            failed.append(f"{path.name}: {error.strerror or error}")
            continue
        left.gone += letters
        left.files -= 1
        left.size -= size
    return left


def files(spool_dir: Path) -> list[Path]:
    """Return the files of dead letters; none where there is no such folder. Raises OSError.

    Links are ignored, because they lead elsewhere.
    """
    try:
        with os.scandir(spool_dir / FOLDER) as entries:
            return [Path(one.path) for one in entries if one.name.endswith(SUFFIX) and not one.is_symlink()]
    except FileNotFoundError:
        return []


def _count(path: Path) -> int:
    """Return the number of letters in a file, without reading it into memory at once."""
    with path.open("rb") as stream:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))


def line_of(letter: DeadLetter) -> bytes | None:
    """Return the letter's whole line, or None where only its head was kept."""
    line = bytes_of(letter)
    return line if len(line) == letter.size else None


def bytes_of(letter: DeadLetter) -> bytes:
    """Return the stored bytes of the letter's line. Raises ValueError for invalid base64."""
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
