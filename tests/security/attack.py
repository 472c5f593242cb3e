"""The count of one class of attacks, and what its attempts may use: a folder, and an end for what they start."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


class Attack:
    """One class of attacks under way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts = 0
        self.through: list[str] = []
        self.controls: dict[str, int] = {}
        """Attempts that got through where a defense was switched off, by what was switched off."""
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

    @property
    def blind(self) -> list[str]:
        """Return the controls that found nothing: the class would not see an attack that gets through."""
        return [what for what, found in self.controls.items() if not found]

    @contextlib.contextmanager
    def control(self, what: str) -> Iterator[None]:
        """Count the attempts of a block, which runs without the defense ``what``, as a control alone."""
        attempts, through = self.attempts, len(self.through)
        yield
        self.controls[what] = len(self.through) - through
        self.attempts = attempts
        del self.through[through:]

    def tried(self, what: str, *, through: bool) -> None:
        """Count one attempt; ``what`` names it where it got through."""
        self.attempts += 1
        if through:
            self.through.append(what)
