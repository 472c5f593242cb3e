"""Erasure while PostgreSQL is away, with records that wait for it and records that it has."""

from __future__ import annotations

import subprocess

import pytest

from llmledgerd.query.erasure import ERASED_URI
from tests.chaos.postgres.books import STORES, balance, uris
from tests.chaos.postgres.stage import restart
from tests.helpers import postgres, prefork
from tests.helpers.exchanges import line
from tests.helpers.object_storage import S3, Folder, ObjectStorage
from tests.helpers.scene import INSERT
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos


def erase(
    two: TwoStores, storage: ObjectStorage, *arguments: str, stores: str = "clickhouse,postgres"
) -> subprocess.CompletedProcess[str]:
    environment = {
        "LLMLEDGER_SOCKET": str(two.daemon.socket),
        "LLMLEDGER_SPOOL_DIR": str(two.daemon.spool),
        "LLMLEDGER_STORES": stores,
        "LLMLEDGER_CLICKHOUSE_URL": two.clickhouse_url,
        "LLMLEDGER_POSTGRES_URL": two.postgres_url,
        **{f"LLMLEDGER_{name.upper()}": str(value) for name, value in storage.settings().items()},
        "LLMLEDGER_ADMIN": f"unix:{two.daemon.folder / 'admin.sock'}",
    }
    return prefork.run("llmledger", "erase", *arguments, environment=environment, given="")


def test_what_was_erased_while_postgres_was_away_is_erased_there_when_it_is_back(
    two: TwoStores, storage: Folder
) -> None:
    send(two, "before", 4)
    two.settled("postgres", 5)
    two.server.kill()
    send(two, "meanwhile", 16)
    two.settled("clickhouse", 22)
    until(lambda: two.of("postgres")["trouble"])
    done = erase(two, storage, "--org", "acme", "--yes")
    assert "postgres" in done.stderr, done
    assert done.returncode
    assert "17 lines for postgres" in done.stdout
    two.daemon.kill()
    two.daemon.start()
    two.server.start()
    two.settled("postgres", 22)
    until(lambda: not erased_calls_with_payloads(two), limit=60)
    balance(two, storage)
    assert len(uris(two)) == 2, "the other organization's"


def test_objects_that_were_uploaded_before_an_erasure_and_have_no_row_yet_go_with_it(
    two: TwoStores, storage: Folder
) -> None:
    two.engine.fault("error", times=10_000, only=INSERT, code=202)
    postgres.query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    send(two, "waits", 10)
    until(lambda: len(storage.objects()) == 11)
    erase(two, storage, "--org", "acme", "--yes")
    two.daemon.kill()  # the next one knows of no upload, and makes rows as the erasure leaves them
    two.daemon.start()
    two.engine.release()
    postgres.query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    for store in STORES:
        two.settled(store, 11)
    balance(two, storage)
    assert len(storage.objects()) == 1, "the other organization's"


def test_an_object_that_is_uploaded_after_an_erasure_for_a_row_that_is_refused_goes_again(
    two: TwoStores, s3: S3
) -> None:
    restart(two, stores="postgres", retry_cap_seconds=2, payload_store_timeout_seconds=1, **s3.settings())
    postgres.query(two.postgres_url, "ALTER TABLE provider_traces ADD CHECK (agent_id <> 'agent-3')")
    s3.fault("status", 10_000)
    send(two, "waits", 6)
    until(lambda: s3.counts()["status"])
    erased = erase(two, s3, "--org", "acme", "--yes", stores="postgres")
    assert "0 objects" in erased.stdout
    s3.release()
    until(lambda: not two.of("postgres")["in_spool"])
    assert two.of("postgres")["dead_letters"] == 1
    assert {name.rpartition("/")[2] for name in s3.objects()} == {"waits-other.json.gz"}


def send(two: TwoStores, name: str, count: int) -> None:
    lines = [line(f"{name}-{number}", number, org_id="acme") for number in range(count)]
    two.daemon.send_one_way(b"".join([*lines, line(f"{name}-other", 1, org_id="other")]))


def erased_calls_with_payloads(two: TwoStores) -> int:
    statement = (
        "SELECT count(*) AS n FROM provider_traces WHERE organization_id = 'acme'"
        f" AND (payload_uri NOT IN ('', '{ERASED_URI}') OR request_json <> '' OR response_json <> '')"
    )
    found = postgres.query(two.postgres_url, statement)[0]["n"]
    assert isinstance(found, int)
    return found
