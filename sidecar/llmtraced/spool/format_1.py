"""What a header of format 1 says, in today's terms: one store, whose progress was the spool's own."""

from __future__ import annotations

import msgspec

from llmtraced.spool import runs
from llmtraced.spool.state import ONLY_STORE, BegunCall, Progress, SessionState, Snapshot


class Snapshot1(msgspec.Struct, kw_only=True):
    """The body of a header of format 1."""

    received: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    sessions: dict[bytes, SessionState] = {}
    begun: dict[str, BegunCall] = {}
    abandoned: dict[str, int] = {}
    condemned: dict[int, dict[int, tuple[str, str]]] = {}
    settled: list[int] = []
    cut: dict[int, int] = {}

    def upgraded(self) -> Snapshot:
        progress = Progress(
            received=self.received,
            stored=self.stored,
            dead=self.dead,
            lost=self.lost,
            control=self.control,
            condemned=self.condemned,
        )
        for number in self.settled:
            runs.add(progress.settled, number)
        return Snapshot(
            stores={ONLY_STORE: progress},
            sessions=self.sessions,
            begun=self.begun,
            abandoned=self.abandoned,
            cut=self.cut,
        )
