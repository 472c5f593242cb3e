"""Sources of passwords, and their masking in output.

Invariant: a password has one source, or the start ends; and no text that has passed ``masked`` holds
one, also where the URL around it is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from llmledgerd.errors import ConfigError

ON_COMMAND_LINE = (
    "a password or token on the command line is visible to all users of this host; use a password file"
    " or LLMLEDGER_TOKEN"
)
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


def read(path: Path, what: str) -> str:
    """Return the password that a file holds. Raises ConfigError that names ``what`` and the path."""
    try:
        password = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{what}: {path}: {said}") from None
    if not password:
        raise ConfigError(f"{what}: {path}: empty")
    return password
