"""File system interface of the spool.

Invariant: the spool reaches the disk through ``FileSystem`` alone, so that a test can put one in
its place that loses what was not synced, tears writes and fails calls.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from llmledgerd.errors import ConfigError, SpoolLocked
from llmledgerd.system.folders import make_folder, sync_folder

IOV_MAX = 1024  # Linux's and macOS's bound on the buffers of one writev
RESYNC_BYTES = 1 << 20

O_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux's; macOS has none
BLOCK_BYTES = 4096
"""Unit of direct writes: no disk has larger logical blocks."""
STAGED_BYTES = 256 << 10
WINDOW_BYTES = 1 << 20
"""Read buffer of one thread; larger reads pass through it in parts."""


class Handle(Protocol):
    """A file that is being appended to."""

    @property
    def block(self) -> int:
        """Unit of writes in bytes."""

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append all of the buffers. Raises OSError, after which any part may be in the file."""

    def sync(self) -> None:
        """Return when all writes are on the disk. After an OSError their state is unknown."""

    def close(self) -> None:
        """Close the file. Further calls have no effect."""


class FileSystem(Protocol):
    """One folder. Every method raises OSError; names are relative to the folder."""

    def names(self, folder: str = "") -> list[str]:
        """Return the regular files in the folder, or in one below it, which may be absent."""

    def size(self, name: str) -> int: ...

    def create(self, name: str, *, direct: bool = False) -> Handle:
        """Return a new, empty file to append to; ``direct`` past the page cache, where that is possible.

        Raises FileExistsError.
        """

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes: ...

    def reading(self, name: str) -> AbstractContextManager[Callable[[int, int], bytes]]:
        """Open a file to be read in parts, by offset and size; past the page cache, where that is possible."""

    def truncate(self, name: str, size: int) -> None: ...

    def resync(self, name: str) -> None:
        """Rewrite the file's bytes, and return when they are on the disk.

        After a failed sync the kernel takes pages for clean that it never wrote, also for the next
        process. Syncing once more does nothing then; only writing them again does.
        """

    def rename(self, name: str, other: str) -> None:
        """Rename and replace. The new name may be in a subfolder, which is created."""

    def copy(self, name: str, other: str) -> None:
        """Copy the file to an unused name, and sync it."""

    def unlink(self, name: str) -> None:
        """Delete the file if it is there."""

    def sync_folder(self) -> None:
        """Return when creations, renames and deletions in the folder are on the disk."""

    def reserve(self, name: str, size: int) -> None:
        """Make sure that ``name`` occupies ``size`` bytes."""


class Appended:
    """A real file that is being appended to; see ``Handle``."""

    block = 1

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        waiting = [memoryview(buffer) for buffer in buffers if len(buffer)]
        at = 0
        while at < len(waiting):
            written = os.writev(self._descriptor, waiting[at : at + IOV_MAX])
            while at < len(waiting) and written >= len(waiting[at]):
                written -= len(waiting[at])
                at += 1
            if written:
                waiting[at] = waiting[at][written:]

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Direct(Appended):
    """Appended file that bypasses the page cache, through one reused aligned buffer.

    The cache would take a new page for every 4 KiB of the spool, in the application's neighborhood,
    and a new page is what a virtual machine is slowest at: docs/performance.md has the figures.
    """

    block = BLOCK_BYTES

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._staged = mmap.mmap(-1, STAGED_BYTES)

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        at = 0
        for buffer in buffers:
            start = 0
            while start < len(buffer):
                part = memoryview(buffer)[start : start + STAGED_BYTES - at]
                self._staged[at : at + len(part)] = part
                at, start = at + len(part), start + len(part)
                if at == STAGED_BYTES:
                    self._write_out(at)
                    at = 0
        self._write_out(at)

    def close(self) -> None:
        super().close()
        with suppress(BufferError):  # the traceback of a failed write holds a part of it, and lets go of it
            self._staged.close()

    def _write_out(self, size: int) -> None:
        done = 0
        with memoryview(self._staged) as view:
            while done < size:
                done += _unless_refused(
                    self._descriptor, partial(os.write, self._descriptor, view[done:size])
                )


class _Window(threading.local):
    """Aligned, bounded read buffer of one thread."""

    def __init__(self) -> None:
        self._blocks = mmap.mmap(-1, BLOCK_BYTES)

    def read(self, descriptor: int, start: int, size: int) -> bytes:
        """Return ``size`` bytes, or those up to the end of the file, read in whole blocks."""
        if size <= WINDOW_BYTES:
            return self._read(descriptor, start, size)
        data, got = bytearray(size), 0
        while got < size:
            piece = self._read(descriptor, start + got, min(WINDOW_BYTES, size - got))
            if not piece:
                del data[got:]
                break
            data[got : got + len(piece)] = piece
            got += len(piece)
        return cast("bytes", data)  # a copy would double the memory, and no caller changes it

    def _read(self, descriptor: int, start: int, size: int) -> bytes:
        before = start % BLOCK_BYTES
        needed = -(-(before + size) // BLOCK_BYTES) * BLOCK_BYTES
        if len(self._blocks) < needed:
            self._blocks = mmap.mmap(-1, needed)
        got = 0
        with memoryview(self._blocks) as view:
            while got < before + size:
                at = start - before + got
                count = _unless_refused(descriptor, partial(os.preadv, descriptor, [view[got:needed]], at))
                got += count
                if not count or count % BLOCK_BYTES:  # the end of the file
                    break
        return self._blocks[before : min(got, before + size)]


class Files:
    """One folder on a real file system; see ``FileSystem``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None
        self._is_direct = bool(O_DIRECT)
        """Whether the file system has accepted direct I/O so far."""
        self._window = _Window()

    def lock(self) -> None:
        """Create and lock the folder. Raises SpoolLocked while another process holds the lock.

        Raises ConfigError if the folder cannot be created. A folder on a disk that has become
        read-only can still be taken, because what lies in it can still be shipped.
        """
        try:
            make_folder(self.root)
            descriptor = _open_lock(self.root / "lock")
        except OSError as error:
            raise ConfigError(f"spool_dir: {self.root}: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise SpoolLocked(f"{self.root}: the spool is in use by another daemon") from None
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self, folder: str = "") -> list[str]:
        try:
            entries = list(os.scandir(self.root / folder))
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    def create(self, name: str, *, direct: bool = False) -> Handle:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.root / name, flags, 0o600)
        if direct and self._is_direct:
            self._is_direct = _past_cache(descriptor)
        return Direct(descriptor) if direct and self._is_direct else Appended(descriptor)

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        with (self.root / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(size)

    @contextmanager
    def reading(self, name: str) -> Iterator[Callable[[int, int], bytes]]:
        descriptor = os.open(self.root / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self._is_direct and _past_cache(descriptor):
                yield partial(self._window.read, descriptor)
            else:
                yield lambda start, size: os.pread(descriptor, size, start)
        finally:
            os.close(descriptor)

    def truncate(self, name: str, size: int) -> None:
        os.truncate(self.root / name, size)

    def resync(self, name: str) -> None:
        descriptor = os.open(self.root / name, os.O_RDWR | os.O_CLOEXEC)
        try:
            at = 0
            while data := os.pread(descriptor, RESYNC_BYTES, at):
                at += os.pwrite(descriptor, data, at)
            _sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, name: str, other: str) -> None:
        target = self.root / other
        make_folder(target.parent)
        (self.root / name).replace(target)

    def copy(self, name: str, other: str) -> None:
        target = self.root / other
        make_folder(target.parent)
        if not target.exists():
            os.link(self.root / name, target)
            sync_folder(target.parent)

    def unlink(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def sync_folder(self) -> None:
        sync_folder(self.root)

    def free_bytes(self) -> int:
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def reserve(self, name: str, size: int) -> None:
        descriptor = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:  # macOS
                os.pwrite(descriptor, bytes(size), 0)
        finally:
            os.close(descriptor)


def _past_cache(descriptor: int) -> bool:
    """Switch a file to direct I/O; return whether its file system supports it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | O_DIRECT)
    except OSError:
        return False
    return True


def _unless_refused(descriptor: int, action: Callable[[], int]) -> int:
    """Read or write; fall back to the page cache if the file system accepts the flag but refuses the call."""
    try:
        return action()
    except OSError as error:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if error.errno != errno.EINVAL or not flags & O_DIRECT:
            raise
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~O_DIRECT)
        return action()


def _sync(descriptor: int) -> None:
    # macOS has no fdatasync; there fsync is what there is.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
