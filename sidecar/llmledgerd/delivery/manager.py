"""Every store in force, each with a shipper of its own.

Invariant: nothing that is done for one store waits for another, but the deletion of a segment and
the room that this makes.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from llmledgerd.backoff import Backoff
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.delivery.batch import Preparer
from llmledgerd.delivery.erasure_marks import Marks
from llmledgerd.delivery.eviction import Keeper
from llmledgerd.delivery.faults import INTERNAL_ERROR, described
from llmledgerd.delivery.shipper import Shipper, Upload
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.flow_control import Admission
from llmledgerd.log import Recurring
from llmledgerd.payloads import wiring
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.redaction import Redactor
from llmledgerd.spool import Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.stores.clickhouse.rollup import Mended
from llmledgerd.stores.registry import Outlet
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.metrics import Metrics

MENDING_SECONDS = 60.0
"""How often the rollup is compared with the rows where it is in doubt."""

log = structlog.get_logger(__name__)


class Lane:
    """One store and its shipper."""

    def __init__(self, outlet: Outlet, shipper: Shipper, config: Config) -> None:
        self.name = outlet.name
        self.outlet = outlet
        self.shipper = shipper
        self.doubted_hours: int | None = None
        """Of its rollup; None before it was asked."""
        self.recurring = Recurring()
        self._config = config

    async def run(self) -> None:
        """Ship until cancelled, once the tables are there."""
        await self._until_migrated()
        await self.shipper.run()

    async def mend(self) -> None:
        """Keep what is summed up in agreement with the rows; readers do without it meanwhile."""
        while True:
            await asyncio.sleep(MENDING_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads a fleet, hides nothing
            try:
                mended = await asyncio.get_running_loop().run_in_executor(None, self._mend_once)
            except StoreBusy as error:
                self.recurring.warn("cannot verify the rollup against the rows yet", error=str(error))
            except Exception as error:  # noqa: BLE001 - readers do without it, and it is said
                self.shipper.patience.retries[INTERNAL_ERROR] += 1
                self.recurring.error("comparing the rollup met a fault of ours", fault=described(error))
            else:
                if mended.agreed or mended.rebuilt:
                    log.info("rollup", hours_agree=len(mended.agreed), hours_rebuilt=len(mended.rebuilt))

    def _mend_once(self) -> Mended:
        mended = self.outlet.mend()
        self.doubted_hours = self.outlet.doubted_hours()
        return mended

    async def _until_migrated(self) -> None:
        """Leave everything in the spool until the tables are there, and say what is missing."""
        backoff = Backoff(first=self._config.retry_first_seconds, cap=self._config.retry_cap_seconds)
        while True:
            try:
                missing = await asyncio.get_running_loop().run_in_executor(None, self.outlet.missing)
            except StoreBusy as error:
                missing = [f"{error.kind}: {error}"]
            except ConfigError:
                raise
            except LlmledgerdError as error:
                missing = [str(error)]
            except Exception as error:  # noqa: BLE001 - the spool takes records meanwhile, and it is said
                missing = [f"{INTERNAL_ERROR}: {described(error)}"]
            self.shipper.patience.trouble = "; ".join(missing)
            if not missing:
                return
            self.recurring.warn(
                "store not ready; records are kept in the spool", store=self.outlet.name, missing=missing
            )
            await asyncio.sleep(backoff.failed())


class Shipping:
    """The lanes to all stores, and the segments that wait for some of them."""

    def __init__(
        self,
        outlets: Sequence[Outlet],
        builders: Mapping[str, RowBuilder],
        redactors: Mapping[str, Redactor],
        spool: Spool,
        committer: Committer,
        config: Config,
        admission: Admission,
        clock: Clock,
        watchdog: Watchdog,
        *,
        on_refused: Callable[[RefusedLine], None],
        on_settled: Callable[[], None],
        metrics: Metrics,
        upload: Upload | None,
        marks: Marks,
        erase_in: Callable[[str, Erasure], None],
    ) -> None:
        """``builders`` and ``redactors`` have one by the name of each store: each is for one thread at a time."""
        self.keeper = Keeper(spool, committer, clock)
        self._marks = marks
        host = socket.gethostname()

        def lane(outlet: Outlet) -> Lane:
            redactor = redactors[outlet.name]
            preparer = Preparer(
                builders[outlet.name],
                partial(outlet.encode_in_pieces or outlet.destination.encode, TRACES, COLUMNS),
                lambda: spool.state.snapshot.sessions,
                host,
                finish=redactor.row if redactor.is_on else None,
                treatment=wiring.treatment(config),
                store=outlet.name,
                takes_views=outlet.encode_in_pieces is not None,
                erasures=marks.current,
            )
            shipper = Shipper(
                spool,
                committer,
                outlet.destination,
                outlet.doubts,
                preparer,
                config,
                admission,
                clock,
                watchdog,
                name=outlet.name,
                held=self.keeper.held,
                on_refused=on_refused,
                on_settled=on_settled,
                metrics=metrics.store(outlet.name),
                is_witness=outlet is outlets[0],
                upload=upload,
                erasures=marks.current,
                erase=partial(erase_in, outlet.name),
            )
            return Lane(outlet, shipper, config)

        self.lanes = [lane(outlet) for outlet in outlets]
        self.keeper.shippers = [lane.shipper for lane in self.lanes]

    async def run(self) -> None:
        """Ship and mend until cancelled; raise what ends any part of it."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(lane.run())
                group.create_task(lane.mend())

    def wake(self) -> None:
        """There may be a newly sealed segment."""
        for lane in self.lanes:
            lane.shipper.wake()

    async def idle(self) -> None:
        """Return when no sealed segment is left."""
        await asyncio.gather(*(lane.shipper.idle() for lane in self.lanes))

    def log_in_as(self, name: str, url: str) -> None:
        """Use the user and the password of a store's URL from now on."""
        for lane in self.lanes:
            if lane.name == name:
                lane.outlet.log_in_as(url)

    def catch_up(self, *, now: bool = False) -> None:
        """Say what has recurred and was not said."""
        for lane in self.lanes:
            lane.recurring.catch_up(now=now)
            lane.shipper.recurring.catch_up(now=now)
        self.keeper.recurring.catch_up(now=now)
        self._marks.recurring.catch_up(now=now)

    def close(self) -> None:
        """End the threads, and let go of the connections."""
        for lane in self.lanes:
            lane.shipper.close()
        self.keeper.close()
        for lane in self.lanes:
            lane.outlet.close()
