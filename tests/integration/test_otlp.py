"""OTLP over HTTP into a real daemon and its engine."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.admin.auth import new
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.otlp import (
    CHAT,
    PROTOBUF,
    T0_NS,
    TRACE,
    Exporter,
    as_protobuf,
    field,
    log_record,
    logs,
    span,
    traces,
)
from tests.helpers.waiting import until

pytest.importorskip("opentelemetry.proto")

JSON = {"Content-Type": "application/json"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def stored(daemon: RunningDaemon, columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all rows, once the daemon has ended."""

    async def ask() -> list[tuple[Any, ...]]:
        async with LLMTraceReader(daemon.url) as reader:
            found = await reader.sql(f"SELECT {columns} FROM llm_traces ORDER BY id")
            return [tuple(row) for row in found.rows]

    return asyncio.run(ask())


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, url=server_url, settings={"otlp": f"unix:{tmp_path}/o"}) as running:
        yield running


def test_spans_are_stored_once_in_either_encoding_however_often_and_across_a_kill(
    daemon: RunningDaemon,
) -> None:
    exporter = Exporter(daemon.folder / "o")
    request = traces([span(number, CHAT) for number in range(1, 41)])
    assert exporter.send(request) == 200
    assert exporter.send(request, protobuf=False) == 200
    daemon.kill()
    daemon.start()
    assert exporter.send(request, gzipped=False) == 200
    assert (
        exporter.send(logs([log_record("claude_code.api_request", {"model": "m", "input_tokens": 1})])) == 200
    )
    assert daemon.terminate() == 0
    rows = stored(daemon, "id, prompt_tokens, completion_tokens, source")
    assert len(rows) == len({name for name, *_ in rows}) == 41
    assert sum(prompt for _, prompt, *_ in rows) == 40 * 100 + 1


def test_a_parent_that_arrives_after_a_kill_is_no_second_row(daemon: RunningDaemon) -> None:
    exporter = Exporter(daemon.folder / "o")
    assert exporter.send(traces([span(2, CHAT, parent=1)])) == 200
    daemon.kill()
    daemon.start()
    assert exporter.send(traces([span(1, CHAT)])) == 200
    daemon.terminate()
    assert [name[-1] for (name,) in stored(daemon, "id")] == ["2"]


def test_what_cannot_be_taken_is_refused_by_its_status(daemon: RunningDaemon) -> None:
    exporter = Exporter(daemon.folder / "o")
    bomb = gzip.compress(bytes(200 << 20), 9)
    zipped = {**PROTOBUF, "Content-Encoding": "gzip"}
    answers = [
        exporter.post("traces", bomb, zipped),
        exporter.post("traces", b"\xff\xff", PROTOBUF),
        exporter.post("traces", b"[]", JSON),
        exporter.post("traces", b"{}", {"Content-Type": "text/plain"}),
        exporter.post("traces", b"{}", {**JSON, "Origin": "https://example.com"}),
        exporter.post("traces", b"{}", {**JSON, "Content-Encoding": "br"}),
        exporter.post("traces", b"not gzip", zipped),
        exporter.post("metrics", b"anything", PROTOBUF),
        exporter.post("traces", b"", PROTOBUF),
    ]
    assert [status for status, *_ in answers] == [413, 400, 400, 415, 403, 415, 400, 200, 200]
    assert not any("Access-Control" in name for _, _, headers in answers for name in headers)
    assert daemon.peak_memory_bytes() < 900 << 20


def test_single_spans_are_refused_and_the_others_stored(daemon: RunningDaemon) -> None:
    exporter = Exporter(daemon.folder / "o")
    odd = span(2, CHAT) | {"spanId": "0" * 16}
    status, body, _ = exporter.post("traces", json.dumps(traces([span(1, CHAT), odd])).encode(), JSON)
    assert status == 200
    assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"
    daemon.terminate()
    assert len(stored(daemon, "id")) == 1


def test_secrets_are_masked_before_the_disk(tmp_path: Path, server_url: str) -> None:
    settings = {"otlp": f"unix:{tmp_path}/o", "redact": "api_keys", "batch_max_age_seconds": 60}
    secret = "sk-proj-" + "A1b2C3d4" * 6
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": secret}]}])
    with RunningDaemon(tmp_path, url=server_url, settings=settings) as daemon:
        assert (
            Exporter(tmp_path / "o").send(traces([span(1, {**CHAT, "gen_ai.input.messages": said})])) == 200
        )
        daemon.kill()
        assert not any(
            secret.encode() in path.read_bytes() for path in daemon.spool.rglob("*") if path.is_file()
        )


def test_off_the_loopback_a_token_decides_who_may_send_for_whom(tmp_path: Path, server_url: str) -> None:
    port, tokens = free_port(), tmp_path / "tokens.toml"
    mine, entry = new(["acme"])
    figures, other = new([], metrics=True)
    tokens.write_text(f"{entry}\n{other}\n")
    settings = {"otlp": f"0.0.0.0:{port}", "admin_tokens_file": tokens}
    with RunningDaemon(tmp_path / "d", url=server_url, settings=settings) as daemon:
        exporter = Exporter(port)
        request = traces([span(1, CHAT)])
        assert exporter.send(request) == 401
        assert exporter.send(request, headers={"Authorization": f"Bearer {figures}"}) == 403
        assert exporter.send(request, headers={"Authorization": f"Bearer {mine}"}) == 200
        foreign = traces([span(2, {**CHAT, "llmledger.organization_id": "globex"})])
        status, body, _ = exporter.post(
            "traces", as_protobuf(foreign), {**PROTOBUF, "Authorization": f"Bearer {mine}"}
        )
        assert status == 200
        assert b"does not allow this organization" in body
        daemon.terminate()
        assert stored(daemon, "organization_id") == [("acme",)]


def test_the_command_shows_who_sends_and_what_was_not_understood(daemon: RunningDaemon) -> None:
    odd = {"gen_ai.operation.name": "dream"}
    assert (
        Exporter(daemon.folder / "o").send(traces([span(1, CHAT), span(2, odd)], scope="some.scope")) == 200
    )
    code = "import sys; from llmledgerd.cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "otlp", "--url", f"unix:{daemon.folder}/admin.sock"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "some.scope" in shown
    assert "operation dream" in shown
    (line,) = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = json.loads(line)
    assert (found["spans"], found["rows"], found["service"]) == (2, 1, "shop")


def test_a_large_span_is_stored_by_the_embedded_engine(tmp_path: Path) -> None:
    said = json.dumps([{"role": "user", "content": "x" * (24 << 20)}])
    with RunningDaemon(tmp_path, settings={"otlp": f"unix:{tmp_path}/o"}):
        exporter = Exporter(tmp_path / "o")
        assert exporter.send(traces([span(1, {**CHAT, "gen_ai.input.messages": said})]), gzipped=False) == 200
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 1, what="the row")


@pytest.mark.chaos
@pytest.mark.parametrize("is_protobuf", [True, False])
def test_the_largest_message_takes_about_three_times_its_bytes(tmp_path: Path, is_protobuf: bool) -> None:
    said = json.dumps([{"role": "user", "content": "x" * (120 << 20)}])
    request = traces([span(1, {**CHAT, "gen_ai.input.messages": said})])
    away = {"otlp": f"unix:{tmp_path}/o", "clickhouse_url": "http://127.0.0.1:1/away"}
    with RunningDaemon(tmp_path, settings=away) as running:
        before = running.peak_memory_bytes()
        exporter = Exporter(tmp_path / "o")
        assert exporter.send(request, protobuf=is_protobuf, gzipped=False) == 200
        assert running.peak_memory_bytes() - before < 400 << 20


@pytest.mark.slow
def test_the_largest_message_is_stored(tmp_path: Path, server: Store, server_url: str) -> None:
    size = 120 << 20
    said = json.dumps([{"role": "user", "content": "some words " * (size // 11)}])
    request = traces([span(1, {**CHAT, "gen_ai.input.messages": said})])
    with RunningDaemon(tmp_path, url=server_url, settings={"otlp": f"unix:{tmp_path}/o"}) as daemon:
        assert Exporter(tmp_path / "o").send(request, gzipped=False) == 200
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 1, what="the row", limit=120)
        assert daemon.peak_memory_bytes() < 900 << 20
    found = server.query("SELECT prompt_tokens, length(request_json) AS size FROM llm_traces")
    assert [row["prompt_tokens"] for row in found] == [100]
    assert found[0]["size"] > size - 100


def _of_one_scope(spans: bytes) -> bytes:
    return field(1, field(2, spans))


IDS = field(1, bytes(range(1, 17))) + field(2, bytes(range(1, 9)))
ALMOST_ALL = 127 << 20


def _span_of(repeated: bytes) -> bytes:
    """Return a request of one span that repeats a field."""
    return _of_one_scope(field(2, IDS + repeated * (ALMOST_ALL // len(repeated))))


def _said(text: bytes) -> bytes:
    """Return a request of one call whose input is a text."""
    call = field(1, b"gen_ai.operation.name") + field(2, field(1, b"chat"))
    messages = field(1, b"gen_ai.input.messages") + field(2, field(1, text))
    return _of_one_scope(field(2, IDS + field(9, call) + field(9, messages)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (PROTOBUF, lambda: _of_one_scope(field(2, IDS) * 1_000_000), 200),
        (PROTOBUF, lambda: _span_of(field(11, b"")), 200),
        (PROTOBUF, lambda: _span_of(field(9, field(1, b"a"))), 200),
        (PROTOBUF, lambda: _said(b"[" + b"{}," * (ALMOST_ALL // 3) + b"0]"), 200),
        (JSON, lambda: b'{"resourceSpans":[' + b"{}," * (ALMOST_ALL // 3) + b"{}]}", 400),
        (JSON, lambda: b'{"a":"' + b"\\ud800" * (ALMOST_ALL // 6) + b'"}', 200),
    ],
    ids=["tiny spans", "events", "attributes", "JSON in an attribute", "resources", "lone surrogates"],
)
def test_what_gzip_makes_small_takes_bounded_memory(
    tmp_path: Path, headers: dict[str, str], body: Callable[[], bytes], expected: int
) -> None:
    """As objects each of these would be several gigabytes."""
    zipped = gzip.compress(body(), 1)
    away = {"otlp": f"unix:{tmp_path}/o", "clickhouse_url": "http://127.0.0.1:1/away"}
    with RunningDaemon(tmp_path, settings=away) as daemon:
        found = Exporter(tmp_path / "o").post(
            "traces", zipped, {**headers, "Content-Encoding": "gzip"}, timeout=300
        )
        assert found[0] == expected
        assert daemon.peak_memory_bytes() < 700 << 20


HOOKED = {
    "protocol_version": 4,
    "org_id": "acme",
    "provider": "openai",
    "model": "gpt-4o",
    "request": {},
    "response": {"id": "chatcmpl-77", "usage": {"prompt_tokens": 100, "completion_tokens": 20}},
}


def hooked(name: str, **more: object) -> bytes:
    return json.dumps({**HOOKED, "provider_trace_id": name, **more}).encode() + b"\n"


def at(number: int) -> str:
    """The time at which the exchange of a span's call began."""
    started = datetime.fromtimestamp(T0_NS / 1e9 + number + 0.1, UTC)
    return started.isoformat()


def test_a_call_that_a_hook_recorded_as_well_is_one_row(daemon: RunningDaemon) -> None:
    exporter = Exporter(daemon.folder / "o")
    first = traces([span(1, CHAT), span(2, {**CHAT, "gen_ai.response.id": "chatcmpl-77"})])
    same_batch = hooked("a", trace_id=TRACE, span_id=f"{1:016x}", timestamp=at(1))
    earlier_batch = hooked("b", trace_id=TRACE, span_id=f"{9:016x}", timestamp=at(2))
    daemon.send_one_way(earlier_batch)
    until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 1, what="the record's row")
    assert exporter.send(first) == 200
    daemon.send_one_way(same_batch)
    daemon.terminate()
    assert sorted(name for (name,) in stored(daemon, "id")) == ["a", "b"]
