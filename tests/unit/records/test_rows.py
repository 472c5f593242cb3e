"""Records become rows of the right columns."""

from __future__ import annotations

import uuid
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec
import pytest

from llmledger.protocol import Begin, Record
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS
from llmledgerd.usage.exchange_facts import Exchange, Facts, PricedUsage
from tests.helpers.columns import assert_fits, named

BATCH = str(uuid.UUID(int=7, version=4))
RECEIVED_US = 1_900_000_000_000_000
STARTED, STARTED_US = "2030-03-17T17:46:39.250000Z", 1_899_999_999_250_000

SPEC_COLUMNS = [
    "id", "organization_id", "project_id", "agent_id", "run_id", "step_id", "trace_id",
    "agent_tags", "call_type", "provider", "model", "is_byok", "request_size_bytes",
    "response_size_bytes", "prompt_tokens", "completion_tokens", "total_tokens",
    "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "latency_ms", "is_error",
    "error_type", "error_message", "request_json", "response_json", "llm_config_json",
    "billing_plan_type", "billing_cost_source", "billing_customer_id", "created_at",
]  # fmt: skip

USED = Facts(
    provider="openai",
    model="gpt-4o-2024-08-06",
    request_model="gpt-4o",
    prompt_tokens=1000,
    completion_tokens=100,
    total_tokens=1100,
    cached_input_tokens=0,
    usage_json=b'{"prompt_tokens":1000}',
    usage_source="reported",
    usage_check="ok",
    priced=[PricedUsage(input=1000, output=100)],
    finish_reason="stop",
    service_tier="default",
    provider_request_id="chatcmpl-1",
)

FULL_RECORD: dict[str, Any] = {
    "provider_trace_id": "provider_trace-0e6f1c2a",
    "org_id": "org",
    "project_id": "project",
    "agent_id": "agent",
    "run_id": "run",
    "step_id": "step",
    "trace_id": "trace",
    "span_id": "span",
    "user_id": "user",
    "tags": ["a", "b"],
    "type": "summarization",
    "source": "sdk",
    "provider": "openai",
    "model": "gpt-4o",
    "is_byok": True,
    "latency_ms": 812.5,
    "time_to_first_token_ms": 0,
    "attempt": 2,
    "status_code": 200,
    "url": "https://api.openai.com/v1/chat/completions",
    "billing": {"plan_type": "basic", "cost_source": "quota", "customer_id": "c"},
    "outcome": "ok",
    "timestamp": STARTED,
    "request": {"model": "gpt-4o"},
    "response": {"id": "é"},
    "llm_config": {"x": 1},
    "compaction_settings": {"y": 2},
    "cost_usd": "0.12345678901",
    "cost_source": "our meter",
}
FULL_ROW = {
    "id": "0e6f1c2a",
    "organization_id": "org",
    "project_id": "project",
    "agent_id": "agent",
    "run_id": "run",
    "step_id": "step",
    "trace_id": "trace",
    "agent_tags": ["a", "b"],
    "call_type": "summarization",
    "provider": "openai",
    "model": "gpt-4o",
    "is_byok": 1,
    "request_size_bytes": 18,
    "response_size_bytes": 11,
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "cached_input_tokens": 0,
    "cache_write_tokens": None,
    "reasoning_tokens": None,
    "latency_ms": 812,
    "is_error": 0,
    "error_type": "",
    "error_message": "",
    "request_json": b'{"model":"gpt-4o"}',
    "response_json": '{"id":"é"}'.encode(),
    "llm_config_json": b'{"x":1}',
    "billing_plan_type": "basic",
    "billing_cost_source": "quota",
    "billing_customer_id": "c",
    "created_at": STARTED_US,
    "user_id": "user",
    "source": "sdk",
    "service": "from the hello",
    "span_id": "span",
    "url": "https://api.openai.com/v1/chat/completions",
    "attempt": 2,
    "request_model": "gpt-4o",
    "provider_request_id": "chatcmpl-1",
    "service_tier": "default",
    "is_batch": 0,
    "compaction_settings_json": b'{"y":2}',
    "conversation_id": "",
    "turn_id": "",
    "parent_turn_id": "",
    "turn_names": [],
    "opening_names": [],
    "request_hash": 5959527595077007767,
    "tool_calls": (),
    "tool_results": (),
    "tokens_by_tool": {},
    "outcome": "ok",
    "finish_reason": "stop",
    "is_stream": 0,
    "status_code": 200,
    "time_to_first_token_ms": 0,
    "usage_json": b'{"prompt_tokens":1000}',
    "usage_source": "reported",
    "usage_check": "ok",
    "cost_usd": Decimal("0.0035"),
    "cost_usd_source": "list_price",
    "cost_reason": "",
    "priced_model": "gpt-4o-2024-08-06",
    "price_list": f"genai-prices {version('genai-prices')}",
    "cost_parts": {"input": Decimal("0.0025"), "output": Decimal("0.001")},
    "usage_units": {},
    "region": "",
    "upstream_cost_usd": None,
    "sent_cost_usd": Decimal("0.12345678901").quantize(Decimal("1e-9")),
    "sent_cost_source": "our meter",
    "turn_hash": 0,
    "parent_turn_hash": 0,
    "prompt_parts": b"",
    "tools_hash": 0,
    "system_hash": 0,
    "history_hash": 0,
    "parent_history_hash": 0,
    "prefix_hash": 0,
    "prefix_tokens": 0,
    "prompt_estimate": 0,
    "last_block": 0,
    "cache_marks": [],
    "cache_left_tokens": 0,
    "cache_left_seconds": 0,
    "cache_left_state": "",
    "cache_gap": 0,
    "lost_rate_fresh": 1_250_000,
    "lost_rate_written": 1_250_000,
    "system_tokens": 0,
    "tools_tokens": 0,
    "history_tokens": 0,
    "result_tokens": 0,
    "file_tokens": 0,
    "new_tokens": 0,
    "cache_diagnostics": b"",
    "payload_uri": "",
    "protocol_version": 4,
    "batch_id": BATCH,
    "batch_row": 3,
    "ingested_at": RECEIVED_US,
}

Row = dict[str, object]


class Bench:
    """A builder whose reader says what the test wants, and remembers what it was asked."""

    def __init__(self, facts: Facts | None = None) -> None:
        self.facts = Facts() if facts is None else facts
        self.asked: list[Exchange] = []
        self.builder = RowBuilder(Pricer(), self.read)

    def read(self, exchange: Exchange) -> Facts:
        self.asked.append(exchange)
        return self.facts

    def row(self, *, service: str = "", version: int = 4, **fields: object) -> Row:
        line = msgspec.json.encode({"protocol_version": version, **fields})
        return self.row_of(line, service)

    def row_of(self, line: bytes, service: str = "") -> Row:
        record = parse(line)
        assert isinstance(record, Record)
        row = self.builder.row(
            record, line=line, service=service, received_us=RECEIVED_US, batch_id=BATCH, batch_row=3
        )
        assert_fits(row)
        return named(row)


@pytest.fixture(name="bench")
def _bench() -> Bench:
    return Bench()


def test_the_first_31_columns_are_the_specification_s() -> None:
    assert list(COLUMNS[:31]) == SPEC_COLUMNS
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert set(COLUMNS) >= BYTES_COLUMNS


def test_a_record_of_version_4_fills_every_column() -> None:
    assert Bench(USED).row(service="from the hello", **FULL_RECORD) == FULL_ROW


def test_a_record_that_says_nothing_is_a_row_of_unknowns(bench: Bench) -> None:
    row = bench.row(version=1)
    assert (row["provider"], row["model"], row["call_type"]) == ("unknown", "unknown", "agent_step")
    assert (row["organization_id"], row["agent_tags"], row["request_json"]) == ("", [], b"")
    assert (row["usage_source"], row["cost_usd"], row["prompt_tokens"]) == ("unknown", None, 0)
    assert (row["outcome"], row["is_error"], row["created_at"]) == ("ok", 0, RECEIVED_US)


def test_the_calls_of_a_run_share_a_conversation_that_nobody_sent() -> None:
    bench = Bench()
    asked = {"role": "user", "content": "Look at the files."}
    answer = {"role": "assistant", "content": "There are three."}
    first = bench.row(request={"messages": [asked]}, response={"choices": [{"message": answer}]})
    second = bench.row(request={"messages": [asked, answer, asked]}, error="overloaded")

    assert (
        first["turn_id"]
        == first["conversation_id"]
        == second["conversation_id"]
        == second["parent_turn_id"]
        != ""
    )
    assert bench.row(request={"messages": [asked, answer, asked]}, org_id="acme")["conversation_id"] not in {
        first["conversation_id"],
        "",
    }


def test_what_is_embedded_is_no_conversation() -> None:
    row = RowBuilder(Pricer()).row
    line = msgspec.json.encode(
        {
            "protocol_version": 4,
            "url": "https://api.openai.com/v1/embeddings",
            "request": {"input": "Hello", "model": "m"},
        }
    )
    record = parse(line)
    assert isinstance(record, Record)
    found = named(row(record, line=line, service="", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0))

    assert (found["conversation_id"], found["turn_id"], found["opening_names"]) == ("", "", [])


@pytest.mark.parametrize("part", ["read_request", "read_answer", "identity_of", "tool_calls_of", "prompt_of"])
def test_a_fault_in_reading_a_conversation_is_counted_and_its_row_lands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(f"llmledgerd.records.conversation_columns.{part}", fail)
    row = bench.row(request={"messages": [{"role": "user", "content": "hi"}]})
    assert (row["conversation_id"], row["tool_calls"], row["prompt_parts"]) == ("", (), b"")
    assert bench.builder.counts["unread:conversation"] == 1


def test_a_record_of_version_1_is_a_row() -> None:
    row = Bench(USED).row(
        version=1,
        provider_trace_id="provider_trace-5",
        agent_id="agent",
        tags=[],
        request={"messages": []},
        response={"usage": None},
        error=None,
        timestamp="2030-03-17T17:46:39.250000",
    )
    assert (row["id"], row["agent_id"], row["created_at"]) == ("5", "agent", STARTED_US)
    assert (row["call_type"], row["is_error"], row["model"]) == ("agent_step", 0, "gpt-4o-2024-08-06")


@pytest.mark.parametrize("version", [2, 3])
def test_records_of_versions_2_and_3_name_provider_and_model_in_their_configuration(version: int) -> None:
    bench = Bench(USED)
    config = {"model": "claude", "model_endpoint_type": "anthropic", "provider_category": "byok"}
    row = bench.row(version=version, org_id="org", user_id="user", source="s", llm_config=config)
    assert (row["provider"], row["model"], row["is_byok"]) == ("anthropic", "claude", 1)
    assert bench.asked[0].provider == "anthropic"
    assert (row["organization_id"], row["user_id"], row["source"]) == ("org", "user", "s")


def test_the_sender_s_own_words_win_over_its_configuration_and_the_facts() -> None:
    config = {"model": "m", "model_endpoint_type": "p", "provider_category": "byok"}
    row = Bench(USED).row(provider="mine", model="my model", is_byok=False, llm_config=config)
    assert (row["provider"], row["model"], row["is_byok"]) == ("mine", "my model", 0)


@pytest.mark.parametrize(
    "config",
    [b"[]", b"5", b'"text"', b'{"model":5,"model_endpoint_type":null,"provider_category":["byok"]}'],
)
def test_a_configuration_of_another_shape_tells_nothing(config: bytes) -> None:
    row = Bench(USED).row_of(b'{"protocol_version":2,"llm_config":' + config + b"}")
    assert (row["provider"], row["model"], row["is_byok"]) == ("openai", "gpt-4o-2024-08-06", 0)
    assert row["llm_config_json"] == config


def test_a_configuration_that_msgspec_refuses_is_read_all_the_same() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    config = b'{"x":"\\ud800","more":' + deep + b',"model":"m"}'
    row = Bench().row_of(b'{"protocol_version":2,"llm_config":' + config + b"}")
    assert (row["model"], row["llm_config_json"]) == ("m", config)


def test_only_the_prefix_of_an_id_is_taken_off(bench: Bench) -> None:
    assert bench.row(provider_trace_id="provider_trace-a-provider_trace-b")["id"] == "a-provider_trace-b"
    assert bench.row(provider_trace_id="plain")["id"] == "plain"
    assert bench.row(provider_trace_id="provider_trace-")["id"] == "provider_trace-"


def test_a_missing_id_is_made_of_the_line_and_a_repeat_has_it_again(bench: Bench) -> None:
    first, again, other = (bench.row(agent_id=agent)["id"] for agent in ("a", "a", "b"))
    assert first == again != other
    made = uuid.UUID(str(first))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


def test_call_types_are_as_sent_else_as_read_and_always_agent_step_before_version_4() -> None:
    bench = Bench(Facts(call_type="embedding"))
    assert bench.row(type="rerank")["call_type"] == "rerank"
    assert bench.row()["call_type"] == "embedding"
    assert bench.row(version=3)["call_type"] == "agent_step"


def test_the_record_s_service_wins_over_its_session_s(bench: Bench) -> None:
    assert bench.row(service="session")["service"] == "session"
    line = b'{"protocol_version":4,"service":"record"}'
    assert bench.row_of(line, "session")["service"] == "record"


@pytest.mark.parametrize("error", [b"null", b'""', b"{}", b"[]", b"false", b"0"])
def test_an_error_that_is_null_or_empty_is_a_success(bench: Bench, error: bytes) -> None:
    row = bench.row_of(b'{"protocol_version":1,"error":' + error + b"}")
    assert (row["is_error"], row["outcome"]) == (0, "ok")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (b'"it broke"', "error", "it broke"),
        (b'"\\ud800"', "error", "\ufffd"),
        (b'{"type":"overloaded","message":"later"}', "overloaded", "later"),
        (b'{"code":"E1","detail":"why"}', "E1", "why"),
        (b'{"reason":"other"}', "error", '{"reason":"other"}'),
        (b'{"message":{"deep":1},"type":5}', "error", '{"message":{"deep":1},"type":5}'),
        (b"true", "error", "true"),
        (b'["a"]', "error", '["a"]'),
    ],
)
def test_the_record_s_own_error_is_read_in_every_shape(
    bench: Bench, error: bytes, kind: str, message: str
) -> None:
    row = bench.row_of(b'{"protocol_version":2,"error":' + error + b"}")
    assert (row["is_error"], row["error_type"], row["error_message"]) == (1, kind, message)
    assert row["outcome"] == "error"


def test_an_error_s_type_is_the_record_s_then_the_response_s_then_the_outcome() -> None:
    failed = Bench(Facts(has_error=True, error_type="rate_limit", error_message="slow down"))
    assert failed.row(error_type="mine")["error_type"] == "mine"
    row = failed.row(error={"type": "theirs", "message": "told"}, outcome="cancelled")
    assert (row["error_type"], row["error_message"], row["outcome"]) == ("rate_limit", "told", "cancelled")
    row = failed.row()
    assert (row["error_type"], row["error_message"], row["outcome"]) == ("rate_limit", "slow down", "error")


def test_an_error_type_alone_is_an_error(bench: Bench) -> None:
    assert bench.row(version=2, error_type="timeout")["is_error"] == 1


@pytest.mark.parametrize(("status", "is_error"), [(200, 0), (399, 0), (400, 1), (529, 1)])
def test_a_status_from_400_on_is_an_error(bench: Bench, status: int, is_error: int) -> None:
    row = bench.row(status_code=status)
    assert (row["is_error"], row["error_type"]) == (is_error, "error" if is_error else "")


def test_a_cancelled_call_is_an_error_of_that_type(bench: Bench) -> None:
    row = bench.row(outcome="cancelled")
    assert (row["is_error"], row["error_type"], row["outcome"]) == (1, "cancelled", "cancelled")


def test_a_stream_without_its_end_is_no_error_by_itself() -> None:
    cut = Facts(is_stream=True, stream_complete=False, response=b'{"a":1}')
    row = Bench(cut).row(response_stream="data: {")
    assert (row["is_error"], row["outcome"], row["is_stream"]) == (0, "ok", 1)


def test_a_message_is_cut_at_1000_characters(bench: Bench) -> None:
    assert bench.row(error="é" * 1001)["error_message"] == "é" * 1000


def test_payloads_are_stored_as_received_and_null_is_nothing(bench: Bench) -> None:
    row = bench.row_of(b'{"protocol_version":4,"request": { "a" : 1 } ,"response":null}')
    assert (row["request_json"], row["request_size_bytes"]) == (b'{ "a" : 1 }', 11)
    assert (row["response_json"], row["response_size_bytes"]) == (b"", 0)


def test_a_page_that_is_no_json_is_stored_as_the_text_that_it_came_in(bench: Bench) -> None:
    assert bench.row(response="<html>")["response_json"] == b'"<html>"'


def test_a_stream_is_stored_as_the_object_that_it_makes_up() -> None:
    bench = Bench(Facts(is_stream=True, response=b'{"whole":true}'))
    row = bench.row(response_stream="data: {}\n\n")
    assert (row["response_json"], row["response_size_bytes"]) == (b'{"whole":true}', 14)
    assert bench.asked[0].stream == "data: {}\n\n"


def test_a_stream_that_makes_up_nothing_is_kept_as_text(bench: Bench) -> None:
    assert bench.row(response_stream="gibberish\n")["response_json"] == b'"gibberish\\n"'


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://host/v1/chat", "https://host/v1/chat"),
        ("https://host/v1?key=secret#part", "https://host/v1"),
        ("https://user:secret@host:8/v1?x=a@b", "https://host:8/v1"),
        ("https://user:secret@host", "https://host"),
        ("https://host/models/claude@2024:predict", "https://host/models/claude@2024:predict"),
    ],
)
def test_a_url_is_stored_without_query_and_credentials(bench: Bench, sent: str, kept: str) -> None:
    assert bench.row(url=sent)["url"] == kept
    assert bench.asked[0].url == kept


def test_the_reader_is_given_the_exchange_as_it_was_received() -> None:
    bench = Bench()
    bench.row(request={"a": 1}, response=[2], status_code=207.0, response_headers={"x-request-id": "r"})
    assert bench.asked == [
        Exchange(status_code=207, request=b'{"a":1}', response=b"[2]", headers={"x-request-id": "r"})
    ]


def test_numbers_above_their_columns_are_clamped_and_counted() -> None:
    huge = 10**30
    facts = Facts(
        prompt_tokens=huge,
        completion_tokens=1,
        total_tokens=huge,
        cached_input_tokens=huge,
        cache_write_tokens=0,
        reasoning_tokens=2**32 - 1,
    )
    bench = Bench(facts)
    row = bench.row_of(
        b'{"protocol_version":4,"latency_ms":1e999,"attempt":70000,"status_code":99999,'
        b'"time_to_first_token_ms":' + b"9" * 5000 + b"}"
    )
    most = 2**32 - 1
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (most, 1, most)
    assert (row["cached_input_tokens"], row["cache_write_tokens"], row["reasoning_tokens"]) == (most, 0, most)
    assert (row["latency_ms"], row["time_to_first_token_ms"]) == (most, most)
    assert (row["attempt"], row["status_code"]) == (65535, 65535)
    clamped = {name.removeprefix("clamped:") for name in bench.builder.counts if name.startswith("clamped:")}
    assert clamped == {
        "prompt_tokens",
        "total_tokens",
        "cached_input_tokens",
        "latency_ms",
        "time_to_first_token_ms",
        "attempt",
        "status_code",
    }


def test_a_cost_above_its_column_is_no_cost() -> None:
    assert Bench(Facts(cost_usd=1e30)).row()["cost_usd"] is None


@pytest.mark.parametrize("sent", ["free", "-1", "1e99", "nan", ""])
def test_a_sent_cost_that_is_no_amount_is_null_and_counted(bench: Bench, sent: str) -> None:
    assert bench.row(cost_usd=sent, cost_source="x")["sent_cost_usd"] is None
    assert bench.builder.counts["clamped:sent_cost_usd"] == 1


def test_the_sender_s_cost_is_kept_apart_from_ours(bench: Bench) -> None:
    row = bench.row(cost_usd=0.25, cost_source="meter")
    assert (row["sent_cost_usd"], row["sent_cost_source"]) == (Decimal("0.25"), "meter")
    assert (row["cost_usd"], row["cost_reason"]) == (None, "usage_unknown")


def test_an_upstream_cost_stands_beside_the_fee() -> None:
    row = Bench(Facts(cost_usd="0.001", upstream_cost_usd="0.02", is_byok=True)).row()
    assert (row["cost_usd"], row["upstream_cost_usd"]) == (Decimal("0.001"), Decimal("0.02"))
    assert (row["cost_parts"], row["is_byok"]) == ({"total": Decimal("0.001")}, 1)


@pytest.mark.parametrize(
    ("sent", "replied", "expected"), [(False, True, 0), (None, True, 1), (None, None, 0)]
)
def test_whose_key_it_was_is_the_sender_s_word_before_the_reply_s(
    sent: bool | None, replied: bool | None, expected: int
) -> None:
    assert Bench(Facts(is_byok=replied)).row(is_byok=sent)["is_byok"] == expected


def test_an_endpoint_of_the_configuration_stands_in_for_a_url_that_was_not_sent() -> None:
    bench = Bench(Facts(model="gpt-4o", usage_source="reported", priced=[PricedUsage(input=9)]))
    config = {"model_endpoint": "http://10.0.0.7:8000/v1?key=x", "model_endpoint_type": "openai"}
    row = bench.row(llm_config=config)
    assert (row["url"], row["cost_usd"], row["cost_reason"]) == ("http://10.0.0.7:8000/v1", None, "own_model")
    row = bench.row(llm_config=config, url="https://api.openai.com/v1/chat/completions")
    assert (row["url"], row["cost_reason"]) == ("https://api.openai.com/v1/chat/completions", "")
    assert bench.row(llm_config={"model_endpoint": {"no": "text"}})["url"] == ""


def test_a_count_of_units_that_its_column_cannot_hold_is_counted_and_has_no_price() -> None:
    units = {"web_search": Decimal("1e30"), "page": Decimal("0.1234567")}
    bench = Bench(Facts(usage_source="reported", units=units))
    row = bench.row(provider="openai", model="gpt-4o")
    assert row["usage_units"] == {"web_search": Decimal("999999999999.999999"), "page": Decimal("0.123457")}
    assert (row["cost_usd"], row["cost_reason"]) == (None, "usage_out_of_range")
    assert bench.builder.counts["clamped:usage_units"] == 1


def test_a_timestamp_that_cannot_be_used_is_replaced_and_counted(bench: Bench) -> None:
    for timestamp in (None, "soon", "1999-01-01"):
        assert bench.row(timestamp=timestamp)["created_at"] == RECEIVED_US
    assert bench.row(timestamp=STARTED)["created_at"] == STARTED_US
    assert bench.builder.counts["timestamp_replaced"] == 3


def test_models_without_a_price_are_counted_by_name_up_to_a_bound() -> None:
    bench = Bench(Facts(usage_source="reported", priced=[PricedUsage(input=1)]))
    for number in range(250):
        bench.row(provider="openai", model=f"nobody's-{number}")
        bench.row(provider="openai", model="nobody's-0")
    counts = bench.builder.counts
    assert counts["unpriced:no_price|nobody's-0"] == 251
    assert counts["unpriced:no_price|other"] == 50
    assert sum(name.startswith("unpriced:") for name in counts) == 201


def test_calls_without_a_cost_are_counted_by_their_reason(bench: Bench) -> None:
    bench.row(provider="openai", model="gpt-4o")
    assert bench.builder.counts["unpriced:usage_unknown|gpt-4o"] == 1


def test_text_that_no_column_can_hold_is_made_storable() -> None:
    facts = Facts(model="\ud83d\ude00 \ud800", has_error=True, error_message="\udfff", provider="é")
    row = Bench(facts).row()
    assert (row["model"], row["error_message"], row["provider"]) == ("😀 \ufffd", "\ufffd", "é")


def test_a_call_whose_record_never_came_is_a_row_of_its_own() -> None:
    bench = Bench()
    begin = Begin(
        provider_trace_id="provider_trace-9",
        timestamp=STARTED,
        org_id="org",
        tags=["t"],
        provider="openai",
        model="gpt-4o",
        attempt=1,
    )
    row = named(
        bench.builder.abandoned(begin, service="api", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0)
    )
    assert (row["id"], row["organization_id"], row["agent_tags"]) == ("9", "org", ["t"])
    assert (row["provider"], row["model"], row["service"]) == ("openai", "gpt-4o", "api")
    assert (row["outcome"], row["error_type"], row["is_error"]) == ("abandoned", "abandoned", 1)
    assert (row["usage_source"], row["cost_usd"]) == ("unknown", None)
    assert (row["created_at"], row["ingested_at"]) == (STARTED_US, RECEIVED_US)
    assert bench.builder.call_id(begin) == row["id"]


def test_a_begin_may_say_why_its_record_never_came() -> None:
    begin = Begin(provider_trace_id="9", timestamp=STARTED, error_type="pending")
    row = named(
        Bench().builder.abandoned(begin, service="", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0)
    )
    assert (row["outcome"], row["error_type"]) == ("abandoned", "pending")
