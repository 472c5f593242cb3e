"""Settings of ClickHouse: the table ``[clickhouse]`` of the settings file.

Invariant: the password has one source, or the start ends with an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from llmledgerd.config import secrets
from llmledgerd.config.exposure import path_of
from llmledgerd.config.options import LOGIN, YES, doc
from llmledgerd.config.store_options import StoreOptions
from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.url import is_same_store, with_scheme

CREDENTIAL: Final = "llmledgerd.clickhouse-password"
"""Name of the systemd credential (``LoadCredential=``)."""

InsertMode = Literal["sync", "async"]
Compression = Literal["auto", "zstd", "none"]


class ClickHouseOptions(StoreOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ClickHouse is, and how rows are inserted."""

    url: Annotated[
        str,
        doc(
            "ClickHouse to write to: `chdb:///path` for the embedded engine, "
            "`http(s)://user:password@host:port/database` for a server, `host:port,host:port` for "
            "several addresses of one.",
            LOGIN,
        ),
    ] = "chdb:///var/lib/llmledgerd/clickhouse"
    password_file: Annotated[
        str,
        doc(
            "Path of a file with the ClickHouse password. Mutually exclusive with a password in "
            "`clickhouse.url`. Unset: the systemd credential `llmledgerd.clickhouse-password`, if "
            "there is one.",
            YES,
        ),
    ] = ""
    sql_url: Annotated[
        str,
        doc(
            "URL of a ClickHouse user with read-only rights, for operators' SQL (docs/sql.md). "
            "Empty: `clickhouse.url`.",
            plain="sql_url",
        ),
    ] = ""
    cluster: Annotated[
        str,
        doc(
            "Name of the ClickHouse cluster on which `migrate` creates replicated and sharded "
            "tables. Daemons recognize a cluster by its tables.",
            plain="cluster",
            pattern=r"^[\w.{}-]*$",
        ),
    ] = ""
    insert_mode: Annotated[
        InsertMode,
        doc(
            "`sync`: each segment is one insert. `async`: the server merges the inserts of many "
            "daemons and answers when they are stored.",
            plain="insert_mode",
        ),
    ] = "sync"
    compression: Annotated[
        Compression,
        doc(
            "Compression of inserts: `zstd`, `none`, or `auto`, which is `zstd` unless the server is on the "
            "loopback."
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "url", with_scheme(self.url))

    @classmethod
    def deployed_url(cls, environment: Mapping[str, str]) -> str:
        """Return the URL that the variables of existing deployments give; empty without them.

        ``CLICKHOUSE_ENDPOINT`` is a URL, ``host:port`` or a bare host; the last two are without TLS, except
        for hosts of ClickHouse Cloud, which has nothing without TLS.
        """
        endpoint = environment.get("CLICKHOUSE_ENDPOINT", "").strip()
        if not endpoint:
            return ""
        try:
            endpoint = with_scheme(endpoint)
            parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
            port = parts.port or (8443 if parts.scheme == "https" else 8123)
        except ValueError:  # whose text quotes what may be half a password
            raise ConfigError("CLICKHOUSE_ENDPOINT: neither a URL nor host:port") from None
        user = environment.get("CLICKHOUSE_USERNAME") or parts.username or ""
        password = environment.get("CLICKHOUSE_PASSWORD") or parts.password or ""
        database = environment.get("CLICKHOUSE_DATABASE") or parts.path.strip("/")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        return urlunsplit((parts.scheme, f"{login}{host}:{port}", f"/{database}", parts.query, ""))

    def with_password(self, environment: Mapping[str, str]) -> Self:
        """Return the options with the password of the file, or of the systemd credential, in the URL."""
        password = _password(self.password_file, environment)
        if not password:
            return self
        return msgspec.structs.replace(self, url=_with_password(self.url, password))

    @property
    def file_read_at_connection(self) -> str:
        return ""  # the password is in the URL since the start

    def is_same_store(self, url: str) -> bool:
        return is_same_store(self.url, url)

    def private_paths(self) -> dict[str, str]:
        return {"url": path_of(self.url, "chdb"), "password_file": self.password_file}


def _password(file: str, environment: Mapping[str, str]) -> str:
    """Return the password that the file holds, else the systemd credential; empty without either."""
    if file:
        return secrets.read(Path(file), "clickhouse.password_file")
    path = Path(environment.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    return secrets.read(path, "credential") if path.is_absolute() and path.exists() else ""


def _with_password(url: str, password: str) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme not in ("http", "https"):
        raise ConfigError("clickhouse.password_file: not applicable to an embedded store")
    user, at, host = rest.rpartition("@")
    if ":" in user:
        raise ConfigError("clickhouse.url and clickhouse.password_file both have a password; remove one")
    where = host if at else rest
    return f"{scheme}{separator}{user or 'default'}:{quote(password, safe='')}@{where}"
