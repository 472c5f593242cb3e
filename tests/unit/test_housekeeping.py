"""What never came back is declared once, however slow the disk is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from llmtraced.clock import Clock
from llmtraced.committer import Run
from llmtraced.config import Config
from llmtraced.housekeeping import Housekeeping, loss
from llmtraced.orphans import Orphan


class SlowWriter:
    """Takes runs, and writes them when it is told to; finds an orphan until that is written."""

    def __init__(self) -> None:
        self.added = self.written = 0

    def add(self, run: Run) -> None:
        self.added += 1

    def has_written(self, runs: int) -> bool:
        return self.written >= runs

    async def on_writer(self, action: object, *arguments: object) -> list[Orphan]:
        return [] if self.written else [loss("sender_died", None, "")]


def nothing(*_: object) -> Any:
    return set()


async def test_an_orphan_whose_declaration_is_not_written_yet_is_not_declared_again() -> None:
    writer: Any = SlowWriter()
    listener: Any = SimpleNamespace(live_sessions=nothing, closed_at={}, forget=nothing)
    spool: Any = SimpleNamespace(state=SimpleNamespace(snapshot=SimpleNamespace(sessions={})))
    none: Any = None
    metrics: Any = SimpleNamespace(abandoned_calls=0)
    house = Housekeeping(
        spool, none, writer, listener, none, none, none, metrics, Config(), Clock(), catch_up=lambda: None
    )
    for _ in range(3):
        await house._give_up()
    assert writer.added == 1
    writer.written = 1
    await house._give_up()
    assert writer.added == 1
