"""A daemon whose disk hangs still answers, and says that it cannot take records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmledgerd.backoff import Backoff
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.daemon import status_reporter
from llmledgerd.daemon.status_reporter import FULL, Report
from llmledgerd.delivery.options import Runtime
from llmledgerd.delivery.retry_loop import RetryLoop
from llmledgerd.flow_control import Admission
from llmledgerd.ingest.server import Listener
from llmledgerd.log import Recurring
from llmledgerd.spool import ONLY_STORE, Files, Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.exposition import exposition
from llmledgerd.telemetry.metrics import Metrics


class HangingCommitter(Committer):
    """Its writer is kept by the disk."""

    hangs = False

    async def on_writer(self, action: Callable[..., Any], *arguments: object) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        return action(*arguments)


class Setup:
    """A report and the rooms that it asks, none of them running."""

    def __init__(self, folder: Path) -> None:
        config, clock, files = Config(spool_dir=str(folder)), Clock(), Files(folder)
        self.admission = Admission(1 << 20)
        spool = Spool(files)
        self.committer = HangingCommitter(spool, config, self.admission, clock)
        runtime = Runtime(
            spool=spool,
            committer=self.committer,
            config=config,
            admission=self.admission,
            clock=clock,
            watchdog=Watchdog(),
        )
        listener = Listener(spool, self.committer, config, self.admission, clock)
        self.retry_loop = RetryLoop(ONLY_STORE, Backoff(first=1.0, cap=1.0), Recurring(), lambda: 0)
        shipper = SimpleNamespace(retry_loop=self.retry_loop, in_flight=0, faults=SimpleNamespace(summary=""))
        delivery: Any = SimpleNamespace(  # nothing of it runs
            name=ONLY_STORE, shipper=shipper, outlet=SimpleNamespace(counts={}), doubted_hours=None
        )
        self.report = Report(runtime, files, listener, [delivery])
        self.report.note()

    async def ready(self, *, stopping: bool = False) -> tuple[bool, str]:
        status = await self.report.status(
            stopping=stopping, queries=0, redacted={}, system_errors={}, prices="", otlp={}
        )
        exposition(Metrics({}), status, "")
        return status.ready, status.spool


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


async def test_all_is_well(setup: Setup) -> None:
    assert await setup.ready() == (True, "")


async def test_a_disk_that_hangs_is_said_and_waited_for_no_longer(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_reporter, "WRITER_SECONDS", 0.01)
    setup.committer.hangs = True
    ready, why = await setup.ready()
    assert not ready
    assert "has not answered" in why


async def test_a_full_spool_a_failing_disk_and_a_stop_are_each_said(setup: Setup) -> None:
    assert await setup.ready(stopping=True) == (False, "stopping")
    setup.admission.spool_full = True
    assert await setup.ready() == (False, FULL)
    setup.committer.broken = "0000000000000001.seg: No space left on device"
    assert await setup.ready() == (False, setup.committer.broken)


async def test_a_store_that_is_away_leaves_it_ready(setup: Setup) -> None:
    setup.retry_loop.trouble = "unreachable: connection refused"
    assert await setup.ready() == (True, "")
