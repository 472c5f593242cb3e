"""Files and folders that this product makes, and who may read them.

Invariant: what holds records is made for its user alone, whatever the umask of whoever started the
process. What others have to pass, such as the folder of a socket, is as open as that umask lets it be,
and never writable by others.
"""

from __future__ import annotations

import os
from pathlib import Path

SHARED = 0o755
PRIVATE = 0o700
_given = 0o022
"""The umask that the process was started with."""


def keep_private() -> None:
    """From now on this process, and the embedded engine in it, makes files for its user alone."""
    global _given
    before = os.umask(0o077)
    if before != 0o077:
        _given = before


def make_folder(folder: Path, mode: int = PRIVATE) -> None:
    """Make a folder that a power failure does not take away again with all that is put into it.

    The folders above it are made to be passed.
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
