"""Files and folders that this product makes, and who may read them.

Invariant: what holds records is made for its user alone, whatever the umask of whoever started the
process. What others have to pass, such as the folder of a socket, is as open as that umask lets it be,
and never writable by others.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llmtraced.config import Config

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


def exposed(config: Config) -> list[str]:
    """Return which folders of records and files of secrets others may read, a sentence each."""
    named = {
        "spool_dir": config.spool_dir,
        "clickhouse_url": _path(config.clickhouse_url, "chdb"),
        "payload_store": _path(config.payload_store, "file"),
        "clickhouse_password_file": config.clickhouse_password_file,
        "postgres_password_file": config.postgres_password_file,
        "payload_store_file": config.payload_store_file,
    }
    return [said for name, path in named.items() if path and (said := _exposed(name, Path(path)))]


def _exposed(name: str, path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:  # there is none yet, or nobody may look
        return ""
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    wanted = "700" if stat.S_ISDIR(mode) else "600"
    who = "everybody" if mode & stat.S_IRWXO else "its group"
    return f"{name}: {path} is open to {who} ({stat.S_IMODE(mode):04o}): chmod {wanted} keeps it to its user"


def _path(url: str, scheme: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == scheme else ""
