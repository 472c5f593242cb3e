"""Validation of the settings before a start, for ``serve`` and ``check``.

Invariants:
- ``check`` and ``serve`` refuse the same settings with the same words, since both call ``validate``.
- Nothing is created, bound or connected to.
"""

from __future__ import annotations

import contextlib
import grp
import os
from pathlib import Path
from typing import Final

from llmledgerd.admin.address import host_and_port
from llmledgerd.admin.auth import Tokens
from llmledgerd.config.settings import Config
from llmledgerd.daemon import otlp, price_files
from llmledgerd.errors import ConfigError
from llmledgerd.ingest import peer_credentials
from llmledgerd.payloads import wiring
from llmledgerd.redaction import Redactor
from llmledgerd.stores import registry

UNIX: Final = "unix:"

LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path in Linux; the kernel's limit is 108 with the end."""

SMALLEST_SPOOL_BYTES: Final = 64 << 10
"""A segment's header and some lines."""


def validate(config: Config) -> None:
    """Raise ConfigError, which names the setting and its value, if the daemon cannot start with the settings."""
    _sizes(config)
    _socket("socket_path", config.socket_path)
    _admin(config)
    otlp.validate(config)
    for address in config.otlp:
        if address.startswith(UNIX):
            _socket("otlp", address.removeprefix(UNIX))
    if config.socket_group:
        try:
            grp.getgrnam(config.socket_group)
        except KeyError:
            raise ConfigError(f"socket_group: unknown group `{config.socket_group}`") from None
    peer_credentials.allowed(config.allowed_uids, config.allowed_gids)
    _folder("spool_dir", Path(config.spool_dir))
    Redactor.of(config)  # its rules are compiled, or refused by name
    price_files.lists(config)
    wiring.treatment(config)
    wiring.objects(config)
    with contextlib.ExitStack() as opened:
        for outlet in registry.opened(config):
            opened.enter_context(contextlib.closing(outlet))


def _sizes(config: Config) -> None:
    if config.spool_max_bytes < SMALLEST_SPOOL_BYTES:
        raise ConfigError(
            f"spool_max_bytes: `{config.spool_max_bytes}` is less than {SMALLEST_SPOOL_BYTES} bytes (64KiB)"
        )


def _admin(config: Config) -> None:
    address = config.admin_address
    if not address:
        return
    if address.startswith(UNIX):
        path = address.removeprefix(UNIX)
        if path == config.socket_path:
            raise ConfigError(f"admin: `{address}` is the record socket; choose another path")
        _socket("admin", path)
        return
    host_and_port(address)
    Tokens(config.admin_tokens_file)


def _socket(setting: str, path: str) -> None:
    if not path:
        raise ConfigError(f"{setting}: the path of the socket is empty")
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"{setting}: `{path}` is longer than {LONGEST_SOCKET_PATH} bytes, the limit for a socket's path"
        )
    if Path(path).is_dir():
        raise ConfigError(f"{setting}: `{path}` is a folder; name a file in it")
    if not Path(path).is_socket():  # else the service manager may have bound it, in a folder of its own
        _folder(setting, Path(path).parent)


def _folder(setting: str, folder: Path) -> None:
    """Raise ConfigError unless the folder can be written to, or created."""
    for place in (folder, *folder.absolute().parents):
        try:
            place.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"{setting}: {place}: {(error.strerror or str(error)).lower()}") from None
        if not place.is_dir():
            raise ConfigError(f"{setting}: {place}: not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise ConfigError(f"{setting}: {place}: permission denied")
        return
