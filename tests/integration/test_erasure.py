"""What is erased is gone from rows, usage, objects and dead letters, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.admin import auth
from llmledgerd.delivery.erasing_files import concerns
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.payloads import names
from llmledgerd.payloads.erasing import ErasableObjects
from llmledgerd.payloads.objects import Objects
from llmledgerd.query.daemon_client import DaemonAnswers
from llmledgerd.query.erasure import PAYLOADS, Erased, Erasure, Extent
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.erasure import Eraser
from tests.helpers import admin, prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.migrated_databases import Lend
from tests.helpers.rollups import differences, doubted, mend
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

DAY_US = 86_400_000_000
NOON_US = (time.time_ns() // 1000 // DAY_US - 2) * DAY_US + DAY_US // 2


def call(name: str, organization: str = "acme", **fields: object) -> dict[str, object]:
    return {
        "id": name,
        "organization_id": organization,
        "created_at": NOON_US,
        "prompt_tokens": 8,
        "request_json": b'{"secret":1}',
        "response_json": b"{}",
        "usage_json": b'{"prompt_tokens":8}',
        **fields,
    }


CALLS = [
    call("plain"),
    call("billed", billing_customer_id="c-1"),
    call("used", user_id="u-1", error_message="no such secret"),
    call("later", created_at=NOON_US + DAY_US),
    call("theirs", "other"),
    call("nobody's", ""),
]


class Storage:
    """Object storage that is there, or away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.asked: list[str] = []
        self.organizations: list[str] = []

    def delete_calls(self, uris: Sequence[str]) -> None:
        self.asked.extend(uris)
        if self.is_away:
            raise LlmledgerdError("the bucket is away")

    def delete_files(self, organization_id: str) -> None:
        self.organizations.append(organization_id)


def ids(store: Store, condition: str = "1") -> set[str]:
    return {row["id"] for row in store.query(f"SELECT id FROM llm_traces WHERE {condition}")}


def parts_with(store: Store, text: str) -> int:
    """Return how many rows hold a text, among those that a lightweight deletion would only mask too."""
    said = "OR ".join(f"position({name}, '{text}') > 0 " for name in PAYLOADS)
    rows = store.query(f"SELECT count() AS n FROM llm_traces WHERE {said} SETTINGS apply_deleted_mask = 0")
    return int(rows[0]["n"])


def test_payloads_go_and_numbers_stay(store: Store) -> None:
    add_traces(store, CALLS)
    mend(store)
    erasure = Erasure(organization_id="acme")
    assert Eraser(store).erase(erasure) == Extent(calls=4, hours=2)
    assert ids(store, "request_json = '' AND response_json = ''") == {"plain", "billed", "used", "later"}
    assert ids(store, "prompt_tokens = 8 AND notEmpty(usage_json)") == {str(made["id"]) for made in CALLS}
    assert parts_with(store, "secret") == 2  # the other organizations'
    assert not doubted(store)
    assert not differences(store)
    assert Eraser(store).erase(erasure) == Extent()


@pytest.mark.parametrize(
    ("erasure", "gone"),
    [
        (Erasure(organization_id="acme", rows=True), {"plain", "billed", "used", "later"}),
        (Erasure(organization_id="acme", customer_id="c-1", rows=True), {"billed"}),
        (Erasure(organization_id="acme", user_id="u-1", rows=True), {"used"}),
        (Erasure(organization_id="acme", customer_id="c-1", user_id="u-1", rows=True), set()),
        (Erasure(organization_id="acme", before_us=NOON_US + 1, rows=True), {"plain", "billed", "used"}),
        (Erasure(organization_id="", rows=True), {"nobody's"}),
    ],
)
def test_rows_go_with_their_usage_and_no_others(server: Store, erasure: Erasure, gone: set[str]) -> None:
    add_traces(server, CALLS)
    mend(server)
    assert Eraser(server).erase(erasure).calls == len(gone)
    assert ids(server) == {str(made["id"]) for made in CALLS} - gone
    assert bool(doubted(server)) == bool(gone)
    mend(server)
    assert not differences(server)
    assert Eraser(server).erase(erasure) == Extent()


def test_usage_of_rows_that_have_expired_goes_with_the_organization(server: Store) -> None:
    long_ago = NOON_US - 200 * DAY_US
    add_traces(server, [call("old", created_at=long_ago), call("old theirs", "other", created_at=long_ago)])
    server.run("ALTER TABLE llm_traces DELETE WHERE 1", settings={"mutations_sync": 2})
    Eraser(server).erase(Erasure(organization_id="acme", rows=True))
    left = server.query("SELECT DISTINCT organization_id FROM llm_usage_hourly")
    assert left == [{"organization_id": "other"}]


def test_objects_go_before_the_rows_that_name_them(server: Store) -> None:
    uris = [f"raw/date=2026-01-01/{number}.json.gz" for number in range(3)]
    add_traces(
        server, [call(uri, payload_uri=uri) for uri in uris] + [call("t", "other", payload_uri="theirs")]
    )
    storage = Storage(is_away=True)
    erasure = Erasure(organization_id="acme")
    with pytest.raises(LlmledgerdError, match="the bucket is away"):
        Eraser(server, storage).erase(erasure)
    assert storage.asked == uris
    assert ids(server, "notEmpty(payload_uri)") == {*uris, "t"}
    with pytest.raises(LlmledgerdError, match="cannot reach: nothing is erased"):
        Eraser(server).erase(erasure)
    storage = Storage()
    assert Eraser(server, storage).erase(erasure) == Extent(calls=3, hours=1, objects=3)
    assert (storage.asked, storage.organizations) == (uris, ["acme"])
    assert ids(server, "payload_uri NOT IN ('', 'erased:')") == {"t"}


def test_files_that_others_of_the_organization_may_have_stay(server: Store) -> None:
    add_traces(server, CALLS)
    storage = Storage()
    Eraser(server, storage).erase(Erasure(organization_id="acme", customer_id="c-1"))
    Eraser(server, storage).erase(Erasure(organization_id="acme", before_us=NOON_US))
    assert not storage.organizations


def test_only_what_lies_in_the_payload_store_is_deleted(tmp_path: Path) -> None:
    objects = Objects(f"file://{tmp_path}/store")
    mine, theirs = names.record_name("mine", NOON_US), names.record_name("theirs", NOON_US)
    files = [names.file_name(org, "ab" * 32) for org in ("acme", "acme 2")]
    for name in (mine, theirs, *files):
        asyncio.run(objects.put(name, b"{}"))
    (tmp_path / "secret").write_text("not an object")
    erasable = ErasableObjects(objects)
    for elsewhere in (f"file://{tmp_path}/store/../secret", "s3://others/raw/date=2026-01-01/a.json.gz"):
        with pytest.raises(LlmledgerdError, match="does not lie in payload_store"):
            erasable.delete_calls([names.uri(objects.base, mine), elsewhere])
    erasable.delete_calls([names.uri(objects.base, mine)])
    erasable.delete_calls([names.uri(objects.base, mine)])
    erasable.delete_files("acme")
    left = {found.name for page in objects.pages("") for found in page}
    assert left == {theirs, files[1]}
    assert (tmp_path / "secret").exists()


def letter(text: str, **fields: Any) -> DeadLetter:
    body = text.encode()
    made = DeadLetter(id=str(uuid.uuid4()), reason="wrong_type", received_us=1, size=len(body))
    return with_line(made, body)


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        ('{"org_id":"acme","user_id":"u-1","agent_id":17}', True),
        ('{"org_id":"acme","user_id":"u-2","agent_id":17}', False),
        ('{"org_id":"other","user_id":"u-1","request":{"org_id":"acme"}}', False),
        ('{"org_id": "acme", "user_id": "u-1", "request": "cut off he', True),
        ('{"org_id": "acme", "request": "cut off he', None),
        ("nothing of the kind", None),
    ],
)
def test_a_dead_letter_is_whose_it_says(text: str, concerned: bool | None) -> None:
    assert concerns(Erasure(organization_id="acme", user_id="u-1"), letter(text)) is concerned
    assert not concerns(Erasure(organization_id="acme", user_id="u-1", before_us=1), letter(text))


def erase(daemon: RunningDaemon, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        "LLMLEDGER_SOCKET": str(daemon.socket),
        "LLMLEDGER_SPOOL_DIR": str(daemon.spool),
        "LLMLEDGER_CLICKHOUSE_URL": daemon.url,
    }
    return prefork.run("llmledger", "erase", *arguments, environment=environment, given=said)


ALLOWED = {"admin_socket_erases": "true"}


def test_the_command_erases_in_the_store_of_a_running_daemon_and_its_dead_letters(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, settings=ALLOWED) as daemon:
        daemon.send_one_way(
            b"".join(line(f"call-{index}", index, org_id="acme") for index in range(3))
            + line("theirs", 4, org_id="other")
            + line("wrong", 5, org_id="acme", agent_id=17)
        )
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 4)
        refused = erase(daemon, "--org", "acme", said="n\n")
        assert (refused.returncode, refused.stderr) == (2, "llmledger: nothing was erased\n")
        assert "3 calls in 1 hour, 0 objects, 1 dead letter of acme (whole organization)" in refused.stdout
        assert len(dead_letters.read(daemon.spool)) == 1

        done = erase(daemon, "--org", "acme", "--rows", "--yes")
        assert done.stdout.splitlines()[-1] == "erased: 3 calls in 1 hour, 0 objects, 1 dead letter", done
        again = erase(daemon, "--org", "acme", "--rows")
        assert again.stdout == "erased: 0 calls in 0 hours, 0 objects, 0 dead letters\n", again
        assert not dead_letters.read(daemon.spool)
        code, text = admin.get(
            daemon.folder / "admin.sock", "/v1/usage?all_organizations=true&group_by=organization"
        )
        assert [(one["group"], one["requests"]) for one in json.loads(text)] == [
            ({"organization": "other"}, 1)
        ], code
        assert daemon.terminate() == 0


def test_nobody_erases_by_opening_the_admin_socket_alone(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        done = erase(daemon, "--org", "acme", "--yes")
        assert done.returncode == 2, done
        assert "no right to erase" in done.stderr
        refused = [entry for entry in daemon.log() if entry["event"] == "erasure refused"]
        assert refused[0]["by"].startswith("uid ")


ACME = {"organization_id": "acme", "whole_organization": True}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {**ACME, "whole_organization": False, "user": "u-1"}),
        ("", {"organization_id": "acme", "user": "u-1"}),
        ("", {"organization_id": "acme"}),
        ("", {"organization_id": "acme", "user_id": None}),
        ("", {"organization_id": "acme", "user_id": ""}),
        ("", {**ACME, "user_id": "u-1"}),
        ("", {**ACME, "rows": "true"}),
        ("", {**ACME, "rows": 1}),
        ("", {**ACME, "only_count": True}),
        ("", {**ACME, "until_us": 1}),
        ("", {**ACME, "organization_id": ["acme"]}),
        ("", {**ACME, "before_us": -1}),
        ("", {**ACME, "before_us": None}),
        ("", {**ACME, "confirmation": None}),
        ("", {"organization_id": "acme", "customer_id": "c-1", "user_id": None}),
        ("", {**ACME, "confirmation": "guessed"}),
        ("", {**ACME, "confirmation": True}),
        ("", [ACME]),
        ("", None),
        ("?only_count=True", ACME),
        ("?only_count=true", ACME),
        ("?confirmation=x", ACME),
    ],
)
def test_what_is_misspelt_is_refused_and_erases_nothing(
    eraser: RunningDaemon, query: str, body: object
) -> None:
    code, text = admin.post(eraser.folder / "admin.sock", f"/v1/erase{query}", json.dumps(body))
    assert code == 400, text


@pytest.mark.parametrize(
    "target",
    [
        "/v1/status?organization_id=acme",
        "/v1/openapi.json?x=1",
        "/v1/call?id=kept&organization_id=acme&payload=true",
        "/v1/call?id=kept&organization_id=acme&payloads=True",
        "/v1/step?step_id=s&organization_id=acme&files=1",
        "/v1/calls?organization_id=acme&user=u-1",
        "/v1/calls?organization_id=acme&is_error=yes",
        "/v1/calls?organization_id=acme&organization_id=other",
        "/v1/large?all_organizations=True",
        "/v1/usage?all_organizations=1",
        "/v1/losses?all_organizations=true&start=2026-01-01",
    ],
)
def test_no_address_takes_what_it_does_not_know(eraser: RunningDaemon, target: str) -> None:
    code, text = admin.get(eraser.folder / "admin.sock", target)
    assert code == 400, text
    assert admin.post(eraser.folder / "admin.sock", "/v1/sql?limit=1", "SELECT 1")[0] == 400


def test_a_token_erases_where_it_says_so_and_what_it_may_see(tmp_path: Path, server_url: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    made = [
        auth.new([], "reads all"),
        auth.new([], "erases", erase=True),
        auth.new(["acme"], "acme's", erase=True),
    ]
    (tmp_path / "tokens").write_text("\n".join(entry for _, entry in made))
    settings = {"admin": f"127.0.0.1:{port}", "admin_tokens_file": tmp_path / "tokens", **ALLOWED}
    reads, erases, acmes = (token for token, _ in made)

    def asked(token: str, organization: str, code: str | None = None) -> Erased:
        async def ask() -> Erased:
            daemon = DaemonAnswers(f"127.0.0.1:{port}", token)
            try:
                return await daemon.erase(Erasure(organization_id=organization), code)
            finally:
                await daemon.close()

        return asyncio.run(ask())

    with RunningDaemon(tmp_path, url=server_url, settings=settings) as daemon:
        with pytest.raises(ConfigError, match="no right to erase"):
            asked(reads, "acme")
        with pytest.raises(ConfigError, match="does not give access"):
            asked(acmes, "other")
        code = asked(acmes, "acme").confirmation
        with pytest.raises(ValueError, match="count again"):
            asked(erases, "acme", code)
        assert not asked(erases, "other", asked(erases, "other").confirmation).confirmation
        said = [entry["by"] for entry in daemon.log() if entry["event"] == "erased"]
        assert said == [f"token erases ({auth.hashed(erases)[:12]})"]


def test_a_member_that_is_given_twice_is_refused(eraser: RunningDaemon) -> None:
    twice = '{"organization_id":"x","whole_organization":true,"organization_id":"acme"}'
    assert admin.post(eraser.folder / "admin.sock", "/v1/erase", twice)[0] == 400


@pytest.fixture(scope="module")
def eraser(lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with lend() as url, RunningDaemon(tmp_path_factory.mktemp("eraser"), url=url, settings=ALLOWED) as daemon:
        daemon.send_one_way(line("kept", 1, org_id="acme"))
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 1)
        yield daemon
        code, text = admin.get(
            daemon.folder / "admin.sock", "/v1/call?id=kept&organization_id=acme&payloads=true"
        )
        assert code == 200, text
        assert json.loads(text)["payloads"]["request_json"]


def test_a_code_is_good_once_and_for_what_was_counted(eraser: RunningDaemon) -> None:
    def post(**more: object) -> tuple[int, dict[str, Any]]:
        wanted = {"organization_id": "nobody", "whole_organization": True, **more}
        code, text = admin.post(eraser.folder / "admin.sock", "/v1/erase", json.dumps(wanted))
        return code, json.loads(text)

    given = post()[1]["confirmation"]
    assert post(rows=True, confirmation=given)[0] == 400
    assert post(confirmation=given)[0] == 400, "it was tried for another extent, and is of no more use"
    given = post()[1]["confirmation"]
    code, done = post(confirmation=given)
    assert (code, "confirmation" in done and done["confirmation"]) == (200, ""), done
    assert post(confirmation=given)[0] == 400
    said = [entry for entry in eraser.log() if entry["event"] == "erased"]
    assert said[-1]["by"].startswith("uid ")
    assert said[-1]["extent"]["organization_id"] == "nobody"


def test_a_daemon_without_clickhouse_erases_in_postgres(tmp_path: Path, postgres_url: str) -> None:
    settings = {"stores": "postgres", "postgres_url": postgres_url, **ALLOWED}
    with RunningDaemon(tmp_path, settings=settings) as daemon:
        code, text = admin.post(daemon.folder / "admin.sock", "/v1/erase", json.dumps(ACME))
        assert (code, json.loads(text)["calls"]) == (200, 0), text
        assert not (tmp_path / "clickhouse").exists(), "an embedded store was made to erase in"
