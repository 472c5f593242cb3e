"""Protocol Buffers' encoding, compared with the generated classes."""

from __future__ import annotations

from typing import Any

import pytest

from llmledgerd.stores.collector import wire

pytest.importorskip("opentelemetry.proto")


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_numbers_are_read_by_the_generated_classes(number: int) -> None:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    found: Any = Resource()
    found.ParseFromString(
        wire.attributes(1, {"n": number, "t": "é\ud800", "yes": True, "f": -0.5, "l": ["a", ""]})
    )
    values = {one.key: one.value for one in found.attributes}
    assert values["n"].int_value == number
    assert values["t"].string_value == "é?"
    assert values["yes"].bool_value is True
    assert values["f"].double_value == -0.5
    assert [one.string_value for one in values["l"].array_value.values] == ["a", ""]


def test_the_number_of_refused_spans_is_read_from_an_answer() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer: Any = ExportTraceServiceResponse()
    assert wire.refused(answer.SerializeToString()) == 0
    answer.partial_success.error_message = "some were too old"
    assert wire.refused(answer.SerializeToString()) == 0
    answer.partial_success.rejected_spans = 300
    assert wire.refused(answer.SerializeToString()) == 300


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b"\xff" * 20, b"\x0a", b"\x0a\xff", b"\x0a\x02\x08", b"<html>"]
)
def test_any_answer_can_be_read(answer: bytes) -> None:
    assert wire.refused(answer) == 0
