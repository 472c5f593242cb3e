"""A process that opens a connection for each record loses none of them to its own limit of connections."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

RECORDS = 6_000
THREADS = 8
NOBODY = "http://127.0.0.1:1/default"


def test_a_connection_for_each_record_is_taken_as_fast_as_it_is_read(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path / "d", url=NOBODY) as daemon:

        def send(first: int) -> None:
            for number in range(first, RECORDS, THREADS):
                daemon.send_one_way(line(f"call-{number}", number))

        threads = [threading.Thread(target=send, args=(first,)) for first in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(
            lambda: admin.status(daemon.folder / "admin.sock")["received"] >= RECORDS,
            limit=60,
            what="all records to be received",
        )
        status = admin.status(daemon.folder / "admin.sock")
        assert status["connections_refused"] == {}
