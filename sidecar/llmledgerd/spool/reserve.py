"""Reserved disk space for the operations that free disk space.

Invariant: only headers and settlements of segments use the reserve. For the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from llmledgerd.errors import SpoolBroken
from llmledgerd.spool.files import FileSystem

NAME = "reserve"
LEAST_BYTES = 1 << 20

T = TypeVar("T")


class Reserve:
    """File that occupies the reserved space."""

    def __init__(self, files: FileSystem, size: int) -> None:
        self._files = files
        self._size = size

    def keep(self) -> None:
        """Occupy the reserve, or less if the disk has less. Raises SpoolBroken if there is too little."""
        size = self._size
        while True:
            try:
                self._files.reserve(NAME, size)
            except OSError as error:
                if size <= LEAST_BYTES:
                    raise SpoolBroken(f"reserve: {error.strerror or error}") from error
                size //= 2
            else:
                return

    def freeing(self, action: Callable[[], T]) -> T:
        """Run an action that frees disk space, with the reserve if necessary. Raises SpoolBroken.

        The reserve is occupied again at once, so that new lines do not use it before the next such action.
        """
        try:
            return action()
        except SpoolBroken:
            with suppress(OSError):
                self._files.unlink(NAME)
            try:
                return action()
            finally:
                with suppress(SpoolBroken):
                    self.keep()
