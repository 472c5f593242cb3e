"""Peer credentials of a Unix socket, from the kernel.

Invariant: the peer's own data is never trusted. The kernel recorded process, user and groups when
the peer connected, and no line can change them.

What it notes is translated to the daemon's namespaces. A user that has no number in the daemon's
user namespace is shown as the overflow user (65534, ``nobody``), like every other one of its kind;
a process of another pid namespace, as other containers' are, is shown as process 0.
"""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from llmledgerd.errors import ConfigError

UCRED: Final = struct.Struct("3i")
SO_PEERGROUPS: Final = 59
"""Linux's asm-generic/socket.h, since 4.13; Python has no name for it."""
GROUPS_BYTES: Final = 1024
"""Limit of Python's ``getsockopt``: 256 groups."""


class Credentials(msgspec.Struct, frozen=True):
    """Process, user and groups of a peer when it connected."""

    pid: int
    """0: the process belongs to another pid namespace."""
    uid: int
    gids: frozenset[int]

    @property
    def process(self) -> tuple[int, int] | None:
        """Identity of the process; None if the kernel does not report it."""
        return (self.uid, self.pid) if self.pid else None


class Socket(Protocol):
    """Required methods of a socket; uvloop's replacement is not a ``socket.socket``."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


class Allowed(msgspec.Struct, frozen=True):
    """Users and groups that may send; with neither, everyone whom the socket's mode admits."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.uids or self.gids)

    def admits(self, peer: Credentials | None) -> bool:
        """Return whether a peer may send: one of the users, or a member of one of the groups."""
        if not self:
            return True
        return peer is not None and (peer.uid in self.uids or not self.gids.isdisjoint(peer.gids))


def allowed(uids: str, gids: str) -> Allowed:
    """Parse comma-separated names or numbers of users and groups. Raises ConfigError."""
    found = Allowed(
        _numbers("allowed_uids", uids, lambda name: pwd.getpwnam(name).pw_uid),
        _numbers("allowed_gids", gids, lambda name: grp.getgrnam(name).gr_gid),
    )
    if found and not hasattr(socket, "SO_PEERCRED"):
        raise ConfigError("allowed_uids, allowed_gids: not supported on this system (no peer credentials)")
    return found


def of(sock: Socket, *, with_groups: bool = True) -> Credentials | None:
    """Return the peer's credentials; None if the system does not report them.

    ``with_groups`` False leaves out the supplementary groups, which take another call of the system.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        pid, uid, gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    except OSError:
        return None
    return Credentials(pid, uid, frozenset({gid, *(_further_groups(sock) if with_groups else ())}))


def _further_groups(sock: Socket) -> list[int]:
    """Return the supplementary groups; empty if the kernel is older than 4.13 or there are too many."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_BYTES)
    except OSError:
        return []
    return [gid for (gid,) in struct.iter_unpack("I", found)]


def _numbers(setting: str, text: str, lookup: Callable[[str], int]) -> frozenset[int]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    return frozenset(_number(setting, name, lookup) for name in names)


def _number(setting: str, name: str, lookup: Callable[[str], int]) -> int:
    try:
        return int(name) if name.isdecimal() else lookup(name)
    except KeyError:
        raise ConfigError(f"{setting}: `{name}` is neither a number nor a known name") from None
