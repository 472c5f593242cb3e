"""Hellos alone do not outgrow the spool, nor keep a healthy session's lines from the disk.

A segment without lines is never sealed, and each hello appended a block to it at least.
"""

from __future__ import annotations

import uuid

from tests.chaos.hostile.floods import greeted, hello, spool_bytes
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

SPOOL_BYTES = 2 << 20
HELLOS = 6000
REPEATED = 300


def run(stage: Stage) -> str:
    engine = stage.engine()
    settings = {"spool_max_bytes": SPOOL_BYTES, "group_interval_ms": 0}
    with stage.daemon(url=engine.url, settings=settings) as daemon:
        most = 0
        for _ in range(HELLOS):
            greeted(daemon.socket, hello(str(uuid.uuid4()), service="flood"))
            most = max(most, spool_bytes(daemon))
        assert most < 2 * SPOOL_BYTES, f"hellos alone took {most:,} bytes of a spool of {SPOOL_BYTES:,}"
        same = hello(str(uuid.uuid4()), service="again")
        greeted(daemon.socket, same)
        until(lambda: admin.status(daemon.folder / "admin.sock")["sessions"] == HELLOS + 1)
        before = spool_bytes(daemon)
        for _ in range(REPEATED):
            greeted(daemon.socket, same)
        grown = spool_bytes(daemon) - before
        assert not grown, f"{REPEATED} hellos that say nothing new wrote {grown:,} bytes"
        with Session(daemon.socket, timeout_seconds=20.0) as healthy:
            healthy.hello()
            healthy.send([line("healthy", 1)])
            healthy.wait_durable(1)
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 1, limit=20)
    return f"{HELLOS:,} hellos took {most:,} bytes at most; {REPEATED} that say nothing new took {grown}"
