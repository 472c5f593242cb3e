"""Numbered SQL migrations of a kind of store, under ``ddl/``.

Invariant: a file that was applied never changes; its checksum covers its statements and not its comments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from llmledgerd.errors import ConfigError


class SqlFile(msgspec.Struct, frozen=True):
    """One SQL file: its name without the extension, and its text."""

    name: str
    template: str

    @classmethod
    def load(cls, kind: str = "") -> list[Self]:
        """Return the files of a kind of store in order, those of the first kind by default.

        Raises ConfigError if the installation has none.
        """
        here = Path(__file__).parents[1]  # the package's own folder
        for folder in (here / "ddl", here.parent.parent / "ddl"):  # in a wheel, in a source tree
            files = sorted((folder / kind).glob("[0-9]*.sql"))
            if files:
                return [cls(file.stem, file.read_text(encoding="utf-8")) for file in files]
        raise ConfigError(
            f"the SQL files are missing: neither {here / 'ddl'} nor a source tree's ddl holds any"
        )

    def checksum(self) -> str:
        """Return a checksum of the file's statements."""
        return checksum(split(self.template))


def split(text: str) -> list[str]:
    """Return a text's statements without comments and final semicolons.

    >>> split("-- a comment\\nSELECT 1;\\nSELECT 2;")
    ['SELECT 1', 'SELECT 2']
    """
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    parts = re.split(r";[ \t]*$", code, flags=re.MULTILINE)
    return [part.strip() for part in parts if part.strip()]


def checksum(statements: Iterable[str]) -> str:
    """Return the SHA-256 of statements, white space folded."""
    return hashlib.sha256(" ".join(";".join(statements).split()).encode()).hexdigest()
