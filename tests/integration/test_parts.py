"""The daemon's parts: what fails once a second is lived with, and a part that ends is told by the exit code."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from llmledgerd.config.settings import Config
from llmledgerd.daemon import housekeeping
from llmledgerd.daemon.app import Daemon
from llmledgerd.system import accept_loop
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.telemetry.status import Status
from tests.integration.test_peers import AWAY


def daemon(folder: Path) -> Daemon:
    return Daemon(
        Config(
            socket_path=str(folder / "s"),
            spool_dir=str(folder / "spool"),
            clickhouse_url=AWAY,
            spool_reserve_bytes=0,
            drain_timeout_seconds=0.1,
        )
    )


async def found(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["raises", "is_cancelled"])
async def test_a_part_that_ends_takes_the_daemon_along_with_an_exit_code(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = daemon(tmp_path)

    async def falls() -> None:
        if how == "raises":
            raise RuntimeError("unheard of")
        raise asyncio.CancelledError

    subject.house.keep_small = falls  # type: ignore[method-assign]
    assert await subject.run() == 1
    assert "pruning" in capsys.readouterr().out


async def test_whatever_fails_in_housekeeping_is_counted_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = daemon(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    for owner, name in (
        (subject.house, "_look_aside"),
        (subject.house, "_make_room"),
        (subject.house, "_declare"),
        (subject.listener, "close_stalled"),
        (subject.report, "note"),
        (subject.shipping.keeper, "compress"),
        (subject.house, "_keep_reserve"),
    ):
        monkeypatch.setattr(owner, name, full)
    steps = {"make_room", "give_up", "close_stalled", "reserve", "note", "compress", "dead_letters"}
    monkeypatch.setattr(housekeeping, "HOUSEKEEPING_SECONDS", 0.01)
    monkeypatch.setattr(subject.report, "note", lambda: None)  # at the start it is no housekeeping

    async def failed_twice() -> bool:
        status: Status = await subject.status()
        return all(status.system_errors.get(what, 0) > 1 for what in steps)

    def started() -> None:
        monkeypatch.setattr(subject.report, "note", full)

    running = asyncio.create_task(subject.run(started))
    await found(failed_twice)
    assert not running.done()
    subject.stopping.set()
    assert await running == 0


class Short(socket.socket):
    """A listening socket for whose connections there is no descriptor at first."""

    refusals = 0

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return super().accept()


async def test_who_connects_while_no_file_can_be_opened_waits_and_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept_loop, "PAUSE_SECONDS", 0.01)
    listening = Short(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.refusals = 3
    troubles: list[OSError] = []
    came: list[asyncio.BaseTransport] = []

    class Guest(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            came.append(transport)

    acceptor = Acceptor(listening, Guest, troubles.append)
    acceptor.start()
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(str(tmp_path / "s"))

        async def let_in() -> bool:
            return bool(came)

        await found(let_in)
        assert [error.errno for error in troubles] == [errno.ENFILE] * 3
        came[0].close()
    acceptor.close()
    acceptor.close()
