from __future__ import annotations

import random

import pytest

from llmledgerd.otlp import json_form
from llmledgerd.otlp.signals import Unreadable
from tests.helpers.otlp import as_protobuf, encoded, log_record, logs, span, traces

pytest.importorskip("opentelemetry.proto")
protobuf = pytest.importorskip("llmledgerd.otlp.protobuf")

ATTRIBUTES = {
    "text": "ä",
    "whole": 7,
    "float": 0.5,
    "flag": True,
    "list": ["a", 1],
    "object": {"a": {"b": 1}},
}
EVENT = {"name": "exception", "timeUnixNano": "5", "attributes": [{"key": "a", "value": {"intValue": "1"}}]}
REQUEST = traces(
    [span(1, ATTRIBUTES, parent=2, events=[EVENT], status={"code": 2, "message": "no"}), span(2, {})]
)


def test_both_encodings_are_the_same_signals() -> None:
    assert list(protobuf.spans(as_protobuf(REQUEST))) == list(json_form.spans(encoded(REQUEST)))
    records = logs([log_record("a", ATTRIBUTES), log_record("", {"event.name": "b"})])
    assert list(protobuf.log_records(as_protobuf(records))) == list(json_form.log_records(encoded(records)))


def test_any_bytes_are_signals_or_unreadable() -> None:
    dice, body = random.Random(3), as_protobuf(REQUEST)
    for _ in range(3000):
        damaged = bytearray(body)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            list(protobuf.spans(damaged[: dice.randint(0, len(damaged))]))
        except Unreadable:
            continue


def test_the_status_of_an_error_is_a_message_with_its_length() -> None:
    assert protobuf.status("x" * 300)[:3] == b"\x12\xac\x02"
