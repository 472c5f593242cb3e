"""A clock that is wrong by 400 days, behind or ahead, at start or while running: no row falls to the TTL.

The store's clock is right, and its table keeps rows for 90 days.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

OFF_DAYS = 400
TTL_DAYS = 90
LINES = 8
NOBODY = "http://127.0.0.1:9/default"


class Wrong:
    """A daemon on a machine whose clock can be set, and what it was given."""

    def __init__(self, stage: Stage) -> None:
        self._file = stage.folder / "off"
        os.environ["TIME_OFF"] = str(self._file)
        self.set(0)
        self.engine = stage.engine()
        self.daemon = stage.daemon(url=self.engine.url, mutant="another_time")
        self.sent = 0

    def set(self, days: float) -> None:
        """Set the machine's clock so many days ahead of what is right."""
        new = Path(f"{self._file}.new")
        new.write_text(str(days * 86_400))
        new.replace(self._file)

    def sends(self) -> None:
        lines = [line(f"call-{number}", number) for number in range(self.sent, self.sent + LINES)]
        self.daemon.send_one_way(b"".join(lines))
        self.sent += LINES

    def settles(self) -> None:
        """Wait until all that was sent is settled, in the daemon's words."""

        def done() -> bool:
            seen = admin.status(self.daemon.folder / "admin.sock")
            return seen["stored"] + seen["lost"] + seen["dead_letters"] >= self.sent and not seen["in_spool"]

        until(done, what="the lines to be settled")


def run(stage: Stage) -> str:
    wrong = Wrong(stage)
    with contextlib.closing(Store(wrong.engine.url)) as table:
        migrations.apply(table, migrations.Layout(ttl_days=TTL_DAYS))
        wrong.set(-OFF_DAYS)
        wrong.daemon.start()
        wrong.sends()
        wrong.settles()
        _holds(table, wrong, "behind, from the first start")
        jumps = admin.status(wrong.daemon.folder / "admin.sock")["clock_jumps"]
        assert 1 <= jumps <= 3, f"{jumps} jumps were counted"
        until(lambda: "the time has jumped" in [said.get("event") for said in wrong.daemon.log()])
        for days in (OFF_DAYS, -OFF_DAYS, 0, OFF_DAYS):
            wrong.set(days)
            wrong.sends()
            wrong.settles()
            _holds(table, wrong, f"set to {days} days from the truth while running")
        for days in (-OFF_DAYS, OFF_DAYS, 0):
            wrong.daemon.kill()
            wrong.set(days)
            wrong.daemon.start()
            wrong.sends()
            wrong.settles()
            _holds(table, wrong, f"set to {days} days from the truth before a start")
        _old_backlog(wrong)
        _holds(table, wrong, "a backlog that is older than the TTL")
        return f"{wrong.sent} rows of {wrong.sent}, in times around now"


def _old_backlog(wrong: Wrong) -> None:
    """Let lines be received long ago, on a new spool, while there is no store; and stored now."""
    wrong.daemon.kill()
    for segment in wrong.daemon.segments():
        segment.unlink()
    wrong.set(-OFF_DAYS)
    wrong.daemon.url = NOBODY
    wrong.daemon.start()
    wrong.sends()
    until(lambda: admin.status(wrong.daemon.folder / "admin.sock")["in_spool"] == LINES)
    wrong.daemon.kill()
    wrong.set(0)
    wrong.daemon.url = wrong.engine.url
    wrong.daemon.start()
    until(lambda: admin.status(wrong.daemon.folder / "admin.sock")["stored"] == LINES)


def _holds(table: Store, wrong: Wrong, when: str) -> None:
    """Check that every row is there, also after the table has cleaned up, and is of about now."""
    table.run("OPTIMIZE TABLE llm_traces FINAL")
    (found,) = table.query(
        "SELECT count() AS n, toUnixTimestamp(min(ingested_at)) AS first, toUnixTimestamp(max(ingested_at)) AS last"
        " FROM llm_traces"
    )
    assert found["n"] == wrong.sent, f"{when}: {found['n']} rows of {wrong.sent} that were counted as stored"
    day, now = 86_400, time.time()
    assert now - day < found["first"] <= found["last"] < now + day, f"{when}: rows of another time"
