"""No counter goes back when lines turn out to be no records, in status as in metrics."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.scrape import scrape
from tests.helpers.session import Session
from tests.helpers.waiting import until

COUNTERS = ("received", "stored", "dead_letters", "lost", "control_lines")
METRICS = ("received_lines_total",)
ROUNDS = 10
EACH = 20


def run(stage: Stage) -> str:
    with stage.daemon(settings={"orphan_grace_seconds": 0.2, "batch_max_age_seconds": 0.3}) as daemon:
        path = daemon.folder / "admin.sock"
        watch = Watch(path)
        watch.start()
        for number in range(ROUNDS):
            with Session(daemon.socket) as session:
                session.hello()
                session.send(lines(number))
                session.wait_durable(len(lines(number)))
        until(lambda: seen(path)["stored"] >= ROUNDS * (EACH + 1) and not seen(path)["in_spool"])
        watch.ends()
        last = seen(path)
    assert not watch.back, watch.back[0]
    parts = ("stored", "dead_letters", "lost", "control_lines", "in_spool")
    assert last["received"] == sum(last[part] for part in parts), last
    return f"{watch.looks} looks, {last['received']} lines received, {last['control_lines']} of them control lines"


def lines(number: int) -> list[bytes]:
    """Return records, and lines that are none: begun calls, one of which never ends, a report and an end."""
    begun = [
        json.dumps({"protocol_version": 4, "begin": {"provider_trace_id": f"c-{number}-{index}"}}).encode()
        + b"\n"
        for index in range(EACH + 1)
    ]
    records = [line(f"c-{number}-{index}", index) for index in range(EACH)]
    report = b'{"protocol_version":4,"dropped":{"buffer_full":3}}\n'
    return [*begun, *records, report, b'{"protocol_version":4,"end":{"taken":%d}}\n' % EACH]


def seen(path: Path) -> dict[str, Any]:
    """Return the status as it is, unchecked."""
    found: dict[str, Any] = json.loads(admin.get(path, "/v1/status")[1])
    return found


class Watch(threading.Thread):
    """Looks at the counters all the time."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._ended = threading.Event()
        self._before: dict[str, float] = {}
        self.looks = 0
        self.back: list[str] = []
        """What has gone back, and how far."""

    def run(self) -> None:
        while not self._ended.is_set():
            status = seen(self._path)
            text = scrape(self._path)
            now: dict[str, float] = {name: status[name] for name in COUNTERS}
            now.update({f"llmledgerd_{name}": text(name) for name in METRICS})
            for name, value in now.items():
                if value < self._before.get(name, 0):
                    self.back.append(f"{name} went back from {self._before[name]:.0f} to {value:.0f}")
            self._before = now
            self.looks += 1
            time.sleep(0.01)

    def ends(self) -> None:
        self._ended.set()
        self.join()
