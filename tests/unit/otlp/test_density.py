from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llmledgerd.otlp import json_form
from llmledgerd.otlp.density import is_dense
from llmledgerd.otlp.reading import structured
from llmledgerd.otlp.signals import Span, Unreadable
from tests.helpers.otlp import as_protobuf, encoded, field, span, traces

pytest.importorskip("opentelemetry.proto")
protobuf = pytest.importorskip("llmledgerd.otlp.protobuf")

FORMS = [(json_form, encoded), (protobuf, as_protobuf)]
DENSE: dict[str, dict[str, Any]] = {
    "attributes": {str(n): n for n in range(60)},
    "a list": {"a": list(range(60))},
    "an object": {"a": {"b": {str(n): n for n in range(60)}}},
}


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("[0,0,0,0]", 3, False),
        ("[0,0,0,0]", 2, True),
        ('[",,,,,,",0]', 1, False),
        ('["\\",,,,,",0,0]', 1, True),
        ('["\\\\",0,0]', 1, True),
        ('[",,,,,,', 1, False),
        ("0" * 9, 0, False),
    ],
)
def test_commas_count_outside_strings_alone(text: str, most: int, expected: bool) -> None:
    for found in (text, text.encode(), bytearray(text.encode()), msgspec.Raw(text.encode())):
        assert is_dense(found, most) is expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", [*DENSE, "events"])
def test_a_signal_of_too_many_values_is_refused_alone(
    form: tuple[Any, Any], which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, encode = form
    monkeypatch.setattr(module, "MOST_VALUES", 50)
    events = [{"name": "e", "attributes": []}] * 60 if which == "events" else []
    odd = span(1, DENSE.get(which, {}), events=events)
    first, second = module.spans(encode(traces([odd, span(2, {"a": 1})])))
    assert isinstance(first, Unreadable)
    assert isinstance(second, Span)


@pytest.mark.parametrize("form", FORMS)
def test_long_texts_are_no_values(form: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    module, encode = form
    monkeypatch.setattr(module, "MOST_VALUES", 50)
    (found,) = module.spans(encode(traces([span(1, {"a": "x,{}" * 900, "b": 1})])))
    assert found.attributes["b"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_resource_of_too_many_values_refuses_its_request(
    form: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, encode = form
    monkeypatch.setattr(module, "MOST_VALUES", 50)
    with pytest.raises(Unreadable, match="more than"):
        list(module.spans(encode(traces([span(1, {})], resource=DENSE["a list"]))))


@pytest.mark.parametrize("form", FORMS)
def test_a_request_of_too_many_signals_is_refused(
    form: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, encode = form
    monkeypatch.setattr(module, "MOST_SIGNALS", 20)
    with pytest.raises(Unreadable, match="more than 20"):
        list(module.spans(encode(traces([span(n, {}) for n in range(1, 60)]))))


def test_empty_groups_and_scopes_count_as_signals_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST_SIGNALS", 20)
    for body in (b"\x0a\x00" * 30, b"\x0a\x3c" + b"\x12\x00" * 30):
        with pytest.raises(Unreadable, match="more than 20"):
            list(protobuf.spans(body))


def test_values_within_values_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST_VALUES", 500)
    deep = b""
    for _ in range(400):
        deep = field(5, field(1, deep))
    body = field(1, field(2, field(2, field(9, field(2, deep)))))
    assert [type(found) for found in protobuf.spans(body)] == [Unreadable]


def test_json_of_too_many_values_within_an_attribute_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmledgerd.otlp.reading.MOST_VALUES", 50)
    dense, text = json.dumps(list(range(60))), json.dumps(["a, b" * 60])
    assert structured(dense) == dense
    assert structured(text) == ["a, b" * 60]
