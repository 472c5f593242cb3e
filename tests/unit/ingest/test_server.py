"""The end of a listener: for whom it waits before it lets nobody write any more."""

from __future__ import annotations

import asyncio
import socket
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


def ended(*written: bytes) -> socket.socket:
    """Return the listener's end of a connection whose sender wrote something and has closed it."""
    ours, theirs = socket.socketpair()
    for data in written:
        theirs.sendall(data)
    theirs.close()
    ours.setblocking(False)
    return ours


def committed(listener: Listener) -> list[bytes]:
    return [b"".join(run.pieces) for run in listener.committer._runs]


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ((b'{"a": 1}\n',), [b'{"a": 1}\n']),
        ((b'{"a": 1}\n{"a": 2}\n', b'{"a": 3}'), [b'{"a": 1}\n{"a": 2}\n', b'{"a": 3}\n']),
        ((b'{"a": ',), []),
        ((), []),
    ],
)
async def test_a_connection_that_its_sender_has_closed_is_read_whole_at_once(
    listener: Listener, written: tuple[bytes, ...], lines: list[bytes]
) -> None:
    with ended(*written) as sock:
        assert listener._take_ended(sock)
    assert committed(listener) == lines
    assert (listener.connections, listener.counts["connections"]) == (0, 1)
    assert listener.counts["torn_lines"] == (written == (b'{"a": ',))


async def test_a_session_that_has_ended_and_a_sender_who_may_not_be_read_now_are_left_to_a_transport(
    listener: Listener,
) -> None:
    with ended(b'{"hello": {"session": "x"}}\n') as session, ended(b"{}\n") as waits:
        assert not listener._take_ended(session)
        listener.admission.spool_full = True
        assert not listener._take_ended(waits)
        assert (session.recv(9), waits.recv(9)) == (b'{"hello":', b"{}\n"), "nothing of it was read"
    assert listener.connections == 0


async def test_a_sender_that_is_still_connected_is_not_taken(listener: Listener) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"{}\n")
        assert not listener._take_ended(ours)
        theirs.shutdown(socket.SHUT_WR)  # it may wait for the end of the connection
        assert not listener._take_ended(ours)


async def test_a_sender_that_is_not_allowed_is_not_read(tmp_path: Path) -> None:
    config, admission, clock = Config(allowed_uids="12345"), Admission(1 << 20), Clock()
    spool = Spool(Files(tmp_path))
    spool.recover()
    committer = Committer(spool, config, admission, clock)
    listener = Listener(spool, committer, config, admission, clock)
    with ended(b"{}\n") as sock:
        assert listener._take_ended(sock), "done with: refused"
    assert (committed(listener), listener.refused_connections["not_allowed"]) == ([], 1)
    committer.close()
    spool.close()
