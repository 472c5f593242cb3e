"""``objects clean`` with PostgreSQL in any place among the stores, and with rows that have yet to land."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.postgres.books import balance
from tests.helpers import prefork
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.postgres import query
from tests.helpers.scene import INSERT
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

YEAR_SECONDS = 365 * 86_400
OLD = "2025-01-01T00:00:00Z"
STORES = ("clickhouse,postgres", "postgres,clickhouse", "postgres")


def clean(two: TwoStores, storage: Folder, stores: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "LLMLEDGER_SPOOL_DIR": str(two.daemon.spool),
        "LLMLEDGER_STORES": stores,
        "LLMLEDGER_CLICKHOUSE_URL": two.clickhouse_url,
        "LLMLEDGER_POSTGRES_URL": two.postgres_url,
        "LLMLEDGER_PAYLOAD_STORE": str(storage.settings()["payload_store"]),
        "LLMLEDGER_ADMIN": f"unix:{two.daemon.folder / 'admin.sock'}",
    }
    return prefork.run(
        "llmledger", "objects", "clean", "--yes", *arguments, environment=environment, given=""
    )


def age(tmp_path: Path) -> None:
    long_ago = time.time() - YEAR_SECONDS
    for path in (tmp_path / "objects").rglob("*.json.gz"):
        os.utime(path, (long_ago, long_ago))


@pytest.mark.parametrize("stores", STORES)
def test_what_any_store_refers_to_stays_and_the_rest_goes(
    two: TwoStores, storage: Folder, tmp_path: Path, stores: str
) -> None:
    two.daemon.kill()
    two.daemon = two.another(stores=stores)
    two.daemon.start()
    names = ("kept", "gone") if stores == "postgres" else ("kept", "gone", "kept-by-clickhouse")
    two.daemon.send_one_way(b"".join(line(name, number, timestamp=OLD) for number, name in enumerate(names)))
    two.settled("postgres", len(names))
    if "clickhouse" in stores:
        two.settled("clickhouse", len(names))
    query(two.postgres_url, "DELETE FROM provider_traces WHERE id <> 'kept'")
    two.table.run("DELETE FROM llm_traces WHERE id != 'kept-by-clickhouse'")
    age(tmp_path)
    done = clean(two, storage, stores)
    assert done.returncode == 0, done
    assert "deleted 1 objects" in done.stdout
    assert {name.rpartition("/")[2] for name in storage.objects()} == {
        f"{name}.json.gz" for name in names if name != "gone"
    }


def test_objects_of_rows_that_wait_for_a_store_stay(two: TwoStores, storage: Folder, tmp_path: Path) -> None:
    two.engine.fault(
        "error", times=10_000, only=INSERT, code=202
    )  # what is asked is answered, and nothing is stored
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    two.daemon.send_one_way(line("waits", 1, timestamp=OLD))
    until(storage.objects)
    age(tmp_path)
    for is_alive in (True, False):
        if not is_alive:
            two.daemon.kill()
        done = clean(two, storage, "clickhouse,postgres")
        assert done.returncode, done
        assert len(storage.objects()) == 1, done
    two.engine.release()
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    two.daemon.start()
    two.settled("postgres", 1)
    two.settled("clickhouse", 1)
    done = clean(two, storage, "clickhouse,postgres")
    assert done.returncode == 0, done
    balance(two, storage)
