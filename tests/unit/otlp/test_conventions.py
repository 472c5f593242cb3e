"""Documented and observed shapes of each emitter, read to a row of the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmledger.protocol import Record
from llmledgerd.otlp import json_form
from llmledgerd.otlp.interpreter import Interpreter
from llmledgerd.otlp.journal import Journal
from llmledgerd.otlp.nesting import Nesting
from llmledgerd.otlp.senders import Senders
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from tests.helpers.otlp import encoded, log_record, logs, span, traces

Row = dict[str, Any]

PRICER = Pricer()


def rows(tmp_path: Path, *requests: Any, senders: Senders | None = None) -> list[Row]:
    """Return the rows that requests become, with the names of their columns."""
    tmp_path.mkdir(exist_ok=True)
    journal = Journal(tmp_path, Nesting(), fsync=False)
    journal.open()
    interpreter = Interpreter(journal, senders or Senders(), 128 << 20)
    found = []
    for request in requests:
        read = json_form.log_records if "resourceLogs" in request else json_form.spans
        for part in interpreter.parts(read(encoded(request)), lambda organization: organization):
            assert not part.refused, part.reason
            found += [row(bytes(line)) for line in part.lines]
    return found


def row(line: bytes) -> Row:
    record = parse(line[:-1])
    assert isinstance(record, Record)
    values = RowBuilder(PRICER).row(
        record, line=line[:-1], service="", received_us=1, batch_id="", batch_row=0
    )
    return dict(zip(COLUMNS, values, strict=True))


def counts(found: Row) -> tuple[Any, ...]:
    names = (
        "prompt_tokens",
        "completion_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    )
    return tuple(found[name] for name in names)


def test_the_oldest_and_the_newest_names_of_the_semantic_conventions_make_the_same_row(
    tmp_path: Path,
) -> None:
    old = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.prompt_tokens": 100,
        "gen_ai.usage.completion_tokens": 20,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    new = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    first, second = rows(tmp_path, traces([span(1, old), span(2, new)]))
    for one in (first, second):
        assert counts(one) == (100, 20, None, None, None)
        assert (one["provider"], one["model"], one["finish_reason"]) == ("openai", "gpt-4o", "stop")
        assert one["cost_usd"] is not None
    assert first["id"] != second["id"]


def test_message_attributes_become_request_and_response(tmp_path: Path) -> None:
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be kind"}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]),
        "gen_ai.output.messages": json.dumps(
            [
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "text", "content": "hello"},
                        {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}},
                    ],
                    "finish_reason": "tool_call",
                }
            ]
        ),
    }
    (one,) = rows(tmp_path, traces([span(1, found)]))
    assert json.loads(one["request_json"])["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
    ]
    (choice,) = json.loads(one["response_json"])["choices"]
    assert choice["message"]["content"] == "hello"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"x": 1}}


def test_events_of_a_span_become_request_and_response(tmp_path: Path) -> None:
    events = [
        {"name": "gen_ai.user.message", "attributes": [{"key": "content", "value": {"stringValue": "hi"}}]},
        {
            "name": "gen_ai.choice",
            "attributes": [
                {"key": "finish_reason", "value": {"stringValue": "stop"}},
                {"key": "message", "value": {"stringValue": '{"role": "assistant", "content": "yo"}'}},
            ],
        },
    ]
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    (one,) = rows(tmp_path, traces([span(1, chat, events=events)]))
    assert json.loads(one["request_json"])["messages"] == [{"role": "user", "content": "hi"}]
    assert "yo" in one["response_json"].decode()


def test_agents_are_context_and_tools_are_rows_of_their_own(tmp_path: Path) -> None:
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "helper",
        "gen_ai.conversation.id": "c-7",
        "user.id": "u-1",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 300,
    }
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
    }
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    found = rows(tmp_path, traces([span(2, chat, parent=1), span(3, tool, parent=1), span(1, agent)]))
    assert [(one["call_type"], one["model"]) for one in found] == [
        ("agent_step", "gpt-4o"),
        ("tool", "search"),
    ]
    assert {(one["agent_id"], one["run_id"], one["user_id"]) for one in found} == {("helper", "c-7", "u-1")}


def test_openllmetry_s_indexed_messages_and_total_are_read(tmp_path: Path) -> None:
    found = {
        "llm.request.type": "chat",
        "gen_ai.system": "Anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.model": "claude-sonnet-4-5",
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "be kind",
        "gen_ai.prompt.10.role": "assistant",
        "gen_ai.prompt.10.content": "third",
        "gen_ai.prompt.2.role": "user",
        "gen_ai.prompt.2.content": "hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "yo",
        "gen_ai.completion.0.finish_reason": "end_turn",
        "gen_ai.usage.prompt_tokens": 150,
        "gen_ai.usage.completion_tokens": 20,
        "llm.usage.total_tokens": 170,
        "gen_ai.usage.cache_read_input_tokens": 40,
        "gen_ai.usage.cache_creation_input_tokens": 10,
        "traceloop.association.properties.user_id": "u-1",
        "traceloop.association.properties.session_id": "s-1",
    }
    (one,) = rows(tmp_path, traces([span(1, found)]))
    assert counts(one) == (150, 20, 40, 10, None)
    assert (one["provider"], one["usage_check"], one["finish_reason"]) == ("anthropic", "ok", "end_turn")
    assert [said["content"] for said in json.loads(one["request_json"])["messages"]] == [
        "be kind",
        "hi",
        "third",
    ]
    assert (one["user_id"], one["run_id"]) == ("u-1", "s-1")


def test_of_openllmetry_s_kinds_only_calls_and_tools_are_rows(tmp_path: Path) -> None:
    spans = [
        span(number, {"traceloop.span.kind": kind, "gen_ai.usage.input_tokens": 5})
        for number, kind in enumerate(("workflow", "task", "agent", "tool"), start=1)
    ]
    assert [one["call_type"] for one in rows(tmp_path, traces(spans))] == ["tool"]


def test_a_chain_of_langsmith_is_no_call_although_its_operation_says_so(tmp_path: Path) -> None:
    chain = {
        "langsmith.span.kind": "chain",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
    }
    call = {
        "langsmith.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.total_tokens": 120,
        "gen_ai.usage.input_token_details": "{'cache_read': 40}",
        "gen_ai.usage.output_token_details": "{'reasoning': 7}",
    }
    (one,) = rows(tmp_path, traces([span(2, call, parent=1), span(1, chain)]))
    assert counts(one) == (100, 20, 40, None, 7)


def test_openinference_s_kinds_are_calls_steps_and_chains(tmp_path: Path) -> None:
    kinds = ("LLM", "EMBEDDING", "RERANKER", "RETRIEVER", "TOOL", "CHAIN", "AGENT", "GUARDRAIL")
    spans = [
        span(number, {"openinference.span.kind": kind, "llm.model_name": "m"})
        for number, kind in enumerate(kinds, start=1)
    ]
    types = [one["call_type"] for one in rows(tmp_path, traces(spans))]
    assert types == ["agent_step", "embedding", "rerank", "retrieval", "tool"]


def test_openinference_s_counts_and_messages_are_read(tmp_path: Path) -> None:
    found = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.provider": "azure",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 20,
        "llm.token_count.total": 120,
        "llm.token_count.prompt_details.cache_read": 40,
        "llm.token_count.completion_details.reasoning": 7,
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
        "llm.invocation_parameters": '{"temperature": 0.5}',
        "session.id": "s-1",
    }
    (one,) = rows(tmp_path, traces([span(1, found)]))
    assert counts(one) == (100, 20, 40, None, 7)
    request = json.loads(one["request_json"])
    assert (request["temperature"], request["messages"]) == (0.5, [{"role": "user", "content": "hi"}])
    assert (one["provider"], one["run_id"]) == ("azure", "s-1")
    assert (
        json.loads(one["response_json"])["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
    )


def test_an_older_openinference_of_anthropic_passes_on_the_provider_s_usage(tmp_path: Path) -> None:
    answer = {
        "id": "msg_1",
        "model": "claude-sonnet-4-5",
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 1000},
    }
    found = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.system": "anthropic",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "output.value": json.dumps(answer),
        "output.mime_type": "application/json",
    }
    (one,) = rows(tmp_path, traces([span(1, found)], scope="openinference.instrumentation.anthropic"))
    assert counts(one) == (1010, 5, 1000, None, None)


def vercel(operation: str, **more: Any) -> dict[str, Any]:
    return {
        "ai.operationId": operation,
        "ai.model.id": "claude-sonnet-4-5",
        "ai.model.provider": "anthropic.messages",
        **more,
    }


def test_of_vercel_s_spans_the_inner_one_is_the_call(tmp_path: Path) -> None:
    outer = vercel("ai.streamText", **{"ai.usage.inputTokens": 30, "ai.telemetry.functionId": "answer"})
    first = vercel("ai.streamText.doStream", **{"ai.usage.inputTokens": 10, "ai.usage.outputTokens": 5})
    second = vercel("ai.streamText.doStream", **{"ai.usage.inputTokens": 20, "ai.usage.outputTokens": 6})
    tool = {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search"}
    spans = [span(2, first, parent=1), span(3, tool, parent=1), span(4, second, parent=1), span(1, outer)]
    found = rows(tmp_path, traces(spans, scope="ai"))
    assert [(one["call_type"], one["prompt_tokens"]) for one in found] == [
        ("agent_step", 10),
        ("tool", 0),
        ("agent_step", 20),
    ]
    assert {one["agent_id"] for one in found} == {"answer"}


def test_vercel_s_release_5_leaves_anthropic_s_cache_out_and_release_6_does_not(tmp_path: Path) -> None:
    fifth = vercel(
        "ai.generateText.doGenerate",
        **{"ai.usage.inputTokens": 100, "ai.usage.outputTokens": 5, "ai.usage.cachedInputTokens": 40},
        **{"ai.response.providerMetadata": '{"anthropic": {"cacheCreationInputTokens": 7}}'},
    )
    sixth = vercel(
        "ai.generateText.doGenerate",
        **{"ai.usage.inputTokens": 100, "ai.usage.outputTokens": 5},
        **{"ai.usage.inputTokenDetails.cacheReadTokens": 40, "ai.usage.inputTokenDetails.noCacheTokens": 60},
    )
    first, second = rows(tmp_path, traces([span(1, fifth), span(2, sixth)], scope="ai"))
    assert counts(first) == (147, 5, 40, 7, None)
    assert counts(second) == (100, 5, 40, None, None)


def test_vercel_s_release_4_and_embeddings_are_read(tmp_path: Path) -> None:
    fourth = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "gpt-4o",
        "ai.model.provider": "openai.chat",
        "ai.usage.promptTokens": 100,
        "ai.usage.completionTokens": 5,
        "ai.prompt.messages": '[{"role":"user","content":[{"type":"text","text":"hi"}]}]',
        "ai.response.text": "yo",
        "ai.response.finishReason": "stop",
    }
    embed = {
        "ai.operationId": "ai.embed.doEmbed",
        "ai.model.id": "text-embedding-3-small",
        "ai.usage.tokens": 9,
    }
    first, second = rows(tmp_path, traces([span(1, fourth), span(2, embed)], scope="ai"))
    assert (first["provider"], first["prompt_tokens"], first["finish_reason"]) == ("openai", 100, "stop")
    assert (second["call_type"], second["prompt_tokens"], second["usage_source"]) == (
        "embedding",
        9,
        "reported",
    )


CLAUDE = {
    "event.name": "api_request",
    "session.id": "s-1",
    "user.account_uuid": "u-1",
    "user.id": "a hash of the device",
    "model": "claude-sonnet-4-5",
    "cost_usd": "0.0123",
    "duration_ms": "1500",
    "input_tokens": "10",
    "output_tokens": "20",
    "cache_read_tokens": "3000",
    "cache_creation_tokens": "500",
    "request_id": "req_011",
}


def test_claude_code_s_request_is_one_row_whether_its_log_or_its_span_comes_first(tmp_path: Path) -> None:
    record = logs([log_record("claude_code.api_request", CLAUDE)], scope="com.anthropic.claude_code.events")
    told = {name: one for name, one in CLAUDE.items() if name != "event.name"}
    trace = traces([span(1, told, name="claude_code.llm_request")], scope="com.anthropic.claude_code.tracing")
    first, second = rows(tmp_path, record, trace)
    assert first["id"] == second["id"] == "otlp-anthropic-req_011"
    for one in (first, second):
        assert counts(one) == (3510, 20, 3000, 500, None)
        assert (one["provider"], one["user_id"], one["run_id"]) == ("anthropic", "u-1", "s-1")
        assert str(one["sent_cost_usd"]) == "0.012300000"
        assert one["cost_usd"] is not None


def test_claude_code_s_error_is_a_failed_call(tmp_path: Path) -> None:
    failed = {
        "event.name": "api_error",
        "model": "claude-sonnet-4-5",
        "error": "overloaded",
        "status_code": "529",
    }
    (one,) = rows(tmp_path, logs([log_record("claude_code.api_error", {**failed, "attempt": 3})]))
    assert (one["is_error"], one["status_code"], one["error_message"], one["attempt"]) == (
        1,
        529,
        "overloaded",
        3,
    )


def test_codex_s_completed_responses_are_calls_and_its_other_events_are_none(tmp_path: Path) -> None:
    completed = {
        "event.name": "codex.sse_event",
        "event.kind": "response.completed",
        "conversation.id": "c-1",
        "model": "gpt-5-codex",
        "input_token_count": 100,
        "cached_token_count": 40,
        "output_token_count": 20,
        "reasoning_token_count": 7,
        "tool_token_count": 120,
    }
    delta = {
        "event.name": "codex.sse_event",
        "event.kind": "response.output_text.delta",
        "model": "gpt-5-codex",
    }
    fine = {"event.name": "codex.api_request", "http.response.status_code": 200, "model": "gpt-5-codex"}
    failed = {
        "event.name": "codex.api_request",
        "http.response.status_code": 500,
        "error.message": "no",
        "model": "m",
    }
    told: list[Row] = [completed, delta, fine, failed]
    records = [log_record("", one, at=at) for at, one in enumerate(told)]
    first, second = rows(tmp_path, logs(records, scope="codex_otel"))
    assert counts(first) == (100, 20, 40, None, 7)
    assert (first["provider"], first["run_id"]) == ("openai", "c-1")
    assert (second["is_error"], second["status_code"]) == (1, 500)


def test_codex_s_newer_responses_have_writes_to_the_cache_and_the_tier_and_a_failure_without_a_message(
    tmp_path: Path,
) -> None:
    """Counts are text where Codex formats them, and a number where it may have none."""
    completed = {
        "event.name": "codex.sse_event",
        "event.kind": "response.completed",
        "conversation.id": "c-1",
        "model": "gpt-5.4",
        "input_token_count": "100",
        "output_token_count": "20",
        "cached_token_count": 40,
        "cache_write_token_count": 30,
        "reasoning_token_count": 7,
        "tool_token_count": "120",
        "ttft_ms": 250,
        "service_tier": "priority",
    }
    failed = {
        "event.name": "codex.sse_event",
        "event.kind": "response.completed",
        "success": "false",
        "error.type": "response_completed",
        "model": "gpt-5.4",
    }
    traced = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "codex.usage.total_tokens": 120,
    }
    first, second = rows(
        tmp_path,
        logs([log_record("", completed), log_record("", failed, at=1)], scope="codex_otel"),
        traces([span(1, traced, name="handle_responses")], resource={"service.name": "codex-cli"}),
    )
    assert counts(first) == (100, 20, 40, 30, 7)
    assert (first["time_to_first_token_ms"], first["service_tier"]) == (250, "priority")
    assert (second["is_error"], second["error_type"], second["usage_source"]) == (
        1,
        "response_completed",
        "unknown",
    )


def test_copilot_s_chat_spans_are_calls_and_its_events_of_the_same_calls_are_none(tmp_path: Path) -> None:
    usage = {"gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 250}
    chat = {
        **usage,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "github",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.conversation.id": "c-1",
        "gen_ai.usage.cache_read.input_tokens": 1200,
        "gen_ai.usage.cache_creation.input_tokens": 300,
        "gen_ai.usage.reasoning.output_tokens": 120,
        "gen_ai.usage.reasoning_tokens": 120,
        "gen_ai.response.time_to_first_chunk": 0.45,
    }
    agent = {
        **chat,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "copilot",
        "gen_ai.usage.input_tokens": 12500,
    }
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "readFile"}
    hook = {"gen_ai.operation.name": "execute_hook", "copilot_chat.hook_type": "PreToolUse"}
    details = {
        **usage,
        "event.name": "gen_ai.client.inference.operation.details",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": "chatcmpl-1",
    }
    turn = {**usage, "event.name": "copilot_chat.agent.turn", "turn.index": 0}
    resource = {"service.name": "copilot-chat"}
    tree = [span(2, chat, parent=1), span(3, tool, parent=1), span(4, hook, parent=1), span(1, agent)]
    found = rows(
        tmp_path,
        logs([log_record("", details), log_record("", turn)], resource=resource, scope="copilot-chat"),
        traces(tree, resource=resource, scope="copilot-chat"),
    )
    call, tool_call = sorted(found, key=lambda one: str(one["call_type"]))
    assert counts(call) == (1500, 250, 1200, 300, 120)
    assert (call["agent_id"], call["run_id"], call["time_to_first_token_ms"]) == ("copilot", "c-1", 450)
    assert (tool_call["call_type"], tool_call["model"]) == ("tool", "readFile")


def test_a_log_record_without_ids_has_the_same_row_id_when_it_is_repeated(tmp_path: Path) -> None:
    record = {"event.name": "codex.sse_event", "event.kind": "response.completed", "input_token_count": 1}
    request = logs([log_record("", record)])
    other = logs([log_record("", record, at=1)])
    first, second, third = rows(tmp_path, request, request, other)
    assert first["id"] == second["id"] != third["id"]


def test_gemini_cli_s_response_is_a_call_and_its_second_event_and_its_spans_are_not(tmp_path: Path) -> None:
    response = {
        "event.name": "gemini_cli.api_response",
        "model": "gemini-2.5-pro",
        "input_token_count": 100,
        "output_token_count": 20,
        "cached_content_token_count": 40,
        "thoughts_token_count": 7,
        "tool_token_count": 0,
        "total_token_count": 127,
        "duration_ms": 900,
        "status_code": 200,
    }
    details = {
        "event.name": "gen_ai.client.inference.operation.details",
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.usage.input_tokens": 100,
    }
    resource = {"service.name": "gemini-cli"}
    found = rows(
        tmp_path,
        logs([log_record("", response), log_record("", details)], resource=resource, scope="gemini-cli"),
        traces([span(1, details)], resource=resource, scope="gemini-cli"),
    )
    assert len(found) == 1
    assert (found[0]["prompt_tokens"], found[0]["cached_input_tokens"]) == (100, 40)
    assert (found[0]["total_tokens"], found[0]["reasoning_tokens"], found[0]["usage_check"]) == (127, 7, "ok")


def test_an_event_with_all_of_a_call_is_the_row_of_its_span(tmp_path: Path) -> None:
    told = {
        "event.name": "gen_ai.client.inference.operation.details",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
    }
    one = span(1, told)
    record = log_record("", told, traceId=one["traceId"], spanId=one["spanId"])
    first, second = rows(tmp_path, logs([record]), traces([one]))
    assert first["id"] == second["id"]


def test_claude_s_own_spans_of_client_and_server_are_one_row(tmp_path: Path) -> None:
    told = {
        "gen_ai.provider.name": "anthropic",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.usage.cache_write.input_tokens": 300,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 300,
        "gen_ai.usage.output_tokens": 20,
        "anthropic.request.id": "req_1",
        "anthropic.message.stop_reason": "end_turn",
    }
    client = traces([span(1, told)], scope="com.anthropic.sdk.python")
    server = traces([span(2, told, parent=1)], scope="com.anthropic.claude-platform")
    (first,), (second,) = rows(tmp_path / "one", client), rows(tmp_path / "two", server)
    assert first["id"] == second["id"] == "otlp-anthropic-req_1"
    assert counts(first) == (1000, 20, 600, 300, None)
    assert first["finish_reason"] == "end_turn"


def test_what_is_not_understood_is_counted_with_an_example_of_names(tmp_path: Path) -> None:
    senders = Senders()
    odd = {"gen_ai.operation.name": "dream", "gen_ai.input.messages": "a secret"}
    rows(tmp_path, traces([span(1, odd), span(2, odd), span(3, {"http.route": "/"})]), senders=senders)
    (sender,) = senders.all()
    assert (sender.service, sender.emitter, sender.version) == ("shop", "my.scope", "1.0")
    assert (sender.spans, sender.rows) == (3, 0)
    (puzzle,) = sender.puzzles
    assert (puzzle.what, puzzle.count) == ("operation dream", 2)
    assert "gen_ai.input.messages" in puzzle.example
    assert "secret" not in puzzle.example
