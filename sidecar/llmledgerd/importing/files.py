"""Records in files: one on each line of NDJSON, or one object in each file of a tree.

Invariant: the same files give the same lines in the same order, so that a line's number says where
to go on; and one line at a time is in memory, however large the files are.
"""

from __future__ import annotations

import gzip
import os
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from llmledger.protocol import Record
from llmledgerd.errors import LlmledgerdError, Rejected
from llmledgerd.json_text import is_json
from llmledgerd.records import parsing

LINES: Final = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
OBJECTS: Final = (".json", ".json.gz")
_OF_A_FOLDER: Final = uuid.UUID("7d5f2f0e-6b58-5d0b-8f35-0a3c1f6f9b11")
"""The namespace of sessions; any constant will do."""


class Source(msgspec.Struct, frozen=True):
    """Files that are sent in one session: one of lines, or all objects of one folder."""

    name: str
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def session(self) -> str:
        """The same while the files are the same: by name, size and time of change."""
        seen = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self.files]
        return str(uuid.uuid5(_OF_A_FOLDER, "\n".join(seen)))


class Line(msgspec.Struct, frozen=True):
    """A line, and where it stands; or why it cannot be read."""

    place: str
    body: bytes
    fault: str
    done: int
    """Bytes of its file, as it lies on the disk, that have been read."""


def sources(paths: list[Path]) -> list[Source]:
    """Return what lies at the paths, folders searched to the bottom. Raises LlmledgerdError for a wrong one."""
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            found += _in_folder(path)
        elif path.is_file():
            found.append(Source(str(path), (path,)))
        else:
            raise LlmledgerdError(f"{path}: no such file")
    return found


def _in_folder(top: Path) -> Iterator[Source]:
    for folder, below, names in os.walk(top):
        below.sort()
        files = [Path(folder, name) for name in sorted(names)]
        objects = tuple(path for path in files if path.name.endswith(OBJECTS))
        if objects:
            yield Source(folder, objects)
        for path in files:
            if path.name.endswith(LINES):
                yield Source(str(path), (path,))


def lines(source: Source, limit: int) -> Iterator[Line]:
    """Yield the records of a source, with the faults among them."""
    done = 0
    for path in source.files:
        for line in _lines_of(path, limit):
            yield msgspec.structs.replace(line, done=done + line.done)
        done += path.stat().st_size


def fault(body: bytes) -> str:
    """Return why a line is no record; empty where it is one."""
    try:
        parsed = parsing.parse(body)
    except Rejected as refusal:
        return str(refusal)
    return "" if isinstance(parsed, Record) else "not a record but a control line"


def _lines_of(path: Path, limit: int) -> Iterator[Line]:
    with path.open("rb") as raw:
        packed = path.name.endswith(".gz")
        stream = cast("BinaryIO", gzip.open(raw)) if packed else raw  # noqa: SIM115 - it holds nothing but `raw`
        try:
            if path.name.endswith(OBJECTS):
                whole = stream.read(limit + 1).strip()
                if len(whole) <= limit and is_json(whole):
                    # Outside of strings a newline is space, and inside there is none.
                    yield _checked(str(path), whole.replace(b"\n", b" ").replace(b"\r", b" "), raw.tell())
                    return
                stream.seek(0)
            for number, line in enumerate(_split(stream, limit), 1):
                place = f"{path}:{number}"
                if line is None:
                    yield Line(place, b"", f"{parsing.TOO_LONG}: over {limit} bytes", raw.tell())
                elif line.strip():
                    yield _checked(place, line.strip(), raw.tell())
        except (OSError, EOFError, zlib.error) as error:
            yield Line(str(path), b"", f"cannot be read further: {error}", raw.tell())


def _checked(place: str, body: bytes, done: int) -> Line:
    return Line(place, body, fault(body), done)


def _split(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """Yield lines; None for one over the limit, which is read past."""
    while line := stream.readline(limit + 2):
        if len(line.rstrip(b"\r\n")) <= limit:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield None
