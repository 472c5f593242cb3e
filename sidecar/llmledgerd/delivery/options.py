"""Options of the delivery components. ``Daemon`` makes the shared ones, ``Shipping`` those of each store.

Invariant: nothing here changes while the daemon runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping

import msgspec

from llmledgerd.backoff import RetryPolicy
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.delivery.erasure_marks import Marks
from llmledgerd.delivery.preparer import Preparer
from llmledgerd.flow_control import Admission
from llmledgerd.payloads.uploading import Uploader
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.rows import RowBuilder
from llmledgerd.redaction import Redactor
from llmledgerd.spool import Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.stores.base import Destination, Doubts
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.metrics import Metrics, StoreMetrics


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """Components and settings that the shippers of all stores share."""

    spool: Spool
    committer: Committer
    config: Config
    admission: Admission
    clock: Clock
    watchdog: Watchdog
    large_segments: threading.Lock = msgspec.field(default_factory=threading.Lock)
    """Held by the store that prepares a segment with a large line, which takes several times its memory."""

    @property
    def store_retries(self) -> RetryPolicy:
        """Return the retry policy for a store that is unavailable or rejects a batch."""
        return RetryPolicy(self.config.retry_first_seconds, self.config.retry_cap_seconds)


class ShippingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of ``Shipping``."""

    builders: Mapping[str, RowBuilder]
    """One for each store, by its name: a builder is for one thread at a time."""
    redactors: Mapping[str, Redactor]
    """One for each store, by its name, as above."""
    metrics: Metrics
    marks: Marks
    uploader: Uploader | None
    erase_in: Callable[[str, Erasure], None]
    """Execute an erasure in the store of this name."""
    on_refused: Callable[[RefusedLine], None]
    on_settled: Callable[[], None]


class ShipperOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one store's ``Shipper``."""

    name: str
    store: Destination
    rollup: Doubts
    preparer: Preparer
    metrics: StoreMetrics
    held: Container[int]
    """Segments that are being compressed or evicted, which must not be shipped meanwhile."""
    on_refused: Callable[[RefusedLine], None]
    on_settled: Callable[[], None]
    is_witness: bool = False
    """The daemon's clock is compared with this store's."""
    uploader: Uploader | None = None
    """Stores in object storage what rows point at; present where any row needs it."""
    erasures: Callable[[], tuple[Erasure, ...]] = tuple
    """Return the erasures in force."""
    erase: Callable[[Erasure], None] = lambda erasure: None
    """Execute an erasure in this store."""
