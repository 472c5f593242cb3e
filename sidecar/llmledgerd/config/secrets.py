"""Sources of passwords, and their masking in output.

Invariant: a password has one source, or the start ends; and no text that has passed ``masked`` holds
one, also where the URL around it is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from llmledgerd.errors import ConfigError

ON_COMMAND_LINE = (
    "a password or token on the command line is visible to all users of this host; use clickhouse_password_file"
    " or LLMLEDGER_TOKEN"
)
CREDENTIAL = "llmledgerd.clickhouse-password"
"""The name of the systemd credential (``LoadCredential=``)."""

_PASSWORD = re.compile(r"(://[^:/?#@]*):.*@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&]password=)[^&\s]*")


def masked(text: str) -> str:
    """Return a text with the password of the URL in it replaced, for logs and `check`.

    Everything up to the last @ goes: a password that nobody has escaped may hold any character.
    """
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def shown(arguments: Sequence[str]) -> bool:
    """Whether a command's arguments show a password to everybody who lists processes."""
    return any(masked(argument) != argument for argument in arguments) or any(
        argument.partition("=")[0] == "--token" for argument in arguments
    )


def from_file(named: str, environment: Mapping[str, str]) -> str:
    """Return the password that the file holds, else the systemd credential; empty without either.

    Raises ConfigError.
    """
    if named:
        return _read(Path(named), "clickhouse_password_file")
    path = Path(environment.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    return _read(path, "credential") if path.is_absolute() and path.exists() else ""


def with_password(url: str, password: str) -> str:
    """Return a server's URL with the password in it. Raises ConfigError where it has one already."""
    scheme, separator, rest = url.partition("://")
    if scheme not in ("http", "https"):
        raise ConfigError("clickhouse_password_file: not applicable to an embedded store")
    user, at, host = rest.rpartition("@")
    if ":" in user:
        raise ConfigError("clickhouse_url and clickhouse_password_file both have a password; remove one")
    where = host if at else rest
    return f"{scheme}{separator}{user or 'default'}:{quote(password, safe='')}@{where}"


def _read(path: Path, what: str) -> str:
    try:
        password = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{what}: {path}: {said}") from None
    if not password:
        raise ConfigError(f"{what}: {path}: empty")
    return password
