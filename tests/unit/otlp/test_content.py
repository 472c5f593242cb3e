from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmledgerd.otlp.calls import Call
from llmledgerd.otlp.content import Contents
from llmledgerd.otlp.signals import LogRecord, Origin
from tests.helpers.otlp import TRACE, log_record, logs, pairs, span, traces
from tests.unit.otlp.test_conventions import CLAUDE, counts, rows

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5}
IDS: dict[str, Any] = {"traceId": TRACE, "spanId": f"{1:016x}"}


def message(name: str, body: dict[str, Any]) -> Any:
    told = {"kvlistValue": {"values": pairs(body)}}
    return log_record("", {"event.name": name, "gen_ai.system": "openai"}, **IDS) | {"body": told}


def test_messages_in_log_records_become_the_row_s_payloads(tmp_path: Path) -> None:
    records = [
        message("gen_ai.user.message", {"content": "hi"}),
        message(
            "gen_ai.choice",
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yo"}},
        ),
    ]
    (found,) = rows(tmp_path, logs(records), traces([span(1, CHAT)]))
    assert json.loads(found["request_json"])["messages"] == [{"role": "user", "content": "hi"}]
    (choice,) = json.loads(found["response_json"])["choices"]
    assert choice["message"]["content"] == "yo"
    assert found["finish_reason"] == "stop"


def test_without_them_the_row_has_its_counts(tmp_path: Path) -> None:
    (found,) = rows(
        tmp_path, traces([span(1, CHAT)]), logs([message("gen_ai.user.message", {"content": "hi"})])
    )
    assert found["prompt_tokens"] == 5


def test_a_raw_body_of_claude_code_is_the_answer_and_its_usage_wins(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 3000,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_1h_input_tokens": 500},
    }
    body = json.dumps({"id": "msg_1", "content": [{"type": "text", "text": "yo"}], "usage": usage})
    raw = log_record("claude_code.api_response_body", {"request_id": "req_011", "body": body})
    request = log_record("claude_code.api_request", CLAUDE)
    (found,) = rows(tmp_path, logs([request, raw]))
    assert counts(found) == (3510, 20, 3000, 500, None)
    assert json.loads(found["response_json"])["content"][0]["text"] == "yo"
    assert json.loads(found["usage_json"])["cache_creation"] == {"ephemeral_1h_input_tokens": 500}


def test_a_body_that_was_cut_off_is_not_used(tmp_path: Path) -> None:
    raw = log_record(
        "claude_code.api_response_body", {"request_id": "req_011", "body": "{}", "body_truncated": "true"}
    )
    (found,) = rows(tmp_path, logs([raw, log_record("claude_code.api_request", CLAUDE)]))
    assert counts(found) == (3510, 20, 3000, 500, None)


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    contents = Contents(most_bytes=10_000)
    for number in range(100):
        body = {"content": "x" * 1000}
        contents.note(
            LogRecord(
                origin=Origin(),
                trace_id=TRACE,
                span_id=f"{number:016x}",
                name="gen_ai.user.message",
                body=body,
            )
        )
    assert len(contents._held) < 12
    signal = LogRecord(origin=Origin(), trace_id=TRACE, span_id=f"{99:016x}")
    call = Call()
    contents.lend(signal, call)
    assert call.request["messages"][0]["role"] == "user"
