"""A file system in memory that loses, tears and refuses, as truthfully as a real one may.

Invariant: after ``power_fails`` the folder holds what was synced, and of everything else any part:

- of a file's unsynced pages any subset is on the disk, in any order, so that a later page may be
  there and an earlier one be zeros; its length is anything between the old one and the new one;
- of the folder's unsynced creations, renames and deletions any subset has happened;
- after a failed sync the pages count as clean although they were not written ("fsyncgate"), so
  that a later sync succeeds and writes nothing of them.

``process_dies`` loses nothing, and makes nothing durable either. All choices come from ``dice``.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from llmledgerd.errors import SpoolLocked

PAGE = 64
"""Far smaller than a real page or sector, so that small groups are torn too."""

Operation = tuple[str, str, "Inode | None"]
"""``set`` or ``delete``, a name, and what the name stands for from then on."""


class Inode:
    """A file's bytes as programs see them, and as they are on the disk."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.disk = bytearray()
        self.dirty: set[int] = set()

    def append(self, data: bytes) -> None:
        start = len(self.data)
        self.data += data
        self.dirty.update(range(start // PAGE, (len(self.data) + PAGE - 1) // PAGE))

    def truncate(self, size: int) -> None:
        self.data = self.data[:size].ljust(size, b"\0")
        self.dirty.add(size // PAGE)

    def write_out(self, pages: set[int], size: int) -> None:
        """Put these pages on the disk, where the file has this length then."""
        self.disk = self.disk[:size].ljust(size, b"\0")
        for page in pages:
            part = slice(page * PAGE, min((page + 1) * PAGE, size))
            self.disk[part] = self.data[part].ljust(max(0, part.stop - part.start), b"\0")

    def sync(self) -> None:
        self.write_out(self.dirty, len(self.data))
        self.dirty.clear()

    def half_sync(self, dice: Random) -> None:
        """Put a part of what is dirty on the disk."""
        pages = {page for page in sorted(self.dirty) if dice.random() < 0.5}
        low, high = sorted((len(self.disk), len(self.data)))
        sizes = [low, high, dice.randint(low, high), min(high, (low // PAGE + 1) * PAGE)]
        self.write_out(pages, dice.choice(sizes))

    def lose(self) -> None:
        self.data = bytearray(self.disk)
        self.dirty.clear()


class CrashingHandle:
    """A file that is being appended to; its process may die."""

    def __init__(self, files: CrashingFiles, name: str, inode: Inode, block: int) -> None:
        self._files, self._name, self._inode = files, name, inode
        self.block = block
        self._life = files.lives

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        self._check()
        data = b"".join(buffers)
        assert len(data) % self.block == 0
        room = self._files.room()
        try:
            self._files.act("write")
        except OSError:
            part = self._files.dice.randint(0, len(data))
            self._inode.append(data[: min(part, room)])
            raise
        self._inode.append(data[:room])
        if len(data) > room:
            raise _error(errno.ENOSPC)

    def sync(self) -> None:
        self._check()
        self._files.sync_inode(self._inode)

    def close(self) -> None:
        if self._life == self._files.lives:
            self._files.act("close")

    def _check(self) -> None:
        assert self._life == self._files.lives, f"{self._name} belongs to a process that has died"


class CrashingFiles:
    """One folder; see ``FileSystem`` and the module's docstring."""

    def __init__(self, dice: Random, block: int = 1) -> None:
        self.dice = dice
        self.block = block
        """What files that were asked for direct are written in."""
        self.capacity = 1 << 40
        self.read_only = False
        self.lives = 0
        self.faults: Counter[str] = Counter()
        """How many faults have bitten, by their name."""
        self._names: dict[str, Inode] = {}
        self._durable: dict[str, Inode] = {}
        self._pending: list[list[Operation]] = []
        self._planned: list[tuple[str, int]] = []
        self._locked = False
        self.before: Callable[[str], None] = lambda operation: None
        """Called before everything that changes the folder; it may raise, as a kill does."""

    # -- what a test does ----------------------------------------------------------------------

    def fail(self, operation: str, code: int = errno.EIO) -> None:
        """Let the next such call fail; more plans add up."""
        self._planned.append((operation, code))

    def heal(self) -> None:
        self._planned.clear()
        self.read_only = False
        self.capacity = 1 << 40

    def process_dies(self) -> None:
        """Leave everything as it is, unsynced as it is, to the next process."""
        self.lives += 1
        self._locked = False
        self.heal()

    def power_fails(self) -> None:
        """Leave to the next process what the disk has."""
        for inode in {id(inode): inode for inode in self._inodes()}.values():
            inode.half_sync(self.dice)
            inode.lose()
        for change in self._pending:
            if self.dice.random() < 0.5:
                _apply(self._durable, change)
        self._pending.clear()
        self._names = dict(self._durable)
        self.process_dies()

    def image(self) -> dict[str, bytes]:
        """Return every file's bytes."""
        return {name: bytes(inode.data) for name, inode in self._names.items()}

    def put(self, name: str, data: bytes) -> None:
        """Let a file be there, on the disk, with these bytes."""
        inode = Inode()
        inode.append(data)
        inode.sync()
        self._names[name] = self._durable[name] = inode

    # -- what the spool does -------------------------------------------------------------------

    def lock(self) -> None:
        if self._locked:
            raise SpoolLocked("the folder is locked")
        self._locked = True

    def unlock(self) -> None:
        self._locked = False

    def names(self, folder: str = "") -> list[str]:
        prefix = f"{folder}/" if folder else ""
        inside = [name.removeprefix(prefix) for name in self._names if name.startswith(prefix)]
        return sorted(name for name in inside if "/" not in name)

    def size(self, name: str) -> int:
        self.act("read")
        return len(self._inode(name).data)

    def create(self, name: str, *, direct: bool = False) -> CrashingHandle:
        if name in self._names:
            raise _error(errno.EEXIST)
        inode = Inode()
        self._change("create", [("set", name, inode)])
        return CrashingHandle(self, name, inode, self.block if direct else 1)

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        self.act("read")
        data = bytes(self._inode(name).data)
        return data[start:] if size < 0 else data[start : start + size]

    @contextmanager
    def reading(self, name: str) -> Iterator[Callable[[int, int], bytes]]:
        yield lambda start, size: self.read(name, start, size)

    def truncate(self, name: str, size: int) -> None:
        self._before_change("truncate")
        self._inode(name).truncate(size)

    def resync(self, name: str) -> None:
        self._before_change("resync")
        inode = self._inode(name)
        inode.dirty.update(range((len(inode.data) + PAGE - 1) // PAGE))
        self.sync_inode(inode)

    def rename(self, name: str, other: str) -> None:
        self._change("rename", [("delete", name, None), ("set", other, self._inode(name))])

    def copy(self, name: str, other: str) -> None:
        if other not in self._names:
            change: list[Operation] = [("set", other, self._inode(name))]
            self._change("copy", change)
            _apply(self._durable, change)

    def unlink(self, name: str) -> None:
        if name in self._names:
            self._change("unlink", [("delete", name, None)])

    def sync_folder(self) -> None:
        self.act("sync_folder")
        for change in self._pending:
            _apply(self._durable, change)
        self._pending.clear()

    def reserve(self, name: str, size: int) -> None:
        self._before_change("reserve")
        if self.room() < size:
            raise _error(errno.ENOSPC)
        if name not in self._names:
            self._change("create", [("set", name, Inode())])
        self._names[name].append(bytes(size - len(self._names[name].data)))

    # -- both ----------------------------------------------------------------------------------

    def room(self) -> int:
        used = {id(inode): len(inode.data) for inode in self._names.values()}
        return max(0, self.capacity - sum(used.values()))

    def act(self, operation: str) -> None:
        """Fail if that is planned. Raises OSError."""
        self.before(operation)
        if self.read_only and operation not in ("read", "sync", "sync_folder", "close"):
            self._bites(operation, errno.EROFS)
        for plan in self._planned:
            if plan[0] == operation:
                self._planned.remove(plan)
                self._bites(*plan)

    def sync_inode(self, inode: Inode) -> None:
        try:
            self.act("sync")
        except OSError:
            inode.half_sync(self.dice)
            inode.dirty.clear()
            raise
        inode.sync()

    def _bites(self, operation: str, code: int) -> None:
        self.faults[f"{operation} {errno.errorcode[code]}"] += 1
        raise _error(code)

    def _before_change(self, operation: str) -> None:
        if self.read_only:
            self._bites(operation, errno.EROFS)
        self.act(operation)

    def _change(self, operation: str, change: list[Operation]) -> None:
        """Change the folder; a call that fails may have done it all the same."""
        try:
            self.act(operation)
        except OSError:
            if not self.read_only and self.dice.random() < 0.5:
                self._changed(change)
            raise
        self._changed(change)

    def _changed(self, change: list[Operation]) -> None:
        _apply(self._names, change)
        self._pending.append(change)

    def _inode(self, name: str) -> Inode:
        if name not in self._names:
            raise _error(errno.ENOENT)
        return self._names[name]

    def _inodes(self) -> list[Inode]:
        pending = [inode for change in self._pending for _, _, inode in change if inode is not None]
        return [*self._names.values(), *self._durable.values(), *pending]


def _apply(names: dict[str, Inode], change: list[Operation]) -> None:
    for kind, name, inode in change:
        if kind == "set" and inode is not None:
            names[name] = inode
        else:
            names.pop(name, None)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
