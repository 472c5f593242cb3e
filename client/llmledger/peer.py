"""Authentication of the socket's owner before any record is sent.

A user with write access to the socket's folder can listen there while no daemon runs. Invariants:

- If ``LLMLEDGER_DAEMON_UID`` names users, only a socket of one of them is written to.
- Otherwise the owner must be root, this process's user, or a user whose socket no third user could have
  replaced: every folder and link on the path belongs to one of these or to the owner, and no other user
  can write to it. So systemd's ``/run/llmledgerd``, owned by the daemon's user, passes; ``/tmp`` does not.
- A world-writable mounted folder without the sticky bit (unlike ``/tmp``) is a volume of a pod, and trusted:
  only containers that mount it can write to it.

The owner is the user that last called ``listen`` on the socket, from the kernel (SO_PEERCRED), as an id
of this process's user namespace: 65534 for users without one there. Without SO_PEERCRED, it is the owner
of the socket's file.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

_MOST_LINKS: Final = 40
"""The kernel's limit of symbolic links."""

_UCRED: Final = struct.Struct("3i")


class Untrusted(Exception):
    """The owner of the socket is not trusted; nothing is sent."""


class SocketOwner(NamedTuple):
    """Owner of the listening socket; a group of -1 is unknown."""

    uid: int
    gid: int = -1


def check(connected: socket.socket, path: str, named: frozenset[int] | None) -> None:
    """Raise Untrusted if the socket's owner is not trusted, and OSError if the socket is gone."""
    reason = refusal(_socket_owner(connected, path), path, named, os.geteuid())
    if reason:
        raise Untrusted(reason)


def refusal(holder: SocketOwner, path: str, named: frozenset[int] | None, own_uid: int) -> str:
    """Return why the owner is not trusted; empty if it is."""
    if named is not None:
        known = ", ".join(map(str, sorted(named))) or "no valid number"
        return (
            "" if holder.uid in named else f"its owner is uid {holder.uid}; LLMLEDGER_DAEMON_UID is {known}"
        )
    if holder.uid in (0, own_uid):
        return ""
    where = open_to_others(path, holder, own_uid)
    return where and (
        f"its owner is uid {holder.uid}, and other users can write to {where}: "
        "set LLMLEDGER_DAEMON_UID to the daemon's uid, or move the socket"
    )


def open_to_others(
    path: str,
    holder: SocketOwner,
    own_uid: int,
    *,
    lstat: Callable[[str], os.stat_result] = os.lstat,
    is_mount: Callable[[str], bool] = os.path.ismount,
) -> str:
    """Return the first folder on the path in which another user could have created the entry; empty if none."""
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


def _is_theirs(folder: os.stat_result, entry: os.stat_result, holder: SocketOwner, own_uid: int) -> bool:
    """Return whether only root, this user or the owner could have created the entry in the folder."""
    if folder.st_uid not in (0, own_uid, holder.uid):
        return False
    if folder.st_mode & stat.S_ISVTX:  # sticky: other users cannot replace the entry
        return entry.st_uid in (0, own_uid) or not folder.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
    if folder.st_mode & stat.S_IWGRP and folder.st_gid not in (0, holder.gid):
        return False
    return not folder.st_mode & stat.S_IWOTH


def _is_volume(folder: os.stat_result, path: str, is_mount: Callable[[str], bool]) -> bool:
    is_everybodys = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    return bool(is_everybodys) and path != "/" and is_mount(path)


def _socket_owner(connected: socket.socket, path: str) -> SocketOwner:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return SocketOwner(os.stat(path).st_uid)
    _, uid, gid = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return SocketOwner(uid, gid)
