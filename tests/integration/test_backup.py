"""docs/backup.md: what is saved there, and put back, is all that the daemon needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"


def test_what_the_page_saves_brings_back_rows_and_waiting_lines(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    saved = next(line for line in PAGE.read_text().splitlines() if "tar " in line and "-cf" in line).split()[
        -2:
    ]
    assert saved == ["clickhouse", "spool"]
    line = b'{"protocol_version":4,"provider_trace_id":"%s","org_id":"a"}\n'

    def stored(name: str) -> bool:
        status, _ = admin.get(folder / "admin.sock", f"/v1/call?id={name}&organization_id=a")
        return status == 200

    daemon = RunningDaemon(folder, settings={"batch_max_age_seconds": 0.1})
    with daemon:
        daemon.send_one_way(line % b"one")
        until(lambda: stored("one"))
        assert daemon.terminate() == 0
        subprocess.run(["tar", "-C", str(folder), "-cf", str(tmp_path / "saved.tar"), *saved], check=True)
        for name in saved:
            shutil.rmtree(folder / name)
        subprocess.run(["tar", "-C", str(folder), "-xpf", str(tmp_path / "saved.tar")], check=True)
        daemon.start()
        assert stored("one")
        daemon.send_one_way(line % b"two")
        until(lambda: stored("two"))
