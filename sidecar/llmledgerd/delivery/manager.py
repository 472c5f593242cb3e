"""Shipping to every store in force, each with a shipper of its own.

Invariant: nothing that is done for one store waits for another, except the deletion of a segment,
which frees its space in the spool.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from functools import partial

from llmledgerd.backoff import RetryPolicy
from llmledgerd.delivery import late_records
from llmledgerd.delivery.eviction import Evictor
from llmledgerd.delivery.faults import INTERNAL_ERROR, described
from llmledgerd.delivery.options import Runtime, ShipperOptions, ShippingOptions
from llmledgerd.delivery.preparer import Preparer, PreparerOptions
from llmledgerd.delivery.shipper import Shipper
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.log import Recurring, log
from llmledgerd.payloads import wiring
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.kind import ConfiguredStore, Reconciled

RECONCILE_SECONDS = 60.0
"""How often the rollup is compared with the rows where it is in doubt."""


LATE_AFTER = 0.5
"""Part of ``session_memory_seconds``, for which abandoned calls are remembered too, after which a record is looked
up for its abandoned row: the rest is for a sender's clock that is ahead."""

ERASE_SECONDS = 5.0
"""How often erasures are looked for that a store has missed while it was away."""


class StoreDelivery:
    """One store and its shipper."""

    def __init__(
        self, outlet: ConfiguredStore, shipper: Shipper, retries: RetryPolicy, options: ShippingOptions
    ) -> None:
        self.name = outlet.name
        self.outlet = outlet
        self.shipper = shipper
        self.doubted_hours: int | None = None
        """Hours in which its rollup may differ from the rows; None before the first comparison."""
        self.recurring = Recurring()
        self._retries = retries
        self._options = options

    async def run(self) -> None:
        """Wait until the tables exist, then ship until cancelled."""
        await self._until_migrated()
        await self.shipper.run()

    async def reconcile_rollup(self) -> None:
        """Compare the rollup with the rows and rebuild what differs; readers do without it meanwhile."""
        while True:
            await asyncio.sleep(RECONCILE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads a fleet, hides nothing
            try:
                reconciled = await asyncio.get_running_loop().run_in_executor(None, self._reconcile_once)
            except StoreBusy as error:
                self.recurring.warn("cannot verify the rollup against the rows yet", error=str(error))
            except Exception as error:  # noqa: BLE001 - readers do without it, and it is logged
                self.shipper.retry_loop.retries[INTERNAL_ERROR] += 1
                self.recurring.error("rollup comparison failed: internal error", fault=described(error))
            else:
                if reconciled.agreed or reconciled.rebuilt:
                    log.info(
                        "rollup", hours_agree=len(reconciled.agreed), hours_rebuilt=len(reconciled.rebuilt)
                    )

    async def delete_replaced(self) -> None:
        """Delete abandoned rows that were collected while no further segment comes."""
        while True:
            await asyncio.sleep(late_records.SECONDS)
            try:
                await self.shipper.delete_replaced()
            except Exception as error:  # noqa: BLE001 - the rows stay collected, and it is logged
                self.shipper.retry_loop.retries[INTERNAL_ERROR] += 1
                self.recurring.error(
                    "deletion of abandoned rows failed: internal error", fault=described(error)
                )

    async def erase_owed(self) -> None:
        """Execute the erasures that the store has missed, once it is back."""
        while True:
            await asyncio.sleep(ERASE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - as above
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._erase_owed_once)
            except LlmledgerdError as error:
                self.recurring.warn("erasure waits for the store", store=self.name, error=str(error))
            except Exception as error:  # noqa: BLE001 - the mark stays in force, and it is logged
                self.shipper.retry_loop.retries[INTERNAL_ERROR] += 1
                self.recurring.error("erasure failed: internal error", fault=described(error))

    def _erase_owed_once(self) -> None:
        marks = self._options.marks
        for name, erasure in marks.owed(self.name).items():
            self._options.erase_in(self.name, erasure)
            marks.paid(name, self.name)
            log.info("erased in a store that was away", store=self.name)

    def _reconcile_once(self) -> Reconciled:
        reconciled = self.outlet.reconcile()
        self.doubted_hours = self.outlet.doubted_hours()
        return reconciled

    async def _until_migrated(self) -> None:
        """Leave everything in the spool until the tables exist, and log what is missing."""
        backoff = self._retries.backoff()
        while True:
            try:
                missing = await asyncio.get_running_loop().run_in_executor(None, self.outlet.missing)
            except StoreBusy as error:
                missing = [f"{error.kind}: {error}"]
            except ConfigError:
                raise
            except LlmledgerdError as error:
                missing = [str(error)]
            except Exception as error:  # noqa: BLE001 - the spool takes records meanwhile, and it is logged
                missing = [f"{INTERNAL_ERROR}: {described(error)}"]
            self.shipper.retry_loop.trouble = "; ".join(missing)
            if not missing:
                return
            self.recurring.warn(
                "store not ready; records are kept in the spool", store=self.outlet.name, missing=missing
            )
            await asyncio.sleep(backoff.failed())


class Shipping:
    """The deliveries to all stores, and the segments that wait for some of them."""

    def __init__(
        self, outlets: Sequence[ConfiguredStore], runtime: Runtime, options: ShippingOptions
    ) -> None:
        self.evictor = Evictor(runtime.spool, runtime.committer, runtime.clock)
        self._runtime = runtime
        self._options = options
        self._host = socket.gethostname()
        self.deliveries = [self._store_delivery(outlet, is_first=outlet is outlets[0]) for outlet in outlets]
        self.evictor.connect([delivery.shipper for delivery in self.deliveries])

    def _store_delivery(self, outlet: ConfiguredStore, *, is_first: bool) -> StoreDelivery:
        options = self._options
        shipper_options = ShipperOptions(
            name=outlet.name,
            store=outlet.destination,
            rollup=outlet.doubts,
            preparer=self._preparer(outlet),
            metrics=options.metrics.store(outlet.name),
            held=self.evictor.held,
            on_refused=options.on_refused,
            on_settled=options.on_settled,
            is_witness=is_first,
            uploader=options.uploader,
            erasures=options.marks.current,
            erase=partial(options.erase_in, outlet.name),
        )
        shipper = Shipper(self._runtime, shipper_options)
        return StoreDelivery(outlet, shipper, self._runtime.store_retries, options)

    def _preparer(self, outlet: ConfiguredStore) -> Preparer:
        redactor = self._options.redactors[outlet.name]
        return Preparer(
            self._options.builders[outlet.name],
            partial(outlet.encode_in_pieces or outlet.destination.encode, TRACES, COLUMNS),
            lambda: self._runtime.spool.state.snapshot.sessions,
            PreparerOptions(
                host=self._host,
                store=outlet.name,
                finish=redactor.row if redactor.is_on else None,
                treatment=wiring.treatment(self._runtime.config),
                takes_views=outlet.takes_views,
                erasures=self._options.marks.current,
                late_after_us=int(self._runtime.config.session_memory_seconds * LATE_AFTER * 1e6),
                knows_otlp=bool(self._runtime.config.otlp),
            ),
        )

    async def run(self) -> None:
        """Ship and reconcile rollups until cancelled; raise what ends any part of it."""
        async with asyncio.TaskGroup() as group:
            for delivery in self.deliveries:
                group.create_task(delivery.run())
                group.create_task(delivery.reconcile_rollup())
                group.create_task(delivery.erase_owed())
                group.create_task(delivery.delete_replaced())

    def wake(self) -> None:
        """Look for a newly sealed segment."""
        for delivery in self.deliveries:
            delivery.shipper.wake()

    async def idle(self) -> None:
        """Return when no sealed segment is left, and no row that was collected for deletion."""
        await asyncio.gather(*(delivery.shipper.idle() for delivery in self.deliveries))
        await asyncio.gather(*(delivery.shipper.delete_replaced(now=True) for delivery in self.deliveries))

    def log_in_as(self, name: str, url: str) -> None:
        """Use the user and the password of this URL for the store from now on."""
        for delivery in self.deliveries:
            if delivery.name == name:
                delivery.outlet.log_in_as(url)

    def catch_up(self, *, now: bool = False) -> None:
        """Log recurring events that were held back."""
        for delivery in self.deliveries:
            delivery.recurring.catch_up(now=now)
            delivery.shipper.recurring.catch_up(now=now)
        self.evictor.recurring.catch_up(now=now)
        self._options.marks.recurring.catch_up(now=now)

    def close(self) -> None:
        """End the threads and close the connections."""
        for delivery in self.deliveries:
            delivery.shipper.close()
        self.evictor.close()
        for delivery in self.deliveries:
            delivery.outlet.close()
