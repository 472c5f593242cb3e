"""Listening sockets that the service manager has opened, as sd_listen_fds(3) hands them over.

Invariant: such a socket belongs to the manager. It is neither bound nor unlinked here, so that clients
that connect while no daemon runs wait in its queue for the next one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence

import msgspec

from llmledgerd.errors import ConfigError

FIRST_DESCRIPTOR = 3
RECORD, ADMIN = "record", "admin"
"""Values of ``FileDescriptorName=``."""
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Passed(msgspec.Struct):
    """Sockets from the service manager; None for one that the daemon creates itself."""

    record: socket.socket | None = None
    admin: socket.socket | None = None


def take(environment: MutableMapping[str, str], record_path: str, admin_path: str) -> Passed:
    """Return the passed sockets, and remove the variables, so that children do not use them.

    Raises ConfigError for an unusable socket.
    """
    names = handed_over(environment, os.getpid())
    for variable in VARIABLES:
        environment.pop(variable, None)
    sockets = [_listening(FIRST_DESCRIPTOR + number) for number in range(len(names))]
    paths = [str(each.getsockname()) for each in sockets]
    roles = assigned(list(zip(names, paths, strict=True)), record_path, admin_path)
    unused = set(range(len(sockets))) - set(roles.values())
    if unused:
        named = ", ".join(f"{names[number]} at {paths[number]}" for number in sorted(unused))
        raise ConfigError(f"socket activation: unknown sockets: {named}")
    return Passed(**{role: sockets[number] for role, number in roles.items()})


def handed_over(environment: MutableMapping[str, str], pid: int) -> list[str]:
    """Return the names of the descriptors from FIRST_DESCRIPTOR on; empty if they are for another process."""
    if environment.get("LISTEN_PID") != str(pid):
        return []
    count = environment.get("LISTEN_FDS", "")
    if not count.isdecimal():
        raise ConfigError(f"LISTEN_FDS: `{count}` is not a number")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    return [name or "unknown" for name in (names + [""] * int(count))[: int(count)]]


def assigned(found: Sequence[tuple[str, str]], record_path: str, admin_path: str) -> dict[str, int]:
    """Return the role of each socket: by its name, else its path, else in order."""
    roles: dict[str, int] = {}
    for role, path in ((RECORD, record_path), (ADMIN, admin_path)):
        for number, (name, bound) in enumerate(found):
            if role not in roles and (name == role or (bound == path and name not in (RECORD, ADMIN))):
                roles[role] = number
    left = [number for number in range(len(found)) if number not in roles.values()]
    for role in (RECORD, ADMIN):
        if role not in roles and left:
            roles[role] = left.pop(0)
    return roles


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        found = socket.socket(fileno=descriptor)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(f"socket activation: descriptor {descriptor}: {error.strerror or error}") from error
    # A Unix socket is protected by its permissions; on TCP no token would be required.
    if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM or not is_listening:
        found.close()
        raise ConfigError(
            f"socket activation: descriptor {descriptor} is not a listening Unix stream socket (Accept=no)"
        )
    found.setblocking(False)
    return found
