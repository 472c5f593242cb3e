"""The count of one class of attacks, and what its attempts may use: a folder, and an end for what they start."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class Attack:
    """One class of attacks under way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts = 0
        self.through: list[str] = []
        self.skipped = ""
        """Why the class could not be run here; empty where it was."""
        self.ends = contextlib.ExitStack()
        self.folder = Path(self.ends.enter_context(tempfile.TemporaryDirectory(prefix="attack-")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ends.close()

    def tried(self, what: str, *, through: bool) -> None:
        """Count one attempt; ``what`` names it where it got through."""
        self.attempts += 1
        if through:
            self.through.append(what)
