"""The end of a listener: for whom it waits before it lets nobody write any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.flow_control import Admission
from llmledgerd.ingest import server
from llmledgerd.ingest.connection import Peer
from llmledgerd.ingest.server import ONE_WAY_GRACE_SECONDS, Listener
from llmledgerd.spool import Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.files import Files

LOOKS = 50


class Sender(Peer):
    """A one-way sender without a socket, which ends when it may write no more."""

    is_ended = False

    def end_input(self) -> None:
        self.is_ended = True
        self._owner.lost(self)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    config, admission, clock = Config(), Admission(1 << 20), Clock()
    spool = Spool(Files(tmp_path))
    spool.recover()
    committer = Committer(spool, config, admission, clock)
    yield Listener(spool, committer, config, admission, clock)
    committer.close()
    spool.close()


async def test_who_wrote_a_moment_ago_may_go_on_and_who_has_long_been_silent_may_not(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "QUIET_SECONDS", 0.0)
    now = asyncio.get_running_loop().time
    sender = Sender(listener)
    sender.received_at = now() + 3600.0  # the moment stays, however long the looks take
    listener.connected(sender)
    ending = asyncio.create_task(listener.stop(now() + 3600.0))
    for _ in range(LOOKS):
        await asyncio.sleep(0)
    assert not sender.is_ended
    sender.received_at = now() - ONE_WAY_GRACE_SECONDS
    await ending
    assert sender.is_ended


async def test_nobody_is_waited_for_beyond_the_deadline(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "QUIET_SECONDS", 0.0)
    now = asyncio.get_running_loop().time
    sender = Sender(listener)
    sender.received_at = now() + 3600.0
    listener.connected(sender)
    await listener.stop(now())
    assert sender.is_ended
