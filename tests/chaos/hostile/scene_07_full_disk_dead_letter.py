"""A dead letter on a full disk wedges nobody, and hellos that are abandoned leave nothing behind.

The first waiting segment holds a line that is none, the disk has no byte left, and the store is back.
"""

from __future__ import annotations

import os
import uuid

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.harness import SmallDisk
from tests.chaos.hostile.floods import hello, resident_bytes, say_hello_and_go
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

RECORDS = 50
HELLOS = 20_000
OTHERS = 500
GROWTH_BYTES = 16 << 20


def run(stage: Stage) -> str:
    engine = stage.engine()
    daemon = stage.daemon(url=engine.url)
    with SmallDisk(daemon.spool) as disk:
        if not disk.is_mounted:
            return "not tried: no file system of its own could be mounted"
        with daemon:
            _wedged_by_a_letter(daemon, engine, disk)
            grown = _abandoned_hellos(daemon, disk)
            until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == RECORDS + 1, limit=30)
    assert grown < GROWTH_BYTES, f"{HELLOS:,} abandoned hellos left {grown >> 20} MiB behind"
    return f"settled with a dead letter on a full disk; {HELLOS:,} abandoned hellos left {grown >> 20} MiB"


def _wedged_by_a_letter(daemon: RunningDaemon, engine: Engine, disk: SmallDisk) -> None:
    socket = daemon.folder / "admin.sock"
    engine.kill()
    daemon.send_one_way(b'{"protocol_version":4,"no":"json"' + os.urandom(100_000).hex().encode() + b"\n")
    until(lambda: admin.status(socket)["spool_segments"] == 1)
    daemon.send_one_way(b"".join(line(f"r-{number}", number) for number in range(RECORDS)))
    until(lambda: admin.status(socket)["spool_segments"] == 2)
    until(lambda: (daemon.spool / "reserve").exists())
    until(lambda: not disk.fill(), what="the disk to be full")
    engine.start()
    until(lambda: not admin.status(socket)["in_spool"], limit=40, what="the segments to be written off")
    store = Store(engine.url)
    rows = store.query("SELECT count() AS n, uniqExact(id) AS ids FROM llm_traces")
    store.close()
    assert rows == [{"n": RECORDS, "ids": RECORDS}], rows
    assert [letter.reason for letter in dead_letters.read(daemon.spool)] == ["not_json"]


def _abandoned_hellos(daemon: RunningDaemon, disk: SmallDisk) -> int:
    """Say hello and leave, again and again, while a line waits for a disk that takes none; return the growth."""
    socket = daemon.folder / "admin.sock"
    until(lambda: not disk.fill(), what="the disk to be full")
    with Session(daemon.socket, timeout_seconds=60) as session:
        session.hello()
        session.send([line("last", 1)])
        until(lambda: not admin.status(socket)["ready"], what="the daemon to meet the full disk")
        again = hello(str(uuid.uuid4()))
        grown = 0
        for _ in range(
            3
        ):  # the last counts: at first, what is taken once is, and garbage comes up to its level
            before = resident_bytes(daemon)
            say_hello_and_go(daemon.socket, (again for _ in range(HELLOS)))
            grown = resident_bytes(daemon) - before
        say_hello_and_go(daemon.socket, (hello(str(uuid.uuid4())) for _ in range(OTHERS)))
        until(lambda: admin.status(socket)["connections"] == 1, what="those who have left to be let go")
        disk.empty()
        session.wait_durable(1)
    return grown
