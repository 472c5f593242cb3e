"""The file system, as little of it as the spool needs.

Invariant: the spool reaches the disk through this class alone, so that a test can put one in its
place that loses what was not synced, tears writes and fails calls.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from llmtraced.errors import SpoolLocked

IOV_MAX = 1024  # Linux's and macOS's bound on the buffers of one writev


class Handle:
    """A file that is being appended to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append all of the buffers. Raises OSError, after which any part may be in the file."""
        waiting = [memoryview(buffer) for buffer in buffers if len(buffer)]
        while waiting:
            written = os.writev(self._descriptor, waiting[:IOV_MAX])
            while written:
                if written < len(waiting[0]):
                    waiting[0] = waiting[0][written:]
                    break
                written -= len(waiting.pop(0))

    def sync(self) -> None:
        """Return when what was written is on the disk. Raises OSError."""
        # macOS has no fdatasync; there fsync is what there is.
        getattr(os, "fdatasync", os.fsync)(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class Files:
    """One folder on a real file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None

    def lock(self) -> None:
        """Make the folder and take it. Raises SpoolLocked while another process has it."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise SpoolLocked(f"{self.root}: another daemon has this spool open") from None
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self.root) if entry.is_file())

    def size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    def create(self, name: str) -> Handle:
        """Return a new, empty file to append to. Raises FileExistsError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return Handle(os.open(self.root / name, flags, 0o600))

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        with (self.root / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(size)

    def truncate(self, name: str, size: int) -> None:
        os.truncate(self.root / name, size)

    def rename(self, name: str, other: str) -> None:
        """Rename, replacing what has the other name; it may lie in a folder below, made here."""
        target = self.root / other
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).replace(target)

    def copy(self, name: str, other: str) -> None:
        """Keep the file's present bytes under another name as well."""
        target = self.root / other
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(self.root / name, target)

    def unlink(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def sync_folder(self) -> None:
        """Return when creations, renames and deletions in the folder are on the disk."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self) -> int:
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def reserve(self, name: str, size: int) -> None:
        """Make sure that ``name`` occupies ``size`` bytes. Raises OSError where they are not there."""
        descriptor = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
