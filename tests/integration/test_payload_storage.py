"""Payloads in object storage, by a real daemon: into a folder and into S3's stand-in."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.cli import daemon
from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.payloads import names
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.object_storage import S3, Folder, ObjectStorage, running_s3
from tests.helpers.scene import Scene, running_scene
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

SHORT: Mapping[str, object] = {
    "payloads": "offload",
    "payload_store_timeout_seconds": 1,
    "drain_timeout_seconds": 1,
}

KILLS = int(os.environ.get("LLMLEDGER_KILLS", "2"))
"""How often daemon and object storage are killed together; more by hand."""


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with running_s3(tmp_path) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    if request.param == "folder":
        return Folder(tmp_path / "objects")
    found: S3 = request.getfixturevalue("s3")
    return found


@pytest.fixture
def scene(engine: Engine, server_url: str, tmp_path: Path, storage: ObjectStorage) -> Iterator[Scene]:
    with running_scene(engine, server_url, tmp_path, settings={**SHORT, **storage.settings()}) as running:
        yield running


@pytest.fixture
def cloud(engine: Engine, server_url: str, tmp_path: Path, s3: S3) -> Iterator[Scene]:
    without_faults()
    with running_scene(engine, server_url, tmp_path, settings={**SHORT, **s3.settings()}) as running:
        yield running


def reader(scene: Scene) -> LLMTraceReader:
    return LLMTraceReader(f"unix:{scene.daemon.folder / 'admin.sock'}")


def rows(scene: Scene) -> list[dict[str, Any]]:
    return scene.table.query(
        "SELECT id, payload_uri, request_json, response_json, request_size_bytes, prompt_tokens FROM llm_traces"
        " ORDER BY id, prompt_tokens"
    )


def each_is_there_once(scene: Scene, storage: ObjectStorage, count: int) -> None:
    """Check that every row points at an object of its own that is its call's, and that there are no others."""
    found = rows(scene)
    objects = storage.objects()
    assert len(found) == count
    pointed = [
        names.name_within(row["payload_uri"].partition("/raw/")[0], row["payload_uri"]) for row in found
    ]
    assert sorted(name or "" for name in pointed) == sorted(objects)
    for row, name in zip(found, pointed, strict=True):
        record = storage.record(name or "")
        assert record["provider_trace_id"] == row["id"]
        assert record["response"]["usage"]["prompt_tokens"] == row["prompt_tokens"]


async def test_payloads_lie_in_storage_and_come_back_as_they_were_until_they_are_gone(
    scene: Scene, storage: ObjectStorage
) -> None:
    sent = openai_chat(7)
    scene.daemon.send_one_way(line("a/7 ü", 7, timestamp="2026-11-20T23:59:59.5Z"))
    scene.settled(1)
    assert list(storage.objects()) == ["raw/date=2026-11-20/a%2F7%20%C3%BC.json.gz"]
    row = rows(scene)[0]
    assert (row["request_json"], row["response_json"]) == ("", "")
    assert row["request_size_bytes"] > 100
    async with reader(scene) as opened:
        call = await opened.get_by_id("org-1", "a/7 ü", payloads=True)
        listed = await opened.list_calls("org-1")
        storage.remove(next(iter(storage.objects())))
        bare = await opened.get_by_id("org-1", "a/7 ü", payloads=True)
    assert call is not None
    assert call.payloads is not None
    assert call.payloads_missing == ""
    assert call.payload_uri == listed.calls[0].payload_uri
    assert json.loads(call.payloads.request_json) == sent["request"]
    assert json.loads(call.payloads.response_json) == sent["response"]
    assert bare is not None
    assert bare.payloads_missing == "no longer in object storage"


def test_two_calls_with_one_id_keep_an_object_each(scene: Scene, storage: ObjectStorage) -> None:
    scene.daemon.send_one_way(line("a", 1) + line("a", 2))
    scene.settled(2)
    scene.daemon.send_one_way(line("a", 3))
    scene.settled(3)
    each_is_there_once(scene, storage, 3)


def test_a_daemon_killed_between_object_and_row_finds_its_object_again(
    scene: Scene, storage: ObjectStorage
) -> None:
    without_faults()
    scene.engine.fault("status", times=1_000_000, only="INSERT INTO llm_traces ", status=503)
    scene.daemon.send_one_way(b"".join(line(f"a-{number}", number) for number in range(20)))
    until(lambda: len(storage.objects()) == 20)
    scene.restart()
    scene.bitten("status", 2)
    scene.engine.release()
    scene.settled(20)
    each_is_there_once(scene, storage, 20)


def test_records_wait_for_object_storage_that_is_away(cloud: Scene, s3: S3) -> None:
    s3.kill()
    cloud.daemon.send_one_way(b"".join(line(f"a-{number}", number) for number in range(20)))
    until(lambda: "object_storage" in cloud.status()["store"])
    cloud.restart()
    until(lambda: cloud.status()["in_spool"] == 20)
    assert rows(cloud) == []
    s3.start()
    cloud.settled(20)
    each_is_there_once(cloud, s3, 20)


async def test_reading_goes_on_while_object_storage_is_away(cloud: Scene, s3: S3) -> None:
    cloud.daemon.send_one_way(line("a", 1, step_id="s") + line("b", 2, step_id="s"))
    cloud.settled(2)
    s3.kill()
    async with reader(cloud) as opened:
        calls = await opened.get_by_step_id("org-1", "s", payloads=True)
    assert [call.id for call in calls] == ["a", "b"]
    assert all(call.payloads_missing.startswith("object storage is unavailable: ") for call in calls)


def test_a_daemon_that_is_told_to_stop_while_storage_hangs_stops(cloud: Scene, s3: S3) -> None:
    s3.stop()
    cloud.daemon.send_one_way(line("a", 1))
    until(lambda: cloud.status()["inserts_in_flight"])
    assert cloud.daemon.terminate() == 0
    s3.cont()
    cloud.daemon.start()
    cloud.settled(1)
    each_is_there_once(cloud, s3, 1)


def test_check_says_whether_object_storage_does_what_is_needed(
    s3: S3, server: Store, server_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", "--clickhouse-url", server_url]
    for name, value in s3.settings().items():
        command += ["--set", f"{name}={value}"]
    daemon.app(command, standalone_mode=False)
    assert "payload store: write, read and delete work" in capsys.readouterr().out
    assert s3.objects() == {}
    s3.fault("overwrite", 2)
    with pytest.raises(ConfigError, match="conditional writes"):
        daemon.app(command, standalone_mode=False)
    s3.kill()
    with pytest.raises(StoreBusy):
        daemon.app(command, standalone_mode=False)


def test_uploads_that_were_cut_before_and_after_they_were_stored_are_not_repeated(
    cloud: Scene, s3: S3
) -> None:
    s3.fault("cut", 15)
    s3.fault("store_then_cut", 15)
    s3.fault("status", 15)
    cloud.daemon.send_one_way(b"".join(line(f"a-{number}", number) for number in range(60)))
    cloud.settled(60)
    happened = s3.counts()
    assert min(happened[kind] for kind in ("cut", "store_then_cut", "status")) > 0
    each_is_there_once(cloud, s3, 60)


def test_storage_that_hangs_and_dies_and_a_daemon_that_dies_leave_each_object_and_row_once(
    cloud: Scene, s3: S3
) -> None:
    cloud.patience_seconds = 60 + KILLS
    large = {"prompt": random.Random(1).randbytes(20_000).hex()}
    total = interrupted = 0
    for attempt in range(KILLS):
        sent = [line(f"a-{attempt}-{number}", number, request=large) for number in range(100)]
        before = len(s3.objects())
        s3.stop()
        cloud.daemon.send_one_way(b"".join(sent))
        total += len(sent)
        until(lambda total=total: cloud.status()["received"] == total)  # type: ignore[misc]  # a lambda with a default
        s3.cont()
        until(lambda before=before: len(s3.objects()) > before)  # type: ignore[misc]  # likewise
        s3.kill()
        interrupted += len(s3.objects()) < total
        cloud.daemon.kill()
        cloud.daemon.start()
        s3.start()
    cloud.settled(total)
    assert interrupted
    each_is_there_once(cloud, s3, total)
