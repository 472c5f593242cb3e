from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.otlp import json_form
from llmledgerd.otlp.signals import LogRecord, Span, Unreadable
from tests.helpers.otlp import TRACE, encoded, log_record, logs, span, traces


def test_values_of_every_type_are_read() -> None:
    sent = {"text": "a", "whole": 7, "float": 0.5, "flag": True, "list": ["a", 1], "object": {"a": {"b": 1}}}
    (found,) = json_form.spans(encoded(traces([span(1, sent)])))
    assert isinstance(found, Span)
    assert found.attributes == sent
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, f"{1:016x}", "")
    assert (found.origin.scope, found.origin.version) == ("my.scope", "1.0")


def test_integers_may_be_numbers_enums_may_be_names_and_unknown_keys_are_ignored() -> None:
    one = span(1, {}) | {"startTimeUnixNano": 5, "status": {"code": "STATUS_CODE_ERROR"}, "later": {"a": []}}
    one["attributes"] = [{"key": "n", "value": {"intValue": 7}}, {"key": "no value"}]
    (found,) = json_form.spans(encoded(traces([one])))
    assert isinstance(found, Span)
    assert (found.start_ns, found.status, found.attributes) == (5, 2, {"n": 7, "no value": None})


def test_ids_are_hexadecimal_in_either_case() -> None:
    (found,) = json_form.spans(encoded(traces([span(1, {}, trace=TRACE.upper())])))
    assert isinstance(found, Span)
    assert found.trace_id == TRACE


@pytest.mark.parametrize(
    "odd",
    [{"traceId": "no hex"}, {"startTimeUnixNano": "soon"}, {"attributes": 1}, {"name": 7}, {"events": [1]}],
)
def test_a_span_of_another_shape_refuses_itself_alone(odd: dict[str, Any]) -> None:
    found = list(json_form.spans(encoded(traces([span(1, {}), span(2, {}) | odd, span(3, {})]))))
    assert [type(one) for one in found] == [Span, Unreadable, Span]


@pytest.mark.parametrize("body", [b"", b"[]", b"null x", b'{"resourceSpans": 1}', b"\xff", b"[" * 100_000])
def test_a_request_of_another_shape_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        list(json_form.spans(body))


def test_an_empty_request_has_no_spans() -> None:
    assert list(json_form.spans(b"{}")) == []


def test_the_event_of_a_log_record_is_named_in_any_of_three_places() -> None:
    records = [
        log_record("by body", {}),
        log_record("", {"event.name": "by attribute"}, body={}),
        log_record("", {}, body={}, eventName="by field"),
    ]
    found = list(json_form.log_records(encoded(logs(records))))
    assert [one.name for one in found if isinstance(one, LogRecord)] == [
        "by body",
        "by attribute",
        "by field",
    ]


def test_a_lone_surrogate_of_javascript_is_no_fault() -> None:
    body = json.dumps(traces([span(1, {"text": "X"})])).replace('"X"', '"\\ud800"').encode()
    (found,) = json_form.spans(body)
    assert isinstance(found, Span)
    assert found.attributes["text"] not in ("", None)
