"""Binding of Unix sockets: permissions, and replacement of stale paths.

Invariant: the socket of a running daemon is never replaced, and that of a dead daemon always is. A lock
on the folder is held from bind to listen, so that of two daemons that start at once, neither mistakes the
other's socket for a stale one. A path is removed only by the process that bound it, while it still names that
socket.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

from llmledgerd.errors import ConfigError
from llmledgerd.system.folders import SHARED, make_folder

BACKLOG = 1024


class Bound:
    """Listening socket with its path."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        """Remember the path's inode, and keep it open, so that its number is not reused."""
        self.socket = sock
        self._path = path
        self._is = path.lstat()
        self._held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC) if hasattr(os, "O_PATH") else -1

    def remove(self) -> None:
        """Remove the path, unless it names another file now."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self._is, self._path.lstat()):
                self._path.unlink()
        with contextlib.suppress(OSError):
            os.close(self._held)
        self._held = -1


def bind(path: Path, mode: int, group: str) -> Bound:
    """Return a socket that listens at ``path``, replacing a stale one. Raises ConfigError."""
    try:
        make_folder(path.parent, SHARED)
        with _locked(path.parent):
            if path.is_socket():
                _remove_stale(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            _bind(sock, path, mode)
            bound = Bound(sock, path)
            try:
                if group:
                    os.chown(path, -1, grp.getgrnam(group).gr_gid, follow_symlinks=False)
                sock.listen(BACKLOG)
            except (KeyError, OSError):
                bound.remove()
                sock.close()
                raise
    except KeyError:
        raise ConfigError(f"socket_group: unknown group `{group}`") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot listen: {error.strerror or error}") from error
    return bound


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # for as long as a bind takes
        yield
    finally:
        os.close(descriptor)


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return a bound socket for each address that a host's name has. Raises OSError and OverflowError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(sock: socket.socket, path: Path, mode: int) -> None:
    """Bind with the final mode, because a later chmod could change another file."""
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)


def end_writes(descriptor: int) -> None:
    """Make the peer's next write fail; earlier bytes can still be read."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as own:
        own.shutdown(socket.SHUT_RD)


def has_hung_up(descriptor: int) -> bool:
    """Return whether the peer has closed its end, even if earlier bytes are unread."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"{path}: another daemon is listening there")
