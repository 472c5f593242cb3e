"""Everything that a delivery test needs, in one place: engine, table, wire, daemon.

Invariant: the daemon, and every client given ``scene.path``, talk through the wire proxy; the daemon
may be a broken one (``mutant``), and nothing else differs then.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line
from tests.helpers.migrated_databases import LAYOUT
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until
from tests.helpers.wire_proxy import WireProxy

INSERT = "INSERT INTO llm_traces "
"""How a statement begins that stores rows."""

SETTINGS: Mapping[str, object] = {
    "insert_timeout_seconds": 1,
    "batch_max_age_seconds": 0.05,
    "retry_first_seconds": 0.02,
    "retry_cap_seconds": 0.1,
}
"""Faults are noticed in a second, and tried again at once, so that a scene takes seconds."""


class Lost(AssertionError):
    """A line that was promised is no row, or nowhere at all."""


class Repeated(AssertionError):
    """A line is more rows than one, or a row is nobody's line."""


class Scene:
    """One daemon, its wire and its table, on a database of its own."""

    def __init__(self, engine: Engine, url: str, daemon: RunningDaemon, proxy: WireProxy) -> None:
        self.engine = engine
        self.url = url
        self.daemon = daemon
        self.proxy = proxy
        self.table = Store(url)
        self.patience_seconds = 20.0
        self._bitten_before = engine.bitten()

    @property
    def path(self) -> Path:
        """The record socket, by way of the wire."""
        return self.proxy.path

    def status(self) -> dict[str, Any]:
        """Return the daemon's counters; their identity is checked on the way."""
        return admin.status(self.daemon.folder / "admin.sock")

    def settled(self, lines: int) -> dict[str, Any]:
        """Wait until so many lines have been received in all and none is left in the spool.

        Raises Lost where they do not come.
        """

        def done() -> dict[str, Any]:
            status = self.status()
            return status if admin.records(status) >= lines and not status["in_spool"] else {}

        try:
            return until(done, limit=self.patience_seconds, what=f"{lines} lines to settle")
        except AssertionError as error:
            raise Lost(f"{lines} lines have not settled: {self.status()}") from error

    def holds(self, expected: Mapping[str, int]) -> None:
        """Check that the table has these ids, each so often, and no other. Raises Lost, Repeated."""
        found = self.ids()
        lost = {call: count for call, count in expected.items() if found[call] < count}
        if lost:
            raise Lost(f"{len(lost)} ids: {lost}")
        repeated = found - Counter(expected)
        if repeated:
            raise Repeated(f"{len(repeated)} ids: {dict(repeated)}")

    def bitten(self, kind: str, times: int = 1) -> None:
        """Wait until a fault has happened so often in this scene."""
        before = self._bitten_before[kind]
        until(
            lambda: self.engine.bitten()[kind] >= before + times,
            limit=self.patience_seconds,
            what=f"the fault {kind}",
        )

    def restart(self) -> None:
        """Kill the daemon and start it again, on the same spool."""
        self.daemon.kill()
        self.daemon.start()

    # -- what is done to it ------------------------------------------------------------------------

    def forget_inserts(self) -> None:
        """Let the table's deduplication window pass with its second insert."""
        self.table.run("ALTER TABLE llm_traces MODIFY SETTING non_replicated_deduplication_window = 2")

    def others(self, count: int) -> None:
        """Insert rows as other writers would, one insert each."""
        for number in range(1, count + 1):
            add_traces(self.table, [{"id": f"other-{number}"}])

    def others_by_wire(self, count: int) -> None:
        """Send records as other senders would, one segment each."""
        before = admin.records(self.status())
        for number in range(1, count + 1):
            self.daemon.send_one_way(line(f"other-{number}", number))
            self.settled(before + number)

    def wipe_spool(self) -> None:
        """Restart the daemon without its segments, as on a new disk."""
        self.daemon.kill()
        for segment in self.daemon.segments():
            segment.unlink()
        self.daemon.start()

    # -- what there is -----------------------------------------------------------------------------

    def ids(self) -> Counter[str]:
        """Return how often each id is in the table."""
        rows = self.table.query("SELECT id, count() AS n FROM llm_traces GROUP BY id")
        return Counter({row["id"]: row["n"] for row in rows})

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each id; one id must not have two rows."""
        rows = self.table.query("SELECT id, outcome FROM llm_traces")
        assert len(rows) == len({row["id"] for row in rows})
        return {row["id"]: row["outcome"] for row in rows}

    def losses(self, service: str = "") -> Counter[tuple[str, str]]:
        """Return how often each stage and reason is in the ledger of losses, of one service or of all."""
        rows = self.table.query(
            "SELECT stage, reason FROM llm_trace_losses WHERE service = {service:String} OR {service:String} = ''",
            {"service": service},
        )
        return Counter((row["stage"], row["reason"]) for row in rows)

    def letters(self) -> list[dead_letters.DeadLetter]:
        return dead_letters.read(self.daemon.spool)


@contextlib.contextmanager
def running_scene(
    engine: Engine, url: str, folder: Path, *, mutant: str = "", settings: Mapping[str, object] | None = None
) -> Iterator[Scene]:
    """Run a scene on a database of the engine without rows."""
    with contextlib.closing(Store(url)) as store:
        migrations.apply(store, LAYOUT)
    daemon = RunningDaemon(folder / "d", url=url, settings={**SETTINGS, **(settings or {})}, mutant=mutant)
    with WireProxy(folder / "w", daemon.socket) as proxy, daemon:
        scene = Scene(engine, url, daemon, proxy)
        try:
            yield scene
        finally:
            scene.table.close()
