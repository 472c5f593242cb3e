"""Spans over OTLP that are repeated, cut off and answered by daemons that are killed are stored once.

Each call is two nested spans, a framework's and an SDK's, which different requests carry, the inner one first. Senders
repeat what was not answered, and some of what was; they cut connections within a body, and the daemon is killed again
and again. Each call that was answered with 200 is one row, the inner span's.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import threading
from pathlib import Path

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.otlp import Exporter, Json, as_protobuf, span, traces
from tests.helpers.waiting import until

SPANS = 10_000
SENDERS = 4
BATCH = 50
KILLS = 12
USAGE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
LIMIT_SECONDS = 600.0
PAUSE_SECONDS = (
    0.05  # an exporter waits longer; a daemon that is away is asked less than a thousand times a second
)


class Sender(threading.Thread):
    """Sends its calls until every request was answered with 200."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(name=f"sender {number}", daemon=True)
        self._dice = random.Random(number)
        self._exporter = Exporter(path)
        self.number = number
        self.sent: set[str] = set()
        self.requests = self.repeats = self.cuts = 0
        self.failure = ""

    def run(self) -> None:
        try:
            inner: list[Json] = []
            outer: list[Json] = []
            for call in range(1, SPANS // SENDERS // 2 + 1):
                trace = f"{self.number:08x}{call:024x}"
                inner.append(span(2, USAGE, parent=1, trace=trace))
                outer.append(span(1, USAGE, trace=trace))
                self.sent.add(f"otlp-{trace}-{2:016x}")
                if len(inner) == BATCH:
                    self._send(inner)
                    self._send(outer)
                    inner, outer = [], []
            self._send(inner + outer)
        except Exception as error:  # noqa: BLE001 - a thread's failure is the scene's
            self.failure = repr(error)

    def _send(self, spans: list[Json]) -> None:
        body = gzip.compress(as_protobuf(traces(spans)))
        times = 1 + (self._dice.random() < 0.3)
        while times:
            if self._dice.random() < 0.1:
                self._cut(body)
            status = 0
            with contextlib.suppress(OSError):
                status = self._exporter.post("traces", body, PROTOBUF)[0]
            self.requests += 1
            if status == 200:
                times -= 1
            else:
                assert status in (0, 503), status
                self.repeats += 1
                threading.Event().wait(PAUSE_SECONDS)

    def _cut(self, body: bytes) -> None:
        """Close the connection in the middle of a body."""
        self.cuts += 1
        with contextlib.suppress(OSError):
            self._exporter.cut("traces", body, PROTOBUF, self._dice.randrange(len(body)))


def run(stage: Stage) -> str:
    engine = stage.engine()
    daemon = stage.daemon(url=engine.url, settings={"otlp": f"unix:{stage.folder}/o"})
    daemon.start()
    senders = [Sender(number, stage.folder / "o") for number in range(1, SENDERS + 1)]
    for sender in senders:
        sender.start()
    kills = 0
    while any(sender.is_alive() for sender in senders):
        before = sum(sender.requests for sender in senders)
        until(lambda before=before: _went_on(senders, before), limit=120)  # type: ignore[misc]  # a lambda with a default
        if kills < KILLS:
            kills += 1
            daemon.kill()
            daemon.start()
    assert not any(sender.failure for sender in senders), [sender.failure for sender in senders]
    _drain(daemon)
    found = json.loads(
        engine.query("SELECT groupArray(id) AS ids FROM default.llm_traces FORMAT JSONEachRow")
    )["ids"]
    wanted = set().union(*(sender.sent for sender in senders))
    lost, twice = len(wanted - set(found)), len(found) - len(set(found))
    other = len(set(found) - wanted)
    assert (lost, twice, other) == (0, 0, 0), f"{lost} lost, {twice} twice, {other} of outer spans"
    repeats, cuts = sum(one.repeats for one in senders), sum(one.cuts for one in senders)
    return (
        f"{len(found):,} calls of {SPANS:,} spans: 0 lost, 0 twice, over {kills} kills, {repeats} requests without"
        f" an answer and {cuts} cuts"
    )


def _went_on(senders: list[Sender], before: int) -> bool:
    """Return whether some more requests were answered, or all are."""
    return sum(one.requests for one in senders) > before + 12 or not any(one.is_alive() for one in senders)


def _drain(daemon: RunningDaemon) -> None:
    """Return when every line is in the store."""
    until(
        lambda: admin.status(daemon.folder / "admin.sock")["in_spool"] == 0, limit=300, what="an empty spool"
    )
    assert daemon.terminate() == 0
