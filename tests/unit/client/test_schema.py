"""The published schema is the code's, and says what the daemon does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from llmledger import protocol, schema
from llmledger.line import pieces
from llmledgerd.errors import Rejected
from llmledgerd.records import parsing
from tests.helpers.lines import taken

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "protocol.schema.json"
PROTOCOL = (ROOT / "PROTOCOL.md").read_text()


def test_the_published_schema_is_the_one_that_the_code_makes() -> None:
    assert PUBLISHED.read_text() == schema.text(), (
        "run `python -m llmledger.schema > docs/protocol.schema.json`"
    )


def test_the_tables_of_the_protocol_are_the_ones_that_the_code_makes() -> None:
    assert schema.with_tables(PROTOCOL) == PROTOCOL, "run `python -m llmledger.schema PROTOCOL.md`"
    assert "| `provider_trace_id` |" in PROTOCOL
    assert "| `session` |" in PROTOCOL


def test_a_begin_has_the_fields_of_a_record_with_their_types() -> None:
    record, begin = (get_type_hints(kind) for kind in (protocol.Record, protocol.Begin))
    begin["provider_trace_id"] |= None  # required, because nothing else identifies the call
    assert begin == {name: record[name] for name in begin}


def test_every_field_of_an_answer_is_in_the_protocol() -> None:
    for kind in (protocol.Answer, protocol.Durable, protocol.Refused, protocol.Unsupported):
        for name in kind.__struct_fields__:
            assert re.search(rf"[`\"]{name}[`\"]", PROTOCOL), f"PROTOCOL.md does not mention {name}"


def test_every_reason_of_a_rejection_is_in_the_protocol() -> None:
    missing = [reason for reason in parsing.REASONS if f"`{reason}`" not in PROTOCOL]
    assert not missing, f"PROTOCOL.md does not mention {missing}"


def examples() -> list[bytes]:
    """Return the lines of JSON in the protocol's fences."""
    return [line.encode() for line in re.findall(r'^ *(\{"[^\n]*\})$', PROTOCOL, re.MULTILINE)]


def test_the_examples_in_the_protocol_are_lines_of_the_schema() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    whole = schema.schema()
    answers = {**whole, "oneOf": whole["$defs"]["DaemonLine"]["oneOf"]}
    assert len(examples()) > 8
    for example in examples():
        line = json.loads(example)
        kind = answers if {"durable", "rejected", "error"} & line.keys() - {"protocol_version"} else whole
        kind = whole if "request" in line else kind
        validator(kind).validate(line)


LINES: list[tuple[bool, dict[str, Any]]] = [
    (True, {"protocol_version": 1}),
    (True, {"protocol_version": 4, "request": [1], "error": None, "latency_ms": 1.5}),
    (True, {"protocol_version": 4, "unknown": {}, "provider_trace_id": "x" * 128, "end": None}),
    (True, {"protocol_version": 4, "begin": {"provider_trace_id": "x"}}),
    (True, {"protocol_version": 4, "dropped": {"buffer_full": 3}}),
    (True, {"protocol_version": 4, "end": {"taken": 1}}),
    (False, {}),
    (False, {"protocol_version": 5}),
    (False, {"protocol_version": "4"}),
    (False, {"protocol_version": 4, "provider_trace_id": ""}),
    (False, {"protocol_version": 4, "org_id": "x" * 129}),
    (False, {"protocol_version": 4, "latency_ms": -1}),
    (False, {"protocol_version": 4, "model": 7}),
    (False, {"protocol_version": 4, "tags": "a"}),
    (False, {"protocol_version": 4, "outcome": "fine"}),
    (False, {"protocol_version": 4, "billing": {"customer_id": "x" * 129}}),
    (False, {"protocol_version": 4, "begin": {"model": "m"}}),
    (False, {"protocol_version": 4, "end": {}}),
]


@pytest.mark.parametrize(("is_right", "line"), LINES, ids=lambda value: str(value)[:60])
def test_schema_and_daemon_agree(is_right: bool, line: dict[str, Any]) -> None:
    try:
        parsing.parse(msgspec.json.encode(line))
    except Rejected:
        accepted = False
    else:
        accepted = True
    assert accepted is is_right
    jsonschema = pytest.importorskip("jsonschema")
    assert jsonschema.Draft202012Validator(schema.schema()).is_valid(line) is is_right


def test_what_our_client_writes_is_a_line_of_the_schema() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema.schema())
    everything = {
        "model": "m",
        "tags": ["a"],
        "billing": {"plan_type": "max"},
        "request": b"{}",
        "response": "x",
    }
    for line in (taken("record", everything, 0.0), taken("begin", {"model": "m"}, 0.0)):
        validator.validate(json.loads(b"".join(pieces(line))))
