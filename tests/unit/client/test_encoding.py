"""Whatever an application hands over becomes one line of valid JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import pathlib
import tracemalloc
import types
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmledger import fields as names
from llmledger import new_id
from llmledger.encoding import IMMUTABLE, encode, freeze
from llmledger.line import FIELD_BYTES, OVERHEAD_BYTES, complete, control, most_bytes, pieces, whole
from llmledger.payload import JUDGED_BYTES, SLICE, is_json
from llmledger.protocol import Begin, Record
from tests.helpers.lines import taken

AT = 1_750_000_000.25
BY_NAME: dict[str, Any] = {"org_id": "acme", "model": "m", "latency_ms": 812.5, "status_code": 200}


def line_of(kind: Any = "record", /, **fields: Any) -> bytes:
    line = taken(kind, fields, AT)
    joined = b"".join(pieces(line))
    assert joined == b"".join(pieces(line)), "not the same the second time"
    assert joined == whole(line), "not the same at once"
    assert joined.count(b"\n") == 1
    assert joined.endswith(b"\n")
    assert len(joined) <= most_bytes(line)
    return joined


def decoded(**fields: Any) -> dict[str, Any]:
    value = json.loads(line_of(**fields))
    assert isinstance(value, dict)
    return value


def test_an_id_and_a_timestamp_are_made_where_none_is_given() -> None:
    record = decoded(model="m")
    assert uuid.UUID(record["provider_trace_id"].removeprefix("provider_trace-")).version == 4
    assert record["timestamp"] == "2025-06-15T15:06:40.250000Z"
    assert record["protocol_version"] == 4


def test_a_call_began_its_latency_before_it_was_recorded() -> None:
    assert decoded(latency_ms=250)["timestamp"] == "2025-06-15T15:06:40Z"


@pytest.mark.parametrize("latency", [math.nan, -1, 10**30, "fast", None, True])
def test_a_strange_latency_does_not_move_the_timestamp_far(latency: Any) -> None:
    assert decoded(latency_ms=latency)["timestamp"].startswith("2025-06-15T15:06:40.2")


def test_given_ids_and_timestamps_are_kept() -> None:
    start = datetime.datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    record = decoded(provider_trace_id="mine", timestamp=start)
    assert (record["provider_trace_id"], record["timestamp"]) == ("mine", "2025-01-02T03:04:05.000006Z")


def test_ids_differ() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    for made in ids:
        parsed = uuid.UUID(made.removeprefix("provider_trace-"))
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)


def test_a_forked_child_makes_other_ids() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert theirs[:35] != new_id()[:35]


def test_payloads_stand_before_the_envelope_so_that_they_cannot_speak_for_it() -> None:
    forged = b'{"x":"' + b"x" * JUDGED_BYTES + b'"},"org_id":"other","y":{}'
    line = line_of(response=forged + b"}", org_id="mine")
    assert msgspec.json.decode(line.replace(b"{}}", b"{}"), type=Record).org_id == "mine"


def test_fields_that_would_make_the_line_something_else_are_left_out() -> None:
    record = decoded(model="m", end={"taken": 1}, hello={}, protocol_version=99)
    assert record.keys() == {"model", "provider_trace_id", "timestamp", "protocol_version"}


def test_an_announcement_carries_its_fields_within() -> None:
    begin = json.loads(line_of("begin", model="m", tags=["a"]))
    assert begin["protocol_version"] == 4
    assert begin["begin"]["model"] == "m"
    assert begin["begin"].keys() >= {"provider_trace_id", "timestamp"}


def test_control_lines_are_json() -> None:
    line = b"".join(pieces(control("end", {"taken": 3})))
    assert line == b'{"protocol_version":4,"end":{"taken":3}}\n'


# Payloads in bytes and text.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_json_are_passed_through_but_for_newlines(kind: Any) -> None:
    body = b'{\n  "n": 1.0,\n  "b": 12345678901234567890\n}\n'
    assert b'"request":' + body.replace(b"\n", b" ") in line_of(request=kind(body))


def test_what_can_change_is_copied_when_it_is_handed_over() -> None:
    body = bytearray(b'{"a":1}')
    line = taken("record", {"request": body, "response": memoryview(body)}, AT)
    body[:] = b'{"a":2}'
    assert b"".join(pieces(line)).startswith(b'{"request":{"a":1},"response":{"a":1},')


def test_values_that_are_kept_for_later_records_are_frozen() -> None:
    kept: dict[str, Any] = {"tags": ["a"], "org_id": "o", "billing": {"plan_type": "max"}}
    tags = kept["tags"]
    freeze(kept)
    tags.append("b")
    assert {type(value) for value in kept.values()} <= IMMUTABLE
    record = decoded(**kept)
    assert (record["tags"], record["org_id"], record["billing"]) == (["a"], "o", {"plan_type": "max"})


def test_json_that_the_application_encoded_itself_stays_on_one_line() -> None:
    record = decoded(request={"own": msgspec.Raw(b'{\n"a":\n1}')})
    assert record["request"] == {"own": {"a": 1}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"request": {"a": "x" * 5_000}, "model": "m", "n": 1}, 5_000),
        ({"request": b"x" * 5_000, "tags": ["a"], "error": None}, 5_000),
        ({"error": "x" * 5_000}, 5_000),
        ({"request": "\u4e00" * 5_000}, 10_000),
        ({"request": {"a": "\u4e00" * 5_000}}, 15_000),
    ],
)
def test_the_size_of_a_record_is_that_of_its_values(fields: dict[str, Any], expected: int) -> None:
    beside = OVERHEAD_BYTES + FIELD_BYTES * len(fields)
    assert expected <= taken("record", fields, AT).size - beside < expected + 100


def test_the_size_of_a_waiting_line_is_what_it_takes_in_memory() -> None:
    texts = [f"{number:0300}" for number in range(500)]
    tracemalloc.start()
    lines = [taken("record", {**BY_NAME, "error": text, "request": {"a": text}}, AT) for text in texts]
    for line in lines:
        b"".join(pieces(line))  # what the sender adds counts too
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < sum(line.size for line in lines)


def test_bytes_are_referred_to_and_not_copied() -> None:
    body = b'{"a":1}'
    line = taken("record", {"request": body}, AT)
    complete(line)
    assert line.payloads == (("request", body),)
    assert line.payloads[0][1] is body


@pytest.mark.parametrize(
    "body",
    [
        b"<html>\n<b>502</b></html>",
        b'{"cut": "in the mid',
        b'{"a":1}\n{"a":2}',
        b"data: {}\n\n",
        b"{",
        b"'",
        b"nul",
        b"{" + b" " * 2 * JUDGED_BYTES + b"<",
        b" " * 300 + b"x",
    ],
)
def test_bytes_that_are_no_json_become_a_json_string(body: bytes) -> None:
    assert decoded(response=body)["response"] == body.decode()


@pytest.mark.parametrize("body", [b'"text"', b"12.5", b"true", b" [1]\n", b'{"s":"\\ud800"}', b"null"])
def test_any_json_value_in_bytes_is_passed_through(body: bytes) -> None:
    assert decoded(response=body)["response"] == json.loads(body)


def test_deep_nesting_in_bytes_is_passed_through() -> None:
    body = b"[" * 10_000 + b"]" * 10_000
    assert b'{"request":' + body + b"," in line_of(request=body)


def test_an_empty_body_is_no_payload_and_an_empty_stream_is_one() -> None:
    assert decoded(response=b"", request="")["response"] is None
    assert decoded(response_stream=b"")["response_stream"] == ""


def test_text_that_is_an_object_or_array_is_json_and_other_text_is_a_string() -> None:
    record = decoded(request='{"a":\n1}', response="42")
    assert (record["request"], record["response"]) == ({"a": 1}, "42")
    assert decoded(request="{name} is it}")["request"] == "{name} is it}"


@pytest.mark.parametrize(
    "text", ["data: {}\r\n\r\n", '{"looks":"like json"}', '\x00\x1f"\\\u2028', "\ud800!", "é" * SLICE]
)
def test_a_stream_is_text_whatever_it_looks_like(text: str) -> None:
    assert decoded(response_stream=text)["response_stream"] == text


def test_a_stream_in_bytes_that_is_no_utf8_is_repaired() -> None:
    assert decoded(response_stream=b"a\xffb")["response_stream"] == "a\ufffdb"


def test_json_in_bytes_that_is_no_utf8_is_repaired_and_stays_json() -> None:
    assert decoded(response=b'{"a":"\xe9"}')["response"] == {"a": "\ufffd"}


@pytest.mark.parametrize("shift", range(4))
def test_characters_that_straddle_slices_stay_whole(shift: int) -> None:
    text = "x" * shift + "🙂é" * SLICE
    body = json.dumps({"t": text}, ensure_ascii=False)
    record = decoded(request=body.encode(), response=body, response_stream=text.encode())
    assert (record["request"], record["response"]) == ({"t": text}, {"t": text})
    assert record["response_stream"] == text


# Payloads of objects.


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    inner: object = None


class Model:
    """Shaped like a pydantic model."""

    def model_dump(self, *, mode: str, warnings: bool) -> dict[str, str]:
        assert (mode, warnings) == ("json", False)
        return {"dumped": "yes"}


class Array:
    """Shaped like numpy's."""

    def tolist(self) -> list[float]:
        return [1.5, math.nan]


class Broken:
    """Raises wherever it is asked for itself."""

    def model_dump(self, **_: object) -> None:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("neither")


class Text(str):
    """A subclass that claims to be something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


NOW = datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
OBJECTS: list[tuple[Any, Any]] = [
    (NOW, "2025-01-02T03:04:05Z"),
    (NOW.date(), "2025-01-02"),
    (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (decimal.Decimal("1.10"), "1.10"),
    ({1}, [1]),
    (b"\xff", "/w=="),
    (Color.RED, "red"),
    (Point(1, Point(2)), {"x": 1, "inner": {"x": 2, "inner": None}}),
    (Model(), {"dumped": "yes"}),
    (Array(), [1.5, None]),
    (Broken(), "<Broken>"),
    (Point(1, Broken()), {"x": 1, "inner": "<Broken>"}),
    (ValueError("bad"), "ValueError: bad"),
    (Text("mine"), "mine"),
    (math.inf, None),
    (10**30, 10**30),
    (collections.deque([1]), [1]),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (range(2), [0, 1]),
    (pathlib.PurePosixPath("/a"), "/a"),
    ({1: 2, 1.5: 3, Color.RED: 4}, {"1": 2, "1.5": 3, "red": 4}),
    ({None: 1}, {"None": 1}),
    ({"s": "\ud800", "nan": math.nan, "o": Broken()}, {"s": "\ud800", "nan": None, "o": "<Broken>"}),
]


@pytest.mark.parametrize(("value", "expected"), OBJECTS, ids=lambda value: type(value).__name__)
def test_whatever_does_not_encode_is_made_to(value: Any, expected: Any) -> None:
    assert decoded(request={"v": value})["request"] == {"v": expected}


@pytest.mark.parametrize(("value", "expected"), OBJECTS, ids=lambda value: type(value).__name__)
def test_one_bad_neighbor_changes_nothing_for_the_others(value: Any, expected: Any) -> None:
    assert decoded(request={"v": value, "bad": {("k",): "\ud800"}})["request"]["v"] == expected


def test_a_key_that_json_cannot_have_becomes_text() -> None:
    (key,) = decoded(request={(1, 2): 3})["request"]
    assert "1, 2" in key


def test_text_that_utf8_cannot_hold_costs_no_other_field() -> None:
    record = decoded(model="\ud800", tags=["a"], request={"a": 1}, error=ValueError("x"))
    assert (record["model"], record["tags"], record["error"]) == ("\ud800", ["a"], "ValueError: x")
    assert record["request"] == {"a": 1}


def test_a_cycle_ends() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    record = decoded(request=loop, model="m")
    assert record["request"] == {"a": 1, "self": "<dict: in itself>"}
    assert record["model"] == "m"


def test_bottomless_nesting_ends() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert b"nested too deep" in line_of(request=deep)


def test_an_exception_may_stand_in_any_field() -> None:
    assert decoded(error=TimeoutError("10 s"))["error"] == "TimeoutError: 10 s"


def test_an_integer_that_python_will_not_write_is_described() -> None:
    record = decoded(latency_ms=10**5000, request={"n": [10**5000, 1]})
    assert record["latency_ms"] == "<int: 16610 bits>"
    assert record["request"] == {"n": ["<int: 16610 bits>", 1]}


@pytest.mark.parametrize("payload", [5, 2.5, True])
def test_a_payload_may_be_a_bare_number(payload: Any) -> None:
    assert decoded(request=payload)["request"] == payload


def test_the_application_may_change_its_objects_afterwards() -> None:
    body = {"a": [1]}
    line = taken("record", {"request": body, "billing": {"plan_type": "max"}}, AT)
    body["a"].append(2)
    assert b'"request":{"a":[1]}' in b"".join(pieces(line))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters()) | st.integers(), inner)
        | st.sets(st.text())
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_value_makes_valid_json(value: Any) -> None:
    json.loads(encode({"v": value}))


@example(b'"\\ud"')
@given(st.binary())
def test_any_bytes_make_a_valid_line(body: bytes) -> None:
    json.loads(line_of(request=body, response_stream=body))


@given(st.text(st.characters()))
def test_any_text_makes_a_valid_line(text: str) -> None:
    record = decoded(request=text, response_stream=text)
    assert record["response_stream"] == text
    if text and not is_json(text):
        assert record["request"] == text


def test_the_typed_fields_are_those_of_the_wire() -> None:
    assert set(names.RecordFields.__annotations__) == set(Record.__struct_fields__) - {"protocol_version"}
    assert set(names.BeginFields.__annotations__) == set(Begin.__struct_fields__)
