from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmledgerd.otlp import interpreter as module
from llmledgerd.otlp import json_form
from llmledgerd.otlp.interpreter import Interpreter
from llmledgerd.otlp.journal import Journal
from llmledgerd.otlp.nesting import Nesting
from llmledgerd.otlp.senders import Senders
from tests.helpers.otlp import encoded, span, traces
from tests.unit.otlp.test_conventions import rows

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5}


def made(folder: Path) -> Interpreter:
    journal = Journal(folder, Nesting(), fsync=False)
    journal.open()
    return Interpreter(journal, Senders(), 1 << 20)


def anybody(organization: str) -> str:
    return organization


def test_spans_without_ids_are_refused_and_the_others_are_lines(tmp_path: Path) -> None:
    odd = [
        span(2, CHAT) | {"spanId": ""},
        span(3, CHAT) | {"traceId": "0" * 32},
        span(4, CHAT) | {"traceId": "ab"},
    ]
    (part,) = made(tmp_path).parts(json_form.spans(encoded(traces([span(1, CHAT), *odd]))), anybody)
    assert (len(part.lines), part.refused) == (1, 3)
    assert "trace id" in part.reason


def test_a_request_is_read_in_parts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "PART_SIGNALS", 10)
    request = encoded(traces([span(number, CHAT) for number in range(1, 36)]))
    parts = list(made(tmp_path).parts(json_form.spans(request), anybody))
    assert [len(part.lines) for part in parts] == [10, 10, 10, 5]


def test_an_organization_that_a_sender_may_not_use_refuses_its_spans_alone(tmp_path: Path) -> None:
    def only_acme(organization: str) -> str:
        if organization != "acme":
            raise ValueError("not yours")
        return organization

    spans = [span(1, {**CHAT, "llmledger.organization_id": "acme"}), span(2, CHAT)]
    (part,) = made(tmp_path).parts(json_form.spans(encoded(traces(spans))), only_acme)
    assert (len(part.lines), part.refused, part.reason) == (1, 1, "not yours")


def test_a_row_takes_what_was_said_from_the_span_above_it(tmp_path: Path) -> None:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])
    outer = {**CHAT, "gen_ai.input.messages": said, "gen_ai.usage.input_tokens": 9}
    (found,) = rows(tmp_path, traces([span(2, CHAT, parent=1), span(1, outer)]))
    assert found["prompt_tokens"] == 5
    assert json.loads(found["request_json"])["messages"] == [{"role": "user", "content": "hi"}]


def test_attributes_of_any_type_under_any_name_are_a_row_or_none(tmp_path: Path) -> None:
    odd: list[Any] = [
        [],
        {},
        "x",
        -1,
        2**62,
        1e300,
        True,
        [1, "a", {"b": []}],
        {"role": 1, "parts": 2},
        "[[{}]]",
        '{"a":',
    ]
    names = [
        "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.role",
        "gen_ai.usage.input_tokens", "gen_ai.usage.input_token_details", "gen_ai.response.finish_reasons", "error.type",
        "gen_ai.tool.definitions", "gen_ai.system_instructions", "server.address", "gen_ai.agent.name", "events",
        "llm.invocation_parameters", "output.value", "llm.input_messages.0.message", "ai.response.toolCalls",
        "ai.prompt.messages", "ai.response.providerMetadata", "ai.prompt.tools", "ai.values", "tag.tags",
    ]  # fmt: skip
    kinds: list[dict[str, Any]] = [
        CHAT,
        {"openinference.span.kind": "LLM"},
        {"ai.operationId": "ai.generateText.doGenerate"},
    ]
    spans = [
        span(1 + number, {**kind, name: value})
        for number, (kind, name, value) in enumerate(
            (kind, name, value) for kind in kinds for name in names for value in odd
        )
    ]
    assert len(rows(tmp_path, traces(spans))) == len(spans)


def test_a_request_is_released_before_the_lines_of_its_last_part_are_made(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 1)
    events: list[str] = []

    def signals() -> Iterator[Any]:
        yield from json_form.spans(encoded(traces([span(1, {**CHAT, "said": "hello"}), span(2, CHAT)])))
        events.append("released")

    def asked(organization: str) -> str:
        events.append("made")
        return organization

    assert [len(part.lines) for part in made(tmp_path).parts(signals(), asked)] == [1, 1]
    assert events == ["made", "released", "made"]
