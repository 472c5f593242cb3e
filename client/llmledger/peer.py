"""Whether the socket is held by somebody who may have the records.

Whoever may write to the socket's folder while no daemon runs can listen there instead of it. Invariants:

- Where ``LLMLEDGER_DAEMON_UID`` names users, theirs is the only socket that is written to.
- Else it is root's, this process's own user's, or one that nobody else could have put there: along the
  path every folder and link belongs to one of these or to the holder, and is writable by no others.
  So systemd's ``/run/llmledgerd``, which belongs to the daemon's user, passes, and ``/tmp`` does not.
- A mounted folder that everybody may write to, and that is not shared as ``/tmp`` is (no sticky bit), is
  a volume of a pod: whoever mounts it was given it.

The holder is the user that last called ``listen`` on the socket, as the kernel noted it (SO_PEERCRED), in
the numbers of this process's user namespace: 65534 for all who have none there. Where the system has no
SO_PEERCRED, it is the owner of the socket's file.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

_MOST_LINKS: Final = 40
"""As many as the kernel follows."""

_UCRED: Final = struct.Struct("3i")


class Untrusted(Exception):
    """Nothing is sent to whoever holds this socket."""


class Holder(NamedTuple):
    """Who listens; a group of -1 is not known."""

    uid: int
    gid: int = -1


def check(connected: socket.socket, path: str, named: frozenset[int] | None) -> None:
    """Raise Untrusted where the socket's holder may not have the records; OSError where it is gone."""
    reason = refusal(_holder(connected, path), path, named, os.geteuid())
    if reason:
        raise Untrusted(reason)


def refusal(holder: Holder, path: str, named: frozenset[int] | None, own_uid: int) -> str:
    """Return why the holder is not trusted; empty where it is."""
    if named is not None:
        known = ", ".join(map(str, sorted(named))) or "no number"
        return (
            ""
            if holder.uid in named
            else f"it is held by user {holder.uid}; LLMLEDGER_DAEMON_UID says {known}"
        )
    if holder.uid in (0, own_uid):
        return ""
    where = open_to_others(path, holder, own_uid)
    return where and (
        f"it is held by user {holder.uid}, and others may write to {where}: "
        "name the daemon's user in LLMLEDGER_DAEMON_UID, or move the socket"
    )


def open_to_others(
    path: str,
    holder: Holder,
    own_uid: int,
    *,
    lstat: Callable[[str], os.stat_result] = os.lstat,
    is_mount: Callable[[str], bool] = os.path.ismount,
) -> str:
    """Return the first folder along the path in which others could have put this entry; empty for none."""
    here, links = "/", 0
    parts = os.path.abspath(path).split("/")[::-1]
    while parts:
        name = parts.pop()
        if name in ("", ".", ".."):
            here = os.path.dirname(here) if name == ".." else here
            continue
        folder, place = lstat(here), os.path.join(here, name)
        entry = lstat(place)
        if not _is_theirs(folder, entry, holder, own_uid) and not _is_volume(folder, here, is_mount):
            return here
        if not stat.S_ISLNK(entry.st_mode):
            here = place
            continue
        links += 1
        if links > _MOST_LINKS:
            return here
        target = os.readlink(place)
        here = "/" if target.startswith("/") else here
        parts += target.split("/")[::-1]
    return ""


def _is_theirs(folder: os.stat_result, entry: os.stat_result, holder: Holder, own_uid: int) -> bool:
    """Return whether root, this user or the holder put the entry into the folder, and nobody else could."""
    if folder.st_uid not in (0, own_uid, holder.uid):
        return False
    if folder.st_mode & stat.S_ISVTX:  # nobody else can replace what is theirs
        return entry.st_uid in (0, own_uid) or not folder.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
    if folder.st_mode & stat.S_IWGRP and folder.st_gid not in (0, holder.gid):
        return False
    return not folder.st_mode & stat.S_IWOTH


def _is_volume(folder: os.stat_result, path: str, is_mount: Callable[[str], bool]) -> bool:
    is_everybodys = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    return bool(is_everybodys) and path != "/" and is_mount(path)


def _holder(connected: socket.socket, path: str) -> Holder:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return Holder(os.stat(path).st_uid)
    _, uid, gid = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return Holder(uid, gid)
