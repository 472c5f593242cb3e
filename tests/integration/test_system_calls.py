"""What the daemon asks of the kernel before it says durable, and before it deletes anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.traced import STRACE, Call, TracedDaemon, calls
from tests.helpers.waiting import until

pytestmark = pytest.mark.skipif(not STRACE, reason="strace is not here to record system calls")

NOBODY = "http://127.0.0.1:9/default"
WRITES = {"write", "writev", "pwrite64", "pwritev"}
SYNCS = {"fsync", "fdatasync"}
ACKNOWLEDGED = 8
DURABLE = re.compile(r'\\"durable\\":[1-9]')


class Disk:
    """What of the spool a power failure would take, by the calls so far."""

    def __init__(self, spool: Path) -> None:
        self._spool = str(spool)
        self._dirty: dict[str, int] = {}
        """A file with unsynced bytes, or the folder with unsynced names -> when the last was made."""
        self.seen = 0

    def take(self, call: Call) -> None:
        if call.name in WRITES and self._is_segment(call.file):
            self._dirty[call.file] = call.ended
            self.seen += 1
        elif call.name == "openat" and "O_CREAT" in call.arguments and self._is_segment(call.paths[0]):
            self._dirty[self._spool] = call.ended
        elif call.name in SYNCS and self._dirty.get(call.file, call.began) < call.began:
            del self._dirty[call.file]

    def unsynced(self) -> list[str]:
        return sorted(self._dirty)

    def _is_segment(self, path: str) -> bool:
        return path.startswith(f"{self._spool}/") and path.endswith(".seg")


def at_risk(spool: Path, record: Path, is_promise: Callable[[Call], bool]) -> Iterator[list[str]]:
    """Yield, for each call that is a promise, what was not on the disk when it was made."""
    disk, found = Disk(spool), list(calls(record))
    promises = iter([call for call in found if is_promise(call)])
    promise = next(promises, None)
    for call in found:
        while promise is not None and call.ended >= promise.began:
            yield disk.unsynced()
            promise = next(promises, None)
        disk.take(call)
    assert disk.seen, "nothing was written"


def says_durable(call: Call) -> bool:
    return bool(DURABLE.search(call.arguments))


def deletes_a_segment(call: Call) -> bool:
    return call.name in ("unlink", "unlinkat") and call.paths[-1].endswith(".seg")


def acknowledged(folder: Path, mutant: str = "") -> Iterable[list[str]]:
    """Send lines one after the other, two a segment, to a daemon without a store."""
    settings = {"batch_max_rows": 2, "batch_max_age_seconds": 60}
    with TracedDaemon(folder, url=NOBODY, settings=settings, mutant=mutant) as daemon:
        with Session(daemon.socket) as session:
            session.hello()
            for number in range(1, ACKNOWLEDGED + 1):
                session.send([line(f"call-{number}", number)])
                session.wait_durable(number)
        daemon.kill()
        return list(at_risk(daemon.spool, daemon.record, says_durable))


def deleted(folder: Path, mutant: str = "") -> Iterable[list[str]]:
    """Let some segments be stored, one after the other."""
    with TracedDaemon(folder, mutant=mutant) as daemon:
        for number in range(1, 5):
            daemon.send_one_way(line(f"call-{number}", number))
            until(lambda number=number: admin.status(folder / "admin.sock")["stored"] == number)  # type: ignore[misc]  # a lambda with a default
        assert daemon.terminate() == 0
        return list(at_risk(daemon.spool, daemon.record, deletes_a_segment))


def test_nothing_is_called_durable_before_its_bytes_and_its_file_s_name_are_synced(tmp_path: Path) -> None:
    found = list(acknowledged(tmp_path))
    assert len(found) >= ACKNOWLEDGED - 1  # the kill may come before the last call is recorded
    assert not any(found)


def test_no_segment_is_deleted_before_what_replaces_it_is_synced(tmp_path: Path) -> None:
    found = list(deleted(tmp_path))
    assert len(found) >= 3
    assert not any(found)


@pytest.mark.slow  # what it tries is the tests above
@pytest.mark.parametrize("mutant", ["no_file_is_synced", "no_folder_is_synced"])
@pytest.mark.parametrize("scene", [acknowledged, deleted])
def test_a_daemon_that_does_not_sync_is_found_out(
    scene: Callable[[Path, str], Iterable[list[str]]], mutant: str, tmp_path: Path
) -> None:
    assert any(scene(tmp_path, mutant))
