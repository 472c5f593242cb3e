"""Erasure while PostgreSQL is away, with records that wait for it and records that it has."""

from __future__ import annotations

import subprocess

import pytest

from llmledgerd.query.erasure import ERASED_URI
from tests.chaos.postgres.books import balance, uris
from tests.helpers import postgres, prefork
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos


def erase(two: TwoStores, storage: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "LLMLEDGER_SOCKET": str(two.daemon.socket),
        "LLMLEDGER_SPOOL_DIR": str(two.daemon.spool),
        "LLMLEDGER_STORES": "clickhouse,postgres",
        "LLMLEDGER_CLICKHOUSE_URL": two.clickhouse_url,
        "LLMLEDGER_POSTGRES_URL": two.postgres_url,
        "LLMLEDGER_PAYLOAD_STORE": str(storage.settings()["payload_store"]),
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
