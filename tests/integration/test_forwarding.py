"""Rows forwarded to a receiver of OTLP, by a real daemon with its engine."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto")

from llmledgerd.cli import export
from llmledgerd.cli.app import app
from llmledgerd.errors import BatchRejected, ConfigError, StoreBusy
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.collector.sink import Collector
from tests.helpers import admin
from tests.helpers.columns import some
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.otlp import Exporter, span, traces
from tests.helpers.otlp_sink import Sink, attributes
from tests.helpers.waiting import until

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def collector(sink: Sink) -> Iterator[Collector]:
    with contextlib.closing(Collector(sink.url)) as found:
        yield found


def block(collector: Collector, *ids: str) -> bytearray:
    rows = [
        tuple({"id": name, "model": name}.get(column, some(column)) for column in COLUMNS) for name in ids
    ]
    return collector.encode(TRACES, COLUMNS, rows)


def sent(collector: Collector, *ids: str, token: str = "t") -> set[int]:
    return collector.insert_blocks(TRACES, COLUMNS, [block(collector, name) for name in ids], token)


def test_what_was_accepted_is_not_sent_again_when_a_later_block_fails(
    collector: Collector, sink: Sink
) -> None:
    sink.statuses = [200, 503]
    with pytest.raises(StoreBusy) as refused:
        sent(collector, "a", "b", "c")
    assert refused.value.kind == "overloaded"
    sent(collector, "a", "b", "c")
    assert sink.ids == {"a": 1, "b": 1, "c": 1}


def test_an_answer_that_was_cut_off_is_followed_by_a_repeat_of_the_same_span(
    collector: Collector, sink: Sink
) -> None:
    sink.statuses = [0]
    with pytest.raises(StoreBusy):
        sent(collector, "a")
    sent(collector, "a")
    assert sink.ids == {"a": 2}
    assert sink.spans[0].span_id == sink.spans[1].span_id


def test_a_connection_that_was_closed_while_idle_is_made_again(collector: Collector, sink: Sink) -> None:
    sent(collector, "a")
    sink.stop()
    sink.start()
    sent(collector, "b", token="u")
    assert sink.ids == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "authentication"), (404, "settings"), (415, "settings"), (429, "overloaded"), (500, "other")],
)
def test_what_a_repeat_or_the_operator_can_change_is_retried(
    collector: Collector, sink: Sink, status: int, kind: str
) -> None:
    sink.statuses = [status]
    with pytest.raises(StoreBusy) as refused:
        sent(collector, "a")
    assert refused.value.kind == kind


def test_a_span_that_is_refused_by_itself_rejects_its_batch(collector: Collector, sink: Sink) -> None:
    sink.refuses = "chat poison"
    with pytest.raises(BatchRejected, match="HTTP 400"):
        sent(collector, "a", "poison")


def test_an_endpoint_that_refuses_an_empty_request_too_rejects_nothing(
    collector: Collector, sink: Sink
) -> None:
    sink.statuses = [400, 400]
    with pytest.raises(StoreBusy):
        sent(collector, "a")


def test_no_request_is_sent_before_the_time_that_the_collector_asked_for(
    collector: Collector, sink: Sink
) -> None:
    sink.statuses, sink.answer_headers = [503], {"Retry-After": "30"}
    for _ in range(3):
        with pytest.raises(StoreBusy):
            sent(collector, "a")
    assert len(sink.bodies) == 1


def test_spans_that_the_collector_says_it_dropped_are_counted(collector: Collector, sink: Sink) -> None:
    sink.answer = b"\x0a\x02\x08\x02"
    sent(collector, "a", "b")
    assert collector.counts["rejected_spans"] == 4


def test_headers_and_passwords_are_read_for_each_request(sink: Sink, tmp_path: Path) -> None:
    headers, password = tmp_path / "headers", tmp_path / "password"
    headers.write_text("# keys\nx-api-key: one\n")
    password.write_text("two\n")
    url = sink.url.replace("//", "//me@")
    with contextlib.closing(
        Collector(url, password_file=str(password), headers_file=str(headers))
    ) as collector:
        sent(collector, "a")
        headers.write_text("x-api-key: three\n")
        sent(collector, "b", token="u")
    assert [found["x-api-key"] for found in sink.headers] == ["one", "three"]
    assert base64.b64decode(sink.headers[0]["Authorization"].split()[1]) == b"me:two"
    assert "me" not in collector.address
    headers.write_text("secret without a colon")
    with pytest.raises(StoreBusy) as refused:
        sent(collector, "c", token="v")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "collector:4318", "grpc://a:4317", "http://", "http://a:99999", "http://a/?key=1"]
)
def test_a_url_that_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"collector\.url"):
        Collector(url)


@pytest.fixture
def daemon(tmp_path: Path, server_url: str, sink: Sink) -> Iterator[RunningDaemon]:
    settings = {
        "stores": "clickhouse,collector",
        "collector_url": sink.url,
        "otlp": f"unix:{tmp_path}/o",
        "batch_max_age_seconds": 0.05,
        "retry_first_seconds": 0.02,
        "retry_cap_seconds": 0.2,
    }
    with RunningDaemon(tmp_path, url=server_url, settings=settings) as running:
        yield running


def store(daemon: RunningDaemon, name: str) -> dict[str, Any]:
    """Return one store's part of the status, whose numbers add up."""
    stores: list[dict[str, Any]] = admin.status(daemon.folder / "admin.sock")["stores"]
    (found,) = (one for one in stores if one["name"] == name)
    admin.assert_identity(found)
    return found


def test_a_receiver_that_is_away_delays_nobody_and_gets_every_call_later(
    daemon: RunningDaemon, sink: Sink
) -> None:
    daemon.send_one_way(line("a", 1, trace_id=TRACE, span_id="00f067aa0ba902b7", org_id="acme"))
    until(lambda: len(sink.spans) == 1, what="the span")
    assert (sink.spans[0].trace_id.hex(), sink.spans[0].parent_span_id.hex()) == (TRACE, "00f067aa0ba902b7")
    sink.stop()
    for number in range(20):
        daemon.send_one_way(line(f"b{number}", number))
    until(lambda: store(daemon, "clickhouse")["stored"] == 21, what="rows while the receiver is away")
    assert store(daemon, "collector")["in_spool"] == 20
    daemon.kill()
    daemon.start()
    sink.start()
    until(lambda: len(sink.ids) == 21, what="all spans")
    until(lambda: store(daemon, "collector")["in_spool"] == 0, what="an empty spool")
    assert set(sink.ids) == {"a", *(f"b{number}" for number in range(20))}
    assert store(daemon, "collector")["lost"] == 0


def test_a_call_that_a_receiver_refuses_is_a_dead_letter_of_it_alone(
    daemon: RunningDaemon, sink: Sink
) -> None:
    sink.refuses = "chat poison"
    daemon.send_one_way(
        line("a", 1) + line("p", 2, model="poison", request={"model": "poison"}) + line("b", 3)
    )
    until(lambda: store(daemon, "collector")["dead_letters"] == 1, what="the dead letter")
    until(lambda: set(sink.ids) == {"a", "b"}, what="the other calls")
    assert store(daemon, "clickhouse")["dead_letters"] == 0


def test_nothing_circles_between_a_daemon_and_its_collector(daemon: RunningDaemon, sink: Sink) -> None:
    exporter = Exporter(daemon.folder / "o")
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1,
    }
    assert exporter.send(traces([span(1, chat)])) == 200
    daemon.send_one_way(line("a", 1))
    until(lambda: sink.ids == {"a": 1}, what="the span")
    forwarded = next(body for body in sink.bodies if b"llmledger.id" in body)
    assert exporter.post("traces", forwarded, {"Content-Type": "application/x-protobuf"})[0] == 200
    until(lambda: store(daemon, "collector")["counts"].get("not_forwarded") == 1, what="the count")
    until(lambda: store(daemon, "clickhouse")["stored"] == 2, what="the rows")
    assert sink.ids == {"a": 1}
    assert attributes(sink.spans[0])["llmledger.id"] == "a"


def test_stored_calls_are_exported_page_by_page_as_the_spans_that_are_forwarded(
    daemon: RunningDaemon, sink: Sink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    monkeypatch.setenv("LLMLEDGER_COLLECTOR_CONTENT", "full")
    daemon.send_one_way(b"".join(line(f"a{number}", number, org_id="acme") for number in range(10)))
    daemon.send_one_way(line("b'", 11, org_id="it's"))
    until(lambda: store(daemon, "clickhouse")["stored"] == 11, what="the rows")
    until(lambda: len(sink.spans) == 11, what="the spans")
    forwarded = {attributes(one)["llmledger.id"]: one for one in sink.spans}
    sink.spans.clear()
    sink.statuses = [200, 503]  # the first one answers the question whether anybody is there
    command = ["export", "--otlp", sink.url, "--since", "1h", "--url", f"unix:{daemon.folder}/admin.sock"]
    app(command, standalone_mode=False)
    assert "11 calls exported" in capsys.readouterr().out
    assert sink.ids == dict.fromkeys(forwarded, 1)
    for one in sink.spans:
        found, known = attributes(one), attributes(forwarded[attributes(one)["llmledger.id"]])
        said = {name: value for name, value in found.items() if name not in known}
        assert found == known | said
        assert set(said) == {"gen_ai.input.messages", "gen_ai.output.messages"}
        assert (one.trace_id, one.span_id, one.start_time_unix_nano) == (
            forwarded[found["llmledger.id"]].trace_id,
            forwarded[found["llmledger.id"]].span_id,
            forwarded[found["llmledger.id"]].start_time_unix_nano,
        )
    sink.spans.clear()
    app([*command, "--org", "it's"], standalone_mode=False)
    assert sink.ids == {"b'": 1}
