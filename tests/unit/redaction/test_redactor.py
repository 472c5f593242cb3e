"""Settings become rules or are refused by name; a finished row keeps all but what was hidden."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledger.protocol import Record
from llmledgerd.config.settings import Config, OwnPattern
from llmledgerd.errors import ConfigError
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from llmledgerd.redaction import Redactor
from llmledgerd.stores.registry import load
from tests.helpers.secrets import SETS

BATCH = "00000000-0000-4000-8000-000000000000"


def row(fields: dict[str, Any], redactor: Redactor | None = None) -> dict[str, Any]:
    record = parse(json.dumps({"protocol_version": 4, "provider_trace_id": "1", **fields}).encode())
    assert isinstance(record, Record)
    made = RowBuilder(Pricer()).row(record, line=b"", service="", received_us=1, batch_id=BATCH, batch_row=0)
    return dict(zip(COLUMNS, redactor.row(made) if redactor else made, strict=True))


def chunk(text: str) -> str:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n"


def test_without_rules_nothing_is_on() -> None:
    redactor = Redactor.of(Config())
    assert not redactor.is_on
    assert not redactor.has_patterns
    line: bytes | bytearray = b"jane@example.org\n"
    assert redactor.lines([line]) == [line]
    assert redactor.head([line]) == [line]


def test_a_secret_that_a_stream_was_split_in_is_hidden_in_its_row() -> None:
    fields = {"response_stream": chunk("write to jane@exa") + chunk("mple.org") + "data: [DONE]\n\n"}
    redactor = Redactor.of(Config(redact=SETS))
    assert b"jane@example.org" in row(fields)["response_json"]
    assert b"jane" not in row(fields, redactor)["response_json"]
    assert redactor.counts == {"email": 1}


def test_sizes_tokens_and_identifiers_are_those_of_the_original() -> None:
    fields = {
        "user_id": "jane@example.org",
        "tags": ["jane@example.org", "b"],
        "url": "https://api.example.org/users/jane@example.org/chat",
        "error": "no such user jane@example.org",
        "request": {
            "model": "gpt-4o",
            "api_key": 1,
            "messages": [{"content": "jane@example.org"}, {"content": "x" * 99}],
        },
        "response": {"usage": {"prompt_tokens": 8, "completion_tokens": 2}, "password": "hunter2"},
        "llm_config": {"handle": "jane@example.org"},
    }
    redactor = Redactor.of(
        Config(
            redact=("emails",),
            redact_keys=("Api_Key", "password"),
            redact_paths=("request.messages[0].content",),
            truncate_payload_bytes={"request": 20},
        )
    )
    before, after = row(fields), row(fields, redactor)
    changed = {name for name in COLUMNS if before[name] != after[name]}
    assert changed == {
        "agent_tags",
        "url",
        "error_message",
        "request_json",
        "response_json",
        "llm_config_json",
    }
    request = json.loads(after["request_json"])
    assert request["messages"][0] == {"content": "[redacted]"}
    assert request["api_key"] == "[redacted:api_key]"
    assert request["messages"][1]["content"].startswith("x" * 20 + "…[truncated: 99 bytes, sha256:")
    assert after["agent_tags"] == ["[redacted:email]", "b"]
    assert after["error_message"] == "no such user [redacted:email]"
    assert redactor.counts == {
        "email": 4,
        "key:api_key": 1,
        "key:password": 1,
        "path:request.messages[0].content": 1,
        "truncated:request": 1,
    }


def test_text_columns_can_be_hidden_whole() -> None:
    redactor = Redactor.of(Config(redact_paths=("error_message", "tags", "url")))
    after = row({"error": "no", "tags": ["a"], "url": "https://x.example/"}, redactor)
    assert (after["error_message"], after["agent_tags"], after["url"]) == ("[redacted]", [], "[redacted]")


def test_payloads_that_msgspec_refuses_are_no_hindrance() -> None:
    deep: Any = "jane@example.org"
    for _ in range(900):
        deep = [deep]
    fields = {"request": {"deep": deep, "password": deep, "half": "\ud800 jane@example.org"}}
    redactor = Redactor.of(
        Config(
            redact=SETS,
            redact_keys=("password",),
            redact_paths=("request.a",),
            truncate_payload_bytes={"request": 5},
        )
    )
    after = row(fields, redactor)["request_json"]
    assert b"jane" not in after
    assert json.loads(after)["password"].startswith("[reda")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"redact": ("api_key",)}, "redact: unknown set `api_key`; choose from api_keys, "),
        (
            {"redaction_patterns": (OwnPattern("a", "(?=b)"),)},
            "redaction_patterns: `a`: invalid RE2 pattern: invalid",
        ),
        ({"redaction_patterns": (OwnPattern("A b", "b"),)}, "redaction_patterns: `A b` is not a valid name"),
        (
            {"redaction_patterns": (OwnPattern("a", "b*"),)},
            "redaction_patterns: `a` matches the empty string",
        ),
        ({"redact_paths": ("reqest",)}, "redact_paths: `reqest` must begin with one of request, "),
        ({"truncate_payload_bytes": {"usage": 1}}, "truncate_payload_bytes: `usage` must begin with one of"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Redactor.of(Config(**settings))
    assert str(refused.value).startswith(said)


def test_without_the_engine_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    with pytest.raises(ConfigError, match="the extra `redaction`"):
        Redactor.of(Config(redact=("emails",)))
    assert Redactor.of(Config(redact_keys=("password",))).is_on  # keys need no engine


def test_lists_and_tables_come_from_the_environment_as_words_or_as_json() -> None:
    config, _ = load(
        environment={
            "LLMLEDGER_REDACT": "emails, phones",
            "LLMLEDGER_REDACT_KEYS": '["a,b"]',
            "LLMLEDGER_REDACTION_PATTERNS": '[{"name":"case","pattern":"C-[0-9]+"}]',
            "LLMLEDGER_TRUNCATE_PAYLOAD_BYTES": '{"request":1000}',
        }
    )
    assert config.redact == ("emails", "phones")
    assert config.redact_keys == ("a,b",)
    assert config.redaction_patterns == (OwnPattern("case", "C-[0-9]+"),)
    assert config.truncate_payload_bytes == {"request": 1000}
    for text in ("[1", "{}", "[1]"):
        with pytest.raises(ConfigError, match=r"^LLMLEDGER_REDACT: `redact`: "):
            load(environment={"LLMLEDGER_REDACT": text})
