"""Reserved disk space for the operations that free disk space.

Invariant: nothing but headers and what says what became of a segment uses them. For the writer's thread.
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
    """The file that takes up the room."""

    def __init__(self, files: FileSystem, size: int) -> None:
        self._files = files
        self._size = size

    def keep(self) -> None:
        """Take up the room; where there is not enough, less. Raises SpoolBroken where there is hardly any."""
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
        """Do what frees the disk, with the reserve if that is what it takes. Raises SpoolBroken.

        What it leaves of it is taken back at once, lest new lines use it up before the next such action.
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
