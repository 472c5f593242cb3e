"""What people see of payloads that are not in their rows: reader, /v1, commands."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.cli import app
from llmledgerd.query.answer_budget import PAYLOAD_BYTES, ROWS_BYTES
from llmledgerd.query.payloads import DAMAGED, TOO_MUCH
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.scene import Scene, running_scene
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

IMAGE = b"\x89PNG" + bytes(range(256)) * 50
REQUEST = {
    "model": "gpt-4o",
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"}},
        ]},
    ],
}  # fmt: skip
YEAR_SECONDS = 365 * 86_400


@pytest.fixture
def storage(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "objects")


@pytest.fixture
def scene(
    engine: Engine, server_url: str, tmp_path: Path, storage: Folder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    settings = {"payloads": "offload", "attachments": "store", **storage.settings()}
    monkeypatch.setenv("LLMLEDGER_PAYLOAD_STORE", str(settings["payload_store"]))
    with running_scene(engine, server_url, tmp_path, settings=settings) as running:
        running.daemon.send_one_way(line("a", 1, request=REQUEST) + line("b", 2, request=REQUEST))
        running.settled(2)
        yield running


def daemon_address(scene: Scene) -> str:
    return f"unix:{scene.daemon.folder / 'admin.sock'}"


async def test_an_image_is_stored_once_and_put_back_where_it_is_asked_for(
    scene: Scene, storage: Folder
) -> None:
    files = {name: content for name, content in storage.objects().items() if name.startswith("files/")}
    assert list(files.values()) == [IMAGE]
    for address in (scene.url, daemon_address(scene)):
        async with LLMTraceReader(address) as reader:
            short = await reader.get_by_id("org-1", "a", payloads=True)
            whole = await reader.get_by_id("org-1", "b", payloads=True, files=True)
        assert short is not None
        assert short.payloads is not None
        assert whole is not None
        assert whole.payloads is not None
        assert len(short.payloads.request_json) < 600
        assert json.loads(short.payloads.request_json)["messages"][0]["content"][0] == {
            "type": "text", "text": "What is this?",
        }  # fmt: skip
        assert whole.payloads.request_json == json.dumps(REQUEST).encode()
        assert whole.request_size_bytes == len(whole.payloads.request_json)


async def test_a_forged_uri_brings_nothing_that_is_not_the_row_s_own(scene: Scene, storage: Folder) -> None:
    base = str(storage.settings()["payload_store"])
    own = f"{base}/{next(name for name in storage.objects() if name.endswith('/a.json.gz'))}"
    forged = {
        "passwd": ("org-1", "file:///etc/passwd"),
        "outside": ("org-1", f"{base}/raw/date=2026-01-01/../../../../etc/passwd.json.gz"),
        "a": ("thief", own),
        "other-id": ("org-1", own),
        "nothing": ("org-1", f"{base}/raw/date=2026-01-01/nothing.json.gz"),
    }
    add_traces(
        scene.table,
        [
            {"id": call, "organization_id": organization, "step_id": "forged", "payload_uri": uri, "request_size_bytes": 1}
            for call, (organization, uri) in forged.items()
        ],
    )  # fmt: skip
    for address in (scene.url, daemon_address(scene)):
        async with LLMTraceReader(address) as reader:
            found = {
                call.id: call
                for organization in ("org-1", "thief")
                for call in await reader.get_by_step_id(organization, "forged", payloads=True)
            }
        assert found.keys() == forged.keys()
        for call in found.values():
            assert call.payloads is not None
            assert call.payloads.request_json == b""
        assert {call.id: call.payloads_missing for call in found.values()} == {
            "passwd": "in an object store other than payload_store",
            "outside": "in an object store other than payload_store",
            "a": "the object belongs to another call",
            "other-id": "the object belongs to another call",
            "nothing": "no longer in object storage",
        }


async def test_a_reader_without_the_setting_says_where_the_payloads_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMLEDGER_PAYLOAD_STORE")
    async with LLMTraceReader(scene.url) as reader:
        call = await reader.get_by_id("org-1", "a", payloads=True)
    assert call is not None
    assert call.payload_uri.startswith("file:///")
    assert call.payloads_missing == "in object storage, but the reader has no payload_store configured"


def test_trace_shows_the_conversation_and_raw_the_very_bytes(
    scene: Scene, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    app.app(["trace", "a", "--url", scene.url], standalone_mode=False)
    shown = capfdbinary.readouterr().out.decode()
    assert "What is this?" in shown
    assert "llmledger-file:sha256:" in shown
    app.app(["trace", "a", "--raw", "--url", daemon_address(scene)], standalone_mode=False)
    assert capfdbinary.readouterr().out.split(b"\n")[0] == json.dumps(REQUEST).encode()


@pytest.mark.parametrize("damage", [b"", b"\x89PNG, another", IMAGE[:-1] + b"\0"])
async def test_a_damaged_file_is_not_returned_as_whole(
    scene: Scene, storage: Folder, tmp_path: Path, damage: bytes
) -> None:
    (name,) = (name for name in storage.objects() if name.startswith("files/"))
    (tmp_path / "objects" / name).write_bytes(damage)
    async with LLMTraceReader(scene.url) as reader:
        call = await reader.get_by_id("org-1", "a", payloads=True, files=True)
    assert call is not None
    assert call.payloads is not None
    assert "llmledger-file:sha256:" in str(call.payloads.request_json)
    assert call.payloads_missing == DAMAGED


def test_cleaning_deletes_what_has_no_row_and_is_old(
    scene: Scene, storage: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.daemon.send_one_way(
        line("old", 3, timestamp="2025-01-01T00:00:00Z") + line("kept", 4, timestamp="2025-01-01T00:00:00Z")
    )
    scene.settled(4)
    scene.table.run("DELETE FROM llm_traces WHERE id IN ('old', 'a')")
    long_ago = time.time() - YEAR_SECONDS
    for path in (tmp_path / "objects").rglob("*.json.gz"):
        os.utime(path, (long_ago, long_ago))
    before = set(storage.objects())
    app.app(["objects", "clean", "--url", scene.url], standalone_mode=False)
    assert set(storage.objects()) == before
    app.app(["objects", "clean", "--yes", "--url", daemon_address(scene)], standalone_mode=False)
    assert before - set(storage.objects()) == {"raw/date=2025-01-01/old.json.gz"}
    said = capsys.readouterr().out.splitlines()
    assert [text.partition(" objects")[0] for text in said] == [
        "would delete 1",
        "run with --yes to delete them",
        "deleted 1",
    ]
    assert said[-1].endswith("; 1 old ones still have rows")


def test_each_organization_and_call_type_has_its_own_rule(
    server: Store, server_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "llmledgerd.toml"
    file.write_text(
        'payloads = "metadata_only"\n'
        f'payload_store = "file://{tmp_path}/objects"\n'
        '[[payload_rules]]\ncall_type = "embedding"\nmode = "inline"\nsample_rate = 0.0\n'
        '[[payload_rules]]\norganization_id = "acme"\nmode = "offload"\nabove_bytes = 2000\n'
    )
    with RunningDaemon(tmp_path / "d", url=server_url, config=file) as daemon:
        daemon.send_one_way(
            line("metadata", 1)
            + line("offloaded", 2, org_id="acme", request={"prompt": "x" * 2_000})
            + line("small", 3, org_id="acme")
            + line("sampled out", 4, org_id="acme", type="embedding")
            + line("failed", 5, type="embedding", error="boom")
        )
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 5)
    rows = server.query(
        "SELECT id, request_json != '' AS here, payload_uri != '' AS there, request_size_bytes AS size FROM llm_traces"
    )
    assert {row["id"]: (row["here"], row["there"]) for row in rows} == {
        "metadata": (0, 0), "offloaded": (0, 1), "small": (1, 0), "sampled out": (0, 0), "failed": (1, 0),
    }  # fmt: skip
    assert all(row["size"] > 100 for row in rows)


def test_a_step_with_more_payloads_than_an_answer_holds_brings_the_first_of_them(
    server: Store, server_url: str, tmp_path: Path
) -> None:
    each = PAYLOAD_BYTES // 4 + 1
    rows = [{"id": f"call-{number}", "created_at": 1_750_000_000_000_000 + number} for number in range(6)]
    content = json.dumps({"prompt": "x" * (each - 14)}).encode()
    for row in rows:
        add_traces(server, [{**row, "organization_id": "org-1", "step_id": "s", "request_json": content}])

    with RunningDaemon(tmp_path / "d", url=server_url) as daemon:
        path = "/v1/step?organization_id=org-1&step_id=s&payloads=true"
        code, text = admin.get(daemon.folder / "admin.sock", path)

    assert code == 200
    assert len(text) < PAYLOAD_BYTES + ROWS_BYTES
    calls = json.loads(text)
    assert [call["id"] for call in calls] == [row["id"] for row in rows]
    assert [call["payloads"] is not None for call in calls] == [True] * 3 + [False] * 3
    assert {call["payloads_missing"] for call in calls[3:]} == {TOO_MUCH}
