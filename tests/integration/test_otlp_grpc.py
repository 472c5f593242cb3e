"""OTLP over gRPC into a real daemon and its engine, sent by OpenTelemetry's own exporter."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llmledgerd.admin.auth import new
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.otlp import CHAT, as_protobuf, log_record, logs, span, traces
from tests.helpers.waiting import until
from tests.integration.test_otlp import free_port, stored

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


class Running:
    """A daemon that receives over gRPC, and its port."""

    def __init__(self, daemon: RunningDaemon, port: int) -> None:
        self.daemon = daemon
        self.port = port

    def call(
        self,
        body: bytes,
        method: str = EXPORT,
        metadata: tuple[tuple[str, str], ...] = (),
        compression: Any = None,
    ) -> bytes:
        """Send one message as it is; return the answer. Raises grpc.RpcError."""
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            answer: bytes = channel.unary_unary(method)(
                body, metadata=metadata, timeout=60, compression=compression
            )
            return answer


@pytest.fixture
def running(tmp_path: Path, server_url: str) -> Iterator[Running]:
    port = free_port()
    with RunningDaemon(tmp_path, url=server_url, settings={"otlp": f"grpc:127.0.0.1:{port}"}) as daemon:
        yield Running(daemon, port)


@pytest.mark.parametrize("compression", ["gzip", pytest.param("none", marks=pytest.mark.chaos)])
def test_what_the_exporter_of_opentelemetry_was_answered_survives_a_kill(
    running: Running, compression: str
) -> None:
    exporter = OTLPSpanExporter(
        endpoint=f"http://127.0.0.1:{running.port}",
        insecure=True,
        compression=grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression,
        timeout=60,
    )
    ended = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(ended))
    tracer: Any = provider.get_tracer("my.scope")
    for _ in range(20):
        with tracer.start_as_current_span("chat gpt-4o", attributes=CHAT):
            pass
    for one in ended.get_finished_spans():
        assert exporter.export([one]) is SpanExportResult.SUCCESS
    running.daemon.kill()
    exporter.shutdown()
    provider.shutdown()
    running.daemon.start()
    until(lambda: admin.status(running.daemon.folder / "admin.sock")["in_spool"] == 0, what="an empty spool")
    assert running.daemon.terminate() == 0
    rows = stored(running.daemon, "service, prompt_tokens, source")
    assert rows == [("shop", 100, "otlp")] * 20


def test_logs_are_stored_once_and_metrics_are_answered_and_dropped(running: Running) -> None:
    body = as_protobuf(logs([log_record("claude_code.api_request", {"model": "m", "input_tokens": 1})]))
    assert running.call(body, LOGS) == b""
    assert running.call(body, LOGS) == b""
    assert running.call(b"anything", METRICS) == b""
    requests = admin.status(running.daemon.folder / "admin.sock")["otlp_requests"]
    assert requests == {"logs OK": 2, "metrics OK": 1}
    until(lambda: admin.status(running.daemon.folder / "admin.sock")["in_spool"] == 0, what="an empty spool")
    running.daemon.terminate()
    assert len(stored(running.daemon, "id")) == 1


def refused(running: Running, body: bytes, **more: Any) -> Any:
    with pytest.raises(grpc.RpcError) as error:
        running.call(body, **more)
    return error.value


def test_what_cannot_be_taken_is_refused_by_its_status_and_memory_is_bounded(running: Running) -> None:
    before = running.daemon.peak_memory_bytes()
    codes = grpc.StatusCode
    assert refused(running, b"\xff\xff").code() is codes.INVALID_ARGUMENT
    assert refused(running, gzip.compress(b"x")[:-4]).code() is codes.INVALID_ARGUMENT
    for compression in (None, grpc.Compression.Gzip):
        large = refused(running, bytes(200 << 20), compression=compression)
        assert large.code() is codes.RESOURCE_EXHAUSTED
        assert not any(name == "grpc-status-details-bin" for name, _ in large.trailing_metadata())
    assert refused(running, b"", method="/other/Method").code() is codes.UNIMPLEMENTED
    assert running.call(b"") == b""
    assert running.daemon.peak_memory_bytes() - before < 500 << 20


def test_a_full_spool_says_when_to_come_again(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "otlp": f"grpc:127.0.0.1:{port}",
        "spool_max_bytes": 200_000,
        "clickhouse_url": "http://127.0.0.1:1/away",
    }
    with RunningDaemon(tmp_path, settings=settings) as daemon:
        running = Running(daemon, port)
        said = "".join(f"{number * 7919:x}" for number in range(20_000))
        answers = []
        for number in range(10):
            body = as_protobuf(traces([span(number + 1, {**CHAT, "gen_ai.input.messages": said})]))
            try:
                running.call(body)
            except grpc.RpcError as error:
                answers.append(error)
        full: Any = answers[0]
        assert full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(full.trailing_metadata())["grpc-status-details-bin"]
        assert b"google.rpc.RetryInfo" in details
        assert details.startswith(b"\x08\x08")


def test_off_the_loopback_a_token_in_the_metadata_decides(tmp_path: Path, server_url: str) -> None:
    port, tokens = free_port(), tmp_path / "tokens.toml"
    mine, entry = new(["acme"])
    figures, other = new([], metrics=True)
    tokens.write_text(f"{entry}\n{other}\n")
    settings = {"otlp": f"grpc:0.0.0.0:{port}", "admin_tokens_file": tokens}
    with RunningDaemon(tmp_path / "d", url=server_url, settings=settings) as daemon:
        running = Running(daemon, port)
        body = as_protobuf(traces([span(1, CHAT)]))
        assert refused(running, body).code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", f"Bearer {figures}"),)
        assert refused(running, body, metadata=metadata).code() is grpc.StatusCode.PERMISSION_DENIED
        running.call(body, metadata=(("authorization", f"Bearer {mine}"),))
        until(lambda: admin.status(tmp_path / "d" / "admin.sock")["in_spool"] == 0, what="an empty spool")
        daemon.terminate()
        assert stored(daemon, "organization_id") == [("acme",)]
