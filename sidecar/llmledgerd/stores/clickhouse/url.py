"""URL of a ClickHouse: its parts, and which process has an embedded one open.

Invariant: a URL either identifies one store or is refused with the reason; missing parts are not taken
from the environment. This module does no network I/O.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from llmledgerd.errors import ConfigError

PORTS = {"http": 8123, "https": 8443}
"""ClickHouse's own defaults."""

FILES = {"ca_cert", "client_cert", "client_cert_key"}
DRIVER_OPTIONS = {*FILES, "server_host_name"}
"""Options of a URL that configure the connection. No option disables the check of certificates."""


CLOUD = (".clickhouse.cloud", ".clickhouse-staging.com")
"""Ends of host names of ClickHouse Cloud, which has nothing without TLS."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One database of one ClickHouse."""

    scheme: str
    path: str | None = None
    """The folder of the embedded engine; None for a server."""
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    database: str | None = None
    """None: the user's default, as the server has it."""
    options: dict[str, str] = {}
    settings: dict[str, str] = {}
    """Settings of ClickHouse that go with every statement, such as ``insert_quorum=2``."""

    @property
    def address(self) -> str:
        """Return the address for people: without credentials and options."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"chdb://{self.path}" if self.path is not None else f"{self.scheme}://{host}:{self.port}"


def with_scheme(url: str) -> str:
    """Return the URL of a host of ClickHouse Cloud that was given without a scheme; any other as it is.

    >>> with_scheme("abc.eu-west-1.aws.clickhouse.cloud/llm")
    'https://abc.eu-west-1.aws.clickhouse.cloud/llm'
    """
    if "://" in url:
        return url
    try:
        host = urlsplit(f"https://{url.strip()}").hostname or ""
    except ValueError:
        return url
    return f"https://{url.strip()}" if host.endswith(CLOUD) else url


def each_address(url: str) -> list[str]:
    """Return one URL per host of a URL with several hosts: ``http://user@a:8123,b:8123/database``.

    The other parts of the URL are the same in all of them.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]  # parse_url says what is wrong with it
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host.strip()}")) for host in hosts.split(",")]


def parse_url(url: str) -> Target:
    """Return the parts of ``chdb:///path`` or ``http(s)://user:password@host:port/database?option=…``.

    Options other than DRIVER_OPTIONS are ClickHouse's settings. Raises ConfigError, without the
    password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose text quotes what may be half a password
        raise ConfigError(
            "clickhouse.url: cannot parse host and port; percent-encode special characters in the password"
        ) from None
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "password" in given:
        raise ConfigError(
            "clickhouse.url: the password must be before the host (user:password@host), since query strings are logged"
        )
    options = {name: value for name, value in given.items() if name in DRIVER_OPTIONS}
    settings = {name: value for name, value in given.items() if name not in DRIVER_OPTIONS}
    if parts.scheme == "chdb":
        return _embedded(parts.netloc, unquote(parts.path), settings)
    if parts.scheme not in PORTS:
        raise ConfigError(
            f"clickhouse.url: `{parts.scheme}` is not a supported scheme (use chdb, http or https)"
        )
    if not parts.hostname:
        raise ConfigError("clickhouse.url: missing host")
    return Target(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")) or None,
        options=options,
        settings=settings,
    )


def is_same_store(one: str, other: str) -> bool:
    """Whether two URLs differ in nothing but user and password. Raises ConfigError."""
    return _places(one) == _places(other)


def _places(url: str) -> list[Target]:
    return [msgspec.structs.replace(parse_url(one), user="", password="") for one in each_address(url)]


def targets(url: str, settings: Mapping[str, object]) -> list[Target]:
    """Return a target per address of a URL, with further settings for every statement.

    They override those of the URL. Raises ConfigError, also for an unreadable certificate file.
    """
    found = [parse_url(one) for one in each_address(url)]
    for name in FILES & found[0].options.keys():
        if not os.access(found[0].options[name], os.R_OK):
            raise ConfigError(f"clickhouse.url: {name}: {found[0].options[name]} is not a valid value")
    added = {name: str(value) for name, value in settings.items()}
    kept = {name: value for name, value in found[0].settings.items() if name not in added}
    return [msgspec.structs.replace(one, settings={**kept, **added}) for one in found]


def _embedded(host: str, path: str, settings: dict[str, str]) -> Target:
    if host or not path.strip("/"):
        raise ConfigError(
            "clickhouse.url: chdb requires an absolute path, such as chdb:///var/lib/llmledgerd"
        )
    return Target(scheme="chdb", path=path, database="default", settings=settings)


def locked_by(path: str) -> str:
    """Return the process that has the embedded store open, in words; empty if no other process has.

    The engine holds an exclusive lock on the file ``status`` in its folder, and writes its process
    id into it.
    """
    try:
        with (Path(path) / "status").open("r") as status:
            try:
                fcntl.flock(status, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = status.readline().strip()
                if owner == f"PID: {os.getpid()}":
                    return ""
                return owner.replace("PID:", "process") or "another process"
    except OSError:
        return ""
    return ""
