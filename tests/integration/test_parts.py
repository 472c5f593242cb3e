"""The daemon's parts: what fails once a second is lived with, and a part that ends is told by the exit code."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from llmledgerd.daemon.app import Daemon
from llmledgerd.system import accept_loop
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.telemetry.status import Status
from tests.helpers.config import config as configured
from tests.integration.test_peers import AWAY


def daemon(folder: Path) -> Daemon:
    return Daemon(
        configured(
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
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = daemon(tmp_path)

    async def fails() -> None:
        if how == "raises":
            raise RuntimeError("unheard of")
        raise asyncio.CancelledError

    monkeypatch.setattr(subject.background, "run", fails)
    assert await subject.run() == 1
    assert "pruning" in capsys.readouterr().out


async def test_a_housekeeping_job_that_fails_is_counted_and_the_others_are_done(tmp_path: Path) -> None:
    subject = daemon(tmp_path)

    def full() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    sequences = (subject.housekeeping, subject.background)
    for sequence in sequences:
        sequence.jobs = [
            msgspec.structs.replace(job, action=full, interval_seconds=0.01) for job in sequence.jobs
        ]
    jobs = {job.name for sequence in sequences for job in sequence.jobs}
    assert jobs >= {"make_room", "give_up", "close_stalled", "reserve", "note", "compress", "dead_letters"}

    async def failed_twice() -> bool:
        status: Status = await subject.status()
        return all(status.system_errors.get(name, 0) > 1 for name in jobs)

    running = asyncio.create_task(subject.run())
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
