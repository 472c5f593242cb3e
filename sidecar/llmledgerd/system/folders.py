"""Permissions of files and folders that the product creates.

Invariant: files with records are created for the process's user alone, regardless of the umask. A folder
that others have to pass, such as that of a socket, is as open as the umask allows, and never writable by
others.
"""

from __future__ import annotations

import os
from pathlib import Path

SHARED = 0o755
PRIVATE = 0o700
_given = 0o022
"""The umask that the process was started with."""


def keep_private() -> None:
    """Create files for the user alone from now on, in this process and the embedded engine."""
    global _given
    before = os.umask(0o077)
    if before != 0o077:
        _given = before


def make_folder(folder: Path, mode: int = PRIVATE) -> None:
    """Create a folder that survives a power failure.

    Missing parents are created so that others can pass them.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, SHARED)
    folder.mkdir(exist_ok=True, mode=PRIVATE)
    if mode != PRIVATE:
        folder.chmod(mode & ~_given)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Return when creations, renames and deletions in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
