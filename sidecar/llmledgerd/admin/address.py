"""Addresses of the admin server, as of every server of the daemon. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

from llmledgerd.errors import ConfigError

UNIX: Final = "unix:"
LARGEST_PORT: Final = 65535


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host, by default this machine, and the port. Raises ConfigError.

    >>> host_and_port(":9464"), host_and_port("[::1]:9464")
    (('127.0.0.1', 9464), ('::1', 9464))
    """
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise ConfigError(f"admin: `{address}` is not a valid address (use unix:/path or host:port)")
    if int(port) > LARGEST_PORT:
        raise ConfigError(f"admin: `{address}`: the port is above {LARGEST_PORT}")
    return host.strip("[]") or "127.0.0.1", int(port)


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this host; the only such name is ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
