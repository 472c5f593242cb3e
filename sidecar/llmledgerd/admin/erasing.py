"""Erasure in all places: stores, object storage, files on this host, and the spool.

Invariant: the erasure mark is written first, so that waiting lines cannot restore erased data; stores that
were unavailable are noted in it, and the daemon erases there when they are back. What was unavailable or
unreadable is reported. Blocking; for threads and commands.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from llmledgerd.config.settings import Config
from llmledgerd.delivery import erasing_files, erasure_marks
from llmledgerd.errors import StoreBusy
from llmledgerd.payloads import wiring
from llmledgerd.query.erasure import Erased, Erasure
from llmledgerd.stores import registry
from llmledgerd.stores.kind import StoreEraser

SECONDS: Final = 3600.0
"""Timeout for a store to rewrite its data."""
FILES_STAY: Final = "files extracted from payloads: they belong to the organization until `llmledger objects clean` deletes old ones"


class Everywhere:
    """All places of one daemon, or of a command on its host."""

    def __init__(self, config: Config, spool_dir: Path | None = None) -> None:
        """Open nothing before it is needed."""
        self._config = config
        self._spool_dir = spool_dir or Path(config.spool_dir)

    def reconfigure(self, config: Config) -> None:
        """Use reloaded settings from now on."""
        self._config = config

    def count(self, erasure: Erasure) -> Erased:
        """Return what ``erase`` would erase. Raises StoreBusy if no store is available."""
        return self._each(erasure, only_count=True)

    def erase(self, erasure: Erasure, by: str) -> Erased:
        """Erase, and return the amounts. Raises LlmledgerdError; it is idempotent."""
        if not self._spool_dir.is_dir():
            return self._each(erasure, only_count=False)
        mark = erasure_marks.Mark(erasure, by)
        name = erasure_marks.leave(self._spool_dir, mark)
        found = self._each(erasure, only_count=False)
        if found.away:
            owed = tuple(away.partition(":")[0] for away in found.away)
            erasure_marks.leave(self._spool_dir, msgspec.structs.replace(mark, owed=owed), name)
        return found

    def erase_in(self, name: str, erasure: Erasure) -> None:
        """Repeat the erasure in one store, after rows built before the mark were inserted."""
        with self._eraser(name) as eraser:
            eraser.erase(erasure)

    def _each(self, erasure: Erasure, *, only_count: bool) -> Erased:
        found = Erased()
        busy: list[StoreBusy] = []
        for name in self._config.stores:
            try:
                self._one(name, erasure, found, only_count=only_count)
            except StoreBusy as error:
                busy.append(error)
                found.away.append(f"{name}: {error.kind}")
        if len(busy) == len(self._config.stores):
            raise busy[0]
        beside = erasing_files.erase(self._spool_dir, erasure, only_count=only_count)
        found.dead_letters, found.quarantined_lines = beside.letters, beside.lines
        found.unread += beside.unread
        if self._config.payload_store and not (erasure.is_of_all and erasure.before_us is None):
            found.unread.append(FILES_STAY)
        return found

    def _one(self, name: str, erasure: Erasure, found: Erased, *, only_count: bool) -> None:
        with self._eraser(name) as eraser:
            extent = eraser.extent(erasure) if only_count else eraser.erase(erasure)
            found.objects = max(found.objects, extent.objects)  # each store names the same ones
            found.hours += extent.hours
            found.unread += eraser.detached()
            if name == self._config.stores[0]:
                found.calls = extent.calls
            else:
                found.further_calls[name] = extent.calls

    def _eraser(self, name: str) -> AbstractContextManager[StoreEraser]:
        kind = registry.KINDS[name]
        objects = wiring.erasable(wiring.objects(self._config))
        return kind.eraser(kind.options(self._config), objects, SECONDS)
