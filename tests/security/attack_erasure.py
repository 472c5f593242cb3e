"""Erasure: a secret in every place that this product writes, and every byte read after it.

What is read: all rows of all tables of both stores, by SQL; every file of the spool, of object storage
and of the log, unpacked. Left out, as docs/erasure.md says: old parts and pages on the stores' own disks.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from llmledgerd.spool import Entry, EntryKind, Group, dead_letters
from llmledgerd.spool import format as fmt
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from tests.helpers import admin, postgres
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.postgres import fresh_postgres_database, programs, running_postgres
from tests.helpers.waiting import until
from tests.security.attack import Attack

GONE, EMPTIED, KEPT = "acme", "emptied", "other"
"""Organizations: whose rows go, whose payloads go, and of whom nothing may go."""
TABLES = ("llm_traces", "llm_trace_losses", "llm_usage_doubts")
POSTGRES = ("provider_traces", "provider_trace_metadata", "llm_trace_losses")


class Planted:
    """Secrets by the place that they were put in."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        return self.places.setdefault(place, f"PLANTED-{uuid.uuid4().hex}")


def run(attack: Attack) -> None:
    if programs() is None:
        attack.skipped = "there is no PostgreSQL server"
        return
    planted = Planted()
    server = attack.ends.enter_context(running_postgres())
    url = attack.ends.enter_context(fresh_postgres_database(server.address))
    settings = {
        "stores": "clickhouse,postgres",
        "postgres_url": url,
        "admin_socket_erases": "true",
        "payloads": "offload",
        "payload_above_bytes": 4000,
        "payload_store": f"file://{attack.folder}/objects",
        "attachments": "store",
        "attachments_above_bytes": 1000,
        "max_line_bytes": 200_000,
        "insert_timeout_seconds": 3,
        "orphan_grace_seconds": 1,
    }
    with RunningDaemon(attack.folder / "d", settings=settings) as daemon:
        daemon.terminate()
        os.environ["LLMLEDGER_POSTGRES_URL"] = url
        try:
            _migrate(daemon, url)
        finally:
            del os.environ["LLMLEDGER_POSTGRES_URL"]
        daemon.start()
        _send_rows(daemon, planted)
        _plant_aside(daemon.spool, planted)
        server.freeze()
        _send_waiting(daemon, planted)
        _erase_all(attack, daemon)
        server.thaw()
        until(lambda: not admin.status(daemon.folder / "admin.sock")["in_spool"], limit=90)
        _look_at_what_waited(attack, daemon, url, planted)
        _erase_all(attack, daemon)  # now of what the store had that was away
        _look(attack, daemon, url, planted)


def _migrate(daemon: RunningDaemon, url: str) -> None:
    from llmledgerd.stores.postgres.migrations import apply
    from llmledgerd.stores.postgres.sink import Postgres

    with contextlib.closing(Postgres(url)) as store:
        apply(store)


def _send_rows(daemon: RunningDaemon, planted: Planted) -> None:
    lines = [
        made
        for org in (GONE, EMPTIED, KEPT)
        for made in (*_records(planted, org, "landed"), _refused(planted, org))
    ]
    daemon.send_one_way(b"".join(lines))
    until(lambda: admin.status(daemon.folder / "admin.sock")["in_spool"] == 0, limit=60)


def _records(planted: Planted, org: str, when: str) -> Iterator[bytes]:
    """Yield records of an organization, with a secret in each field that holds what was said."""

    def plant(place: str) -> str:
        return planted(f"{org}: {when}, {place}")

    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "note": plant("usage object")}
    response = {"model": "gpt-4o", "choices": [], "usage": usage, "text": plant("response")}
    yield line(
        f"{org}-{when}-inline",
        1,
        org_id=org,
        user_id="u-1",
        request={"model": "gpt-4o", "text": plant("request")},
        response=response,
        llm_config={"text": plant("configuration")},
        compaction_settings={"text": plant("compaction")},
    )
    yield line(f"{org}-{when}-failed", 1, org_id=org, error=plant("error message"), outcome="error")
    yield line(f"{org}-{when}-v3", 1, version=3, org_id=org, request={"text": plant("request of version 3")})
    large = {"text": plant("offloaded request") + "x" * 8000}
    yield line(f"{org}-{when}-large", 1, org_id=org, request=large)
    file = base64.b64encode(plant("file in a payload").encode() * 60).decode()
    yield line(f"{org}-{when}-file", 1, org_id=org, request={"image": f"data:image/png;base64,{file}"})


def _refused(planted: Planted, org: str) -> bytes:
    return line(f"{org}-bad", 1, org_id=org, agent_id=17, request=planted(f"{org}: refused by the daemon"))


def _send_waiting(daemon: RunningDaemon, planted: Planted) -> None:
    """Send records that ClickHouse has, and PostgreSQL has not, when they are erased."""
    before = admin.status(daemon.folder / "admin.sock")["received"]
    lines = [made for org in (GONE, EMPTIED, KEPT) for made in _records(planted, org, "waiting")]
    daemon.send_one_way(b"".join(lines))

    def in_clickhouse() -> bool:
        stores = admin.status(daemon.folder / "admin.sock")["stores"]
        (one,) = [store for store in stores if store["name"] == "clickhouse"]
        return one["received"] >= before + len(lines) and not one["in_spool"]

    until(in_clickhouse, limit=60)


def _letters(org: str, plant: Planted) -> Iterator[tuple[str, bytes, int]]:
    """Yield lines in all the ways that one may say whose it is, and what was cut off each."""
    escaped = "".join(f"\\u{ord(one):04x}" for one in org)

    def secret(place: str) -> str:
        return plant(f"{org}: dead letter, {place}")

    yield "escapes", f'{{"org_id":"{escaped}","request":"{secret("escapes")}"'.encode() + b"}", 0
    key = '"\\u006frg_id"'
    yield "escaped key", f'{{{key}:"{escaped}","request":"{secret("escaped key")}"}}'.encode(), 0
    yield "no UTF-8", f'{{"org_id":"{org}","request":"{secret("no UTF-8")}'.encode() + b'\xff\xfe"}', 0
    yield "UTF-16", f'{{"org_id":"{org}","request":"{secret("UTF-16")}"}}'.encode("utf-16"), 0
    yield "nested", f'[{{"org_id":"{org}","request":"{secret("nested")}"}}]'.encode(), 0
    yield "twice", f'{{"org_id":"x","org_id":"{org}","request":"{secret("twice")}"}}'.encode(), 0
    yield "wrong type", f'{{"org_id":["{org}"],"request":"{secret("wrong type")}"}}'.encode(), 0
    yield "not closed", f'{{"org_id":"{org}","request":"{secret("not closed")}'.encode(), 0
    yield (
        "version 1",
        f'{{"protocol_version":1,"org_id":"{org}","request":"{secret("version 1")}"}}'.encode(),
        0,
    )
    yield "a head", f'{{"org_id":"{org}","request":"{secret("a head")}'.encode() + b"x" * 3000, 90_000
    yield "escaped head", f'{{"org_id":"{escaped}","request":"{secret("escaped head")}'.encode(), 90_000
    yield (
        "begin",
        f'{{"protocol_version":4,"begin":{{"org_id":"{org}","x":"{secret("begin")}"}}}}'.encode(),
        0,
    )


def _plant_aside(spool: Path, planted: Planted) -> None:
    for org in (GONE, EMPTIED, KEPT):
        letters = []
        for name, body, full in _letters(org, planted):
            letter = DeadLetter(
                id=f"{org}:{name}",
                reason="planted",
                received_us=time.time_ns() // 1000,
                size=full or len(body),
            )
            letters.append(with_line(letter, body))
        dead_letters.write(spool, f"planted-{org}", letters)
        dead_letters.write(spool, f"half-{org}", letters)
        half = spool / dead_letters.FOLDER / f"half-{org}.ndjson"
        half.rename(half.with_suffix(".tmp"))
    quarantine = spool / "quarantine"
    quarantine.mkdir(mode=0o700, exist_ok=True)
    for name, packed, damaged in (("1", False, False), ("2", True, False), ("3", False, True)):
        body = b"".join(
            line(f"q{name}-{org}", 1, org_id=org, request=planted(f"{org}: quarantine {name}"))
            for org in (GONE, EMPTIED, KEPT)
        )
        entry = Entry(EntryKind.LINES, b"", 0, 3, len(body))
        meta, marker = msgspec.msgpack.encode(Group(1, 0, [entry])), fmt.new_marker()
        frame = b"".join(fmt.encode(marker, fmt.Kind.GROUP, meta, [body]))
        if packed:
            found = next(iter(fmt.scan(marker, frame)))
            assert isinstance(found, fmt.Frame)
            frame = b"".join(fmt.compressed(marker, found))
        if damaged:
            frame = b"torn" + frame[: fmt.MARKER_BYTES + 2] + b"?" + frame[fmt.MARKER_BYTES + 3 :]
        (quarantine / f"{name.zfill(16)}.seg").write_bytes(frame)


def _erase_all(attack: Attack, daemon: RunningDaemon) -> None:
    for org, rows in ((GONE, True), (EMPTIED, False)):
        wanted: dict[str, Any] = {"organization_id": org, "whole_organization": True, "rows": rows}
        _, text = admin.post(daemon.folder / "admin.sock", "/v1/erase", json.dumps(wanted))
        wanted["confirmation"] = json.loads(text).get("confirmation")
        code, text = admin.post(daemon.folder / "admin.sock", "/v1/erase", json.dumps(wanted))
        attack.tried(f"the erasure of {org} was refused: {text}", through=code != 200)


def _look_at_what_waited(attack: Attack, daemon: RunningDaemon, url: str, planted: Planted) -> None:
    """Look for what a store that was away could bring back."""
    held = {
        **dict(_of_tables(daemon)),
        **dict(_of_postgres(url)),
        **dict(_of_files(attack.folder / "objects")),
    }
    for place, secret in planted.places.items():
        if ": waiting," in place and not place.startswith(KEPT):
            where = [name for name, body in held.items() if secret.encode() in body]
            attack.tried(f"{place}: brought back to {', '.join(where)}", through=bool(where))


def _look(attack: Attack, daemon: RunningDaemon, url: str, planted: Planted) -> None:
    held = {**dict(_of_tables(daemon)), **dict(_of_postgres(url))}
    held |= dict(_of_files(daemon.spool)) | dict(_of_files(attack.folder / "objects"))
    held |= {"the log": daemon.log_path.read_bytes()}
    for place, secret in planted.places.items():
        where = [name for name, body in held.items() if secret.encode() in body]
        # Files are packed in base64 in a payload, and lie unpacked in object storage.
        if place.startswith(KEPT):
            attack.tried(f"{place}: gone, although it is another's", through=not where)
        else:
            attack.tried(f"{place}: in {', '.join(where)}", through=bool(where))
    rows = held["clickhouse llm_traces"] + held["postgres provider_traces"]
    attack.tried("ids of erased rows", through=f"{GONE}-landed".encode() in rows)
    attack.tried("ids of waiting rows", through=f"{GONE}-waiting".encode() in rows)
    attack.tried("rows of payloads are gone", through=rows.count(f"{EMPTIED}-waiting-inline".encode()) != 2)


def _of_tables(daemon: RunningDaemon) -> Iterator[tuple[str, bytes]]:
    for table in TABLES:
        statement = f"SELECT toString(tuple(*)) FROM {table}"
        code, text = admin.post(daemon.folder / "admin.sock", "/v1/sql", statement)
        assert code == 200, text
        yield f"clickhouse {table}", "\n".join(row[0] for row in json.loads(text)["rows"]).encode()
    _, text = admin.post(
        daemon.folder / "admin.sock", "/v1/sql", "SELECT DISTINCT organization_id FROM llm_usage_hourly"
    )
    yield "clickhouse llm_usage_hourly", text.encode()


def _of_postgres(url: str) -> Iterator[tuple[str, bytes]]:
    for table in POSTGRES:
        rows = postgres.query(url, f"SELECT t::text AS row FROM {table} AS t")
        yield f"postgres {table}", "\n".join(str(row["row"]) for row in rows).encode()


def _of_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        body = path.read_bytes()
        if path.suffix == ".gz":
            body = gzip.decompress(body)
        unpacked = [body, body.replace(b"\0", b"")]
        for at in _starts(body, zstandard.FRAME_HEADER):
            with contextlib.suppress(zstandard.ZstdError):
                unpacked.append(zstandard.ZstdDecompressor().decompressobj().decompress(body[at:]))
        for written in body.split(b'"line_base64":"')[1:]:
            raw = base64.b64decode(written.partition(b'"')[0])
            unpacked += [raw, raw.replace(b"\0", b"")]
        yield str(path.relative_to(folder.parent)), b"\n".join(unpacked)


def _starts(body: bytes, mark: bytes) -> Iterator[int]:
    at = body.find(mark)
    while at >= 0:
        yield at
        at = body.find(mark, at + 1)
