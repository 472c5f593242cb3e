"""Lines become records or are refused with their reason."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from llmledger.protocol import Begin, End, Record
from llmledgerd import json_text
from llmledgerd.errors import Rejected
from llmledgerd.records import parsing
from llmledgerd.records.parsing import MAX_COUNT, Dropped, parse

DEEP = 10_000


def line(**fields: object) -> bytes:
    return msgspec.json.encode({"protocol_version": 4, **fields})


def raw_line(members: bytes) -> bytes:
    return b'{"protocol_version":4,' + members + b"}"


def record(text: bytes) -> Record:
    parsed = parse(text)
    assert isinstance(parsed, Record)
    return parsed


def refusal(text: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not_json"),
        (b" ", "not_json"),
        (b"a", "not_json"),
        (b"{", "not_json"),
        (b'{"protocol_version":4}}', "not_json"),
        (b'{"protocol_version":4,"request":[1,]}', "not_json"),
        (b'{"protocol_version":4,"request":NaN}', "not_json"),
        (b'{"protocol_version":4,"request":"\\x"}', "not_json"),
        (b'{"protocol_version":4,"request":"\x01"}', "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "no_protocol_version"),
        (b'{"protocol_version":null}', "no_protocol_version"),
        (b'{"protocol_version":0}', "unsupported_protocol_version"),
        (b'{"protocol_version":99}', "unsupported_protocol_version"),
        (b'{"protocol_version":-1}', "unsupported_protocol_version"),
        (b'{"protocol_version":"4"}', "unsupported_protocol_version"),
        (b'{"protocol_version":4.0}', "unsupported_protocol_version"),
        (b'{"protocol_version":true}', "unsupported_protocol_version"),
        (b'{"protocol_version":{}}', "unsupported_protocol_version"),
        (line(latency_ms=-1), "negative_number"),
        (line(latency_ms=-0.5), "negative_number"),
        (line(time_to_first_token_ms=-1), "negative_number"),
        (line(attempt=-1), "negative_number"),
        (line(status_code=-200), "negative_number"),
        (raw_line(b'"latency_ms":-1e999'), "negative_number"),
        (line(latency_ms="5"), "wrong_type"),
        (line(latency_ms=True), "wrong_type"),
        (line(agent_id=7), "wrong_type"),
        (line(tags="a"), "wrong_type"),
        (line(tags=["a", None]), "wrong_type"),
        (line(billing=[]), "wrong_type"),
        (line(billing={"plan_type": 1}), "wrong_type"),
        (line(response_headers={"retry-after": 1}), "wrong_type"),
        (line(outcome="fine"), "wrong_type"),
        (line(provider_trace_id=""), "bad_id"),
        (line(hello={}), "misplaced_hello"),
        (line(begin={}), "wrong_type"),
        (line(begin={"provider_trace_id": ""}), "bad_id"),
        (line(begin={"provider_trace_id": "a", "attempt": -1}), "negative_number"),
        (line(dropped={"buffer_full": -1}), "negative_number"),
        (line(dropped=[]), "wrong_type"),
        (line(end={"taken": -1}), "negative_number"),
        (line(end={}), "wrong_type"),
    ],
)
def test_a_line_is_refused_with_its_reason(text: bytes, reason: str) -> None:
    refused = refusal(text)
    assert refused.reason == reason
    assert refused.reason in parsing.REASONS


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_supported_version_is_taken(version: int) -> None:
    assert record(b'{"protocol_version":%d}' % version).protocol_version == version


@pytest.mark.parametrize(
    "name",
    [
        "provider_trace_id",
        "org_id",
        "project_id",
        "user_id",
        "agent_id",
        "run_id",
        "step_id",
        "trace_id",
        "span_id",
    ],
)
def test_an_id_may_have_128_characters_and_no_more(name: str) -> None:
    assert getattr(record(line(**{name: "é" * 128})), name) == "é" * 128
    refused = refusal(line(**{name: "é" * 129}))
    assert (refused.reason, name in refused.detail) == ("bad_id", True)


def test_the_customer_s_id_is_bounded_like_the_others() -> None:
    assert record(line(billing={"customer_id": "c" * 128})).billing is not None
    assert refusal(line(billing={"customer_id": "c" * 129})).reason == "bad_id"


def test_a_refused_type_names_its_field() -> None:
    assert "agent_id" in refusal(line(agent_id=7)).detail


@pytest.mark.parametrize("place", [b'"request":"%s"', b'"unknown":"%s"', b'"%s":1', b'"agent_id":"%s"'])
@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_bytes_that_are_no_utf8_are_refused_wherever_they_stand(place: bytes, bad: bytes) -> None:
    assert refusal(raw_line(place % bad)).reason == "not_utf8"


def test_what_is_no_json_is_called_that_even_after_a_wrong_type() -> None:
    assert refusal(b'{"protocol_version":99,"latency_ms":true,oops}').reason == "not_json"


def test_null_is_absent_for_every_optional_field() -> None:
    absent = record(b'{"protocol_version":4}')
    names = [name for name in absent.__struct_fields__ if name != "protocol_version"]
    nulls = record(line(**dict.fromkeys(names)))
    for name in names:
        value = getattr(nulls, name)
        assert value is None or bytes(value) == b"null", name


def test_unknown_fields_are_ignored_and_of_two_the_later_counts() -> None:
    parsed = record(raw_line(b'"new":{"a":[1]},"agent_id":"first","agent_id":"second"'))
    assert parsed.agent_id == "second"


def test_payloads_stay_byte_for_byte() -> None:
    payload = b'{ "b" : 1.0e+2,\t"a": "\\u0041\\/\xc3\xa9", "b": 2 }'
    assert bytes(record(raw_line(b'"request": ' + payload + b" ")).request) == payload


def deep_payloads() -> list[bytes]:
    return [
        b"[" * DEEP + b"]" * DEEP,
        b'[{"a":"]}\\"","b":' * DEEP + b"1" + b"}]" * DEEP,
        b'{"a":' * DEEP + b"null" + b"}" * DEEP,
        b"[[],{}," * DEEP + b"0" + b"]" * DEEP,
    ]


@pytest.mark.parametrize("payload", deep_payloads())
def test_a_deeply_nested_payload_is_stored_byte_for_byte(payload: bytes) -> None:
    parsed = record(raw_line(b'"agent_id":"a","request":' + payload + b',"latency_ms":5'))
    assert bytes(parsed.request) == payload
    assert (parsed.agent_id, parsed.latency_ms) == ("a", 5)


@pytest.mark.parametrize("field", [b'"unknown":%s', b'"billing":{"plan_type":"p","more":%s}'])
def test_deep_nesting_outside_the_payloads_is_ignored_too(field: bytes) -> None:
    record(raw_line(field % (b"[" * DEEP + b"]" * DEEP)))


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * (DEEP - 1),
        b"[" * DEEP + b"}" * DEEP,
        b"[" * DEEP + b"]" * (DEEP + 1),
        b"1[" * DEEP + b"]" * DEEP,
        b"[" * DEEP + b"1 2" + b"]" * DEEP,
        b"[" * DEEP + b'"' + b"]" * DEEP,
        b'{"a":' * DEEP + b"}" * DEEP,
        b"{[" * DEEP + b"]}" * DEEP,
    ],
)
def test_deep_text_that_is_no_json_is_refused(payload: bytes) -> None:
    assert refusal(raw_line(b'"request":' + payload)).reason == "not_json"


def test_nesting_beyond_any_use_is_refused_by_its_own_name() -> None:
    levels = json_text.MAX_DEPTH + 1
    assert refusal(raw_line(b'"request":' + b"[" * levels + b"]" * levels)).reason == "too_deep"


@pytest.mark.parametrize(
    "escapes",
    [b"\\ud800", b"\\udfff", b"\\uD83D \\uDE00", b"\\ud83d\\ud83d\\ude00", b"\\\\\\ud800", b"\\n\\ud83dx"],
)
def test_lone_surrogates_are_stored_as_they_were_sent(escapes: bytes) -> None:
    parsed = record(raw_line(b'"request":{"t":"%s"},"agent_id":"a%s"' % (escapes, escapes)))
    assert bytes(parsed.request) == b'{"t":"%s"}' % escapes
    assert parsed.agent_id is not None
    assert "\ufffd" in parsed.agent_id.encode().decode()


def test_a_pair_of_surrogates_beside_a_lone_one_is_kept() -> None:
    assert record(raw_line(b'"agent_id":"\\ud83d\\ude00\\ud800\\\\ud800"')).agent_id == "😀\ufffd\\ud800"


def test_a_name_written_in_escapes_is_known_by_the_second_reading_too() -> None:
    parsed = record(raw_line(b'"re\\u0071uest":{"a":1},"unknown":"\\ud800"'))
    assert bytes(parsed.request) == b'{"a":1}'


@pytest.mark.parametrize("number", [b"1e999", b"9" * 6000, b"1" + b"0" * 400])
def test_a_number_larger_than_any_column_is_taken(number: bytes) -> None:
    latency = record(raw_line(b'"latency_ms":' + number)).latency_ms
    assert latency is not None
    assert latency > 1e300


def test_the_lines_that_are_no_records_are_told_apart() -> None:
    begin = parse(line(begin={"provider_trace_id": "a", "tags": ["t"], "later": {"x": 1}}))
    assert isinstance(begin, Begin)
    assert (begin.provider_trace_id, begin.tags) == ("a", ["t"])
    assert parse(line(dropped={"buffer_full": 3})) == Dropped({"buffer_full": 3})
    assert parse(line(dropped={"buffer_full": 10**30})) == Dropped({"buffer_full": MAX_COUNT}), (
        "as the column holds"
    )
    assert parse(line(end={"taken": 12})) == End(12)
    assert isinstance(parse(line(begin=None, hello=None, dropped=None, end=None)), Record)


@pytest.mark.parametrize("other", [{"end": {"taken": 1}}, {"dropped": {"closed": 1}}])
def test_a_line_of_two_kinds_is_refused_so_that_none_of_them_is_lost(other: dict[str, object]) -> None:
    error = refusal(line(begin={"provider_trace_id": "x"}, **other))
    assert error.reason == parsing.WRONG_TYPE
    assert next(iter(other)) in str(error)
    assert isinstance(parse(line(begin={"provider_trace_id": "x"}, end=None, dropped=None)), Begin)


def test_a_begin_with_what_msgspec_refuses_is_read() -> None:
    deep = b"[" * DEEP + b"]" * DEEP
    begin = parse(raw_line(b'"begin":{"provider_trace_id":"\\ud800","later":' + deep + b"}"))
    assert isinstance(begin, Begin)
    assert begin.provider_trace_id == "\ufffd"


def random_json(dice: random.Random, depth: int = 0) -> object:
    kind = dice.randrange(8 if depth < 6 else 5)
    scalars: list[object] = [None, dice.random() * 10**9, True, 'é"\\\n]}{[:,', ""]
    if kind < len(scalars):
        return scalars[kind]
    children = [random_json(dice, depth + 1) for _ in range(dice.randrange(4))]
    return children if kind == 5 else {f'{index}"{{': child for index, child in enumerate(children)}


def test_both_readings_agree_on_random_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(20)
    monkeypatch.setattr(json_text, "_FOLD_DEPTH", 2)
    for _ in range(300):
        payload = json.dumps(random_json(dice), indent=dice.choice([None, 1])).encode()
        text = raw_line(b'"request":%s,"agent_id":"a","response":%s' % (payload, payload))
        fast, slow = record(text), parsing._read_again(text)
        assert bytes(fast.request) == bytes(slow.request)
        assert bytes(fast.response) == bytes(slow.response)
        assert slow.agent_id == "a"
        assert json_text._fold(text) is not None


def test_folding_refuses_every_cut_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "_FOLD_DEPTH", 2)
    text = b'{"a":[[[[{"b":"]}"},1.5e3,[null]]]]],"c":{"d":{"e":{"f":{}}}},"g":"\\ud83d\\ude00"}'
    json_text._fold(text)
    for length in range(len(text)):
        with pytest.raises(json_text.NotJson):
            json_text._fold(text[:length])


def test_a_large_line_is_read_as_a_small_one_is_but_for_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    small = parsing.parse(b'{"protocol_version":4,"response_stream":"a\\n\xc3\xa9","request":{"a":1}}')
    monkeypatch.setattr(parsing, "LARGE_BYTES", 16)
    monkeypatch.setattr(parsing, "_CHECKED_BYTES", 7)
    long = b'"' + b"x" * 15 + b'"'
    for text, stream in ((b'"a\\n\xc3\xa9"', "a\n\xe9"), (b"null", None), (long, msgspec.Raw(long))):
        line = b'{"protocol_version":4,"response_stream":%s,"request":{"a":1}}' % text
        for given in (line, memoryview(line)):
            found = parsing.parse(given)
            assert isinstance(found, Record)
            assert isinstance(small, Record)
            assert bytes(found.request) == bytes(small.request)
            assert found.response_stream == stream
    for odd, reason in ((b"[%s]" % (b"1," * 20 + b"1"), "wrong_type"), (b'"\xff"', "not_utf8")):
        with pytest.raises(Rejected) as refusal:
            parsing.parse(memoryview(b'{"protocol_version":4,"response_stream":%s}' % odd))
        assert refusal.value.reason == reason
