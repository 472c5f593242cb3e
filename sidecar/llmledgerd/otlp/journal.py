"""Journal of decisions on nested spans, so that a restart decides as before.

Invariant: a decision is synced before the lines that follow from it reach the spool. A torn or damaged end is cut off;
the spans that it was about have not been answered, and are sent again.

An entry has 32 bytes: trace and span (24), the mark (1), zeros (3), and a checksum of these. The file is rewritten from
memory when it holds four times what is remembered.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from llmledgerd.otlp.nesting import COVERED, ROW, WEAKLY_COVERED, Mark, Nesting

NAME: Final = "otlp-decisions"
_ENTRY: Final = struct.Struct("<24sB3x")
SIZE: Final = _ENTRY.size + 4
KNOWN: Final = (ROW, COVERED, WEAKLY_COVERED)
SMALLEST: Final = 4096
"""Entries below which the file is not rewritten."""


class Journal:
    """The file, and the decisions in memory."""

    def __init__(self, folder: Path, nesting: Nesting, *, fsync: bool = True) -> None:
        self.nesting = nesting
        self._path = folder / NAME
        self._fsync = fsync
        self._file = -1
        self._entries = 0

    def open(self) -> None:
        """Read the decisions of earlier processes. Raises OSError."""
        raw = self._path.read_bytes() if self._path.exists() else b""
        whole = 0
        for key, mark in read(raw):
            self.nesting.remember(key, mark)
            whole += 1
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, whole * SIZE)
        os.lseek(self._file, 0, os.SEEK_END)
        self._entries = whole
        self._sync_folder()

    def add(self, marks: Iterable[Mark]) -> None:
        """Make decisions durable, then remember them. Raises OSError, and then remembers none."""
        found = list(marks)
        if not found:
            return
        body = b"".join(entry(*one) for one in found)
        try:
            _write(self._file, body)
            self._sync(self._file)
        except OSError:
            os.ftruncate(self._file, self._entries * SIZE)
            os.lseek(self._file, 0, os.SEEK_END)
            raise
        self._entries += len(found)
        for key, mark in found:
            self.nesting.remember(key, mark)
        if self._entries > max(SMALLEST, 4 * len(self.nesting)):
            self._rewrite()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        written = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(written, b"".join(entry(*one) for one in self.nesting.marks()))
            self._sync(written)
            fresh.replace(self._path)
        except OSError:
            os.close(written)
            raise
        self._sync_folder()
        os.close(self._file)
        self._file, self._entries = written, len(self.nesting)

    def _sync(self, descriptor: int) -> None:
        if self._fsync:
            os.fsync(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def entry(key: bytes, mark: int) -> bytes:
    """Return a decision as bytes."""
    body = _ENTRY.pack(key, mark)
    return body + zlib.crc32(body).to_bytes(4, "little")


def read(raw: bytes) -> Iterator[Mark]:
    """Yield the decisions up to the first that is not whole."""
    for start in range(0, len(raw) - SIZE + 1, SIZE):
        body, check = raw[start : start + _ENTRY.size], raw[start + _ENTRY.size : start + SIZE]
        key, mark = _ENTRY.unpack(body)
        if zlib.crc32(body) != int.from_bytes(check, "little") or mark not in KNOWN:
            return
        yield key, mark


def _write(descriptor: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]
