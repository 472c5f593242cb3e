"""A finished row becomes the row that is stored, and its objects."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from llmledger.protocol import Record
from llmledgerd.config.options import PayloadRule
from llmledgerd.payloads import object_format
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.treatment import Treatment
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, Row
from tests.helpers.exchanges import line
from tests.unit.payloads.test_attachments import PNG, text

PAYLOADS = ("request_json", "response_json", "llm_config_json", "compaction_settings_json")
RECEIVED_US = 1_795_600_000_000_000
BASE = "s3://bucket/here"


def built(sent: bytes, batch_row: int = 3) -> Row:
    sent = sent.rstrip(b"\n")
    record = parsing.parse(sent)
    assert isinstance(record, Record)
    return RowBuilder(Pricer()).row(
        record, line=sent, service="api", received_us=RECEIVED_US, batch_id="b", batch_row=batch_row
    )


def fields(row: Row) -> dict[str, Any]:
    return dict(zip(COLUMNS, row, strict=True))


def treated(row: Row, decision: Decision, uploads: Uploads | None = None, **more: Any) -> dict[str, Any]:
    return fields(Treatment(Policy(decision), base=BASE, **more).treat(row, uploads or Uploads()))


def without_payloads(row: Row) -> dict[str, Any]:
    return {name: value for name, value in fields(row).items() if name not in (*PAYLOADS, "payload_uri")}


FULL = line(
    "call/1", 5, llm_config={"model": "m"}, compaction_settings={"a": 1}, tags=["x"], user_id="u",
    trace_id="t", billing={"plan_type": "max", "customer_id": "c"}, timestamp="2026-11-20T23:59:59.123456Z",
)  # fmt: skip


def test_inline_payloads_and_rows_without_any_stay_as_they_are() -> None:
    row = built(FULL)
    assert Treatment(Policy(Decision())).treat(row, Uploads()) is row
    empty = built(b'{"protocol_version": 4, "provider_trace_id": "a"}')
    assert Treatment(Policy(Decision(mode="offload")), base=BASE).treat(empty, Uploads()) is empty


@pytest.mark.parametrize("decision", [Decision(mode="metadata_only"), Decision(mode="offload")])
def test_everything_but_the_payloads_is_that_of_the_original(decision: Decision) -> None:
    row = built(FULL)
    found = treated(row, decision)
    assert [found[name] for name in PAYLOADS] == [b""] * 4
    assert without_payloads(row) == {name: found[name] for name in without_payloads(row)}
    assert found["request_size_bytes"] == len(fields(row)["request_json"]) > 0


def test_an_object_is_a_record_that_makes_the_same_row_again() -> None:
    row, uploads = built(FULL), Uploads()
    found = treated(row, Decision(mode="offload"), uploads)
    payload_object = uploads.objects[3]
    assert payload_object.name == "raw/date=2026-11-20/call%2F1.json.gz"
    assert found["payload_uri"] == f"{BASE}/{payload_object.name}"
    contents = object_format.unpack(payload_object.content)
    assert (contents.organization_id, contents.id) == ("org-1", "call/1")
    assert contents.payloads == {name: fields(row)[name] for name in PAYLOADS}
    again = fields(built(gzip.decompress(payload_object.content)))
    assert again == fields(row)


def test_payloads_that_json_readers_refuse_come_back_byte_for_byte() -> None:
    deep = "[" * 3000 + "]" * 3000
    head = '{"protocol_version":4,"provider_trace_id":"a","response":{"x":"\\ud800"},"request":'
    row = built(f"{head}{deep}}}".encode())
    contents = object_format.unpack(object_format.pack(row))
    assert contents.payloads["request_json"] == deep.encode()
    assert contents.payloads["response_json"] == b'{"x":"\\ud800"}'


def test_the_same_row_makes_the_same_object_however_it_was_compressed() -> None:
    one, other = object_format.pack(built(FULL)), object_format.pack(built(FULL))
    assert one == other
    assert object_format.same(one, gzip.compress(gzip.decompress(one), 9))
    assert not object_format.same(one, object_format.pack(built(line("call/1", 6))))
    assert not object_format.same(one, b"something else")


@pytest.mark.parametrize(
    "content",
    [b"", b"x", gzip.compress(b"x"), gzip.compress(b"[]"), object_format.pack(built(FULL))[:-20]],
    ids=["empty", "no gzip", "no JSON", "no object", "torn"],
)
def test_an_object_that_is_no_record_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(object_format.NotARecord):
        object_format.unpack(content)


def test_small_payloads_stay_inline_where_a_threshold_is_set() -> None:
    row = built(FULL)
    size = sum(len(fields(row)[name]) for name in PAYLOADS)
    assert treated(row, Decision(mode="offload", above_bytes=size))["request_json"]
    assert not treated(row, Decision(mode="offload", above_bytes=size - 1))["request_json"]
    assert not treated(row, Decision(mode="metadata_only", above_bytes=size))["request_json"]


def test_sampling_drops_payloads_and_never_those_of_errors() -> None:
    never = Decision(sample_rate=0.0)
    row = built(FULL)
    found = treated(row, never)
    assert (found["request_json"], found["payload_uri"], found["prompt_tokens"]) == (b"", "", 5)
    failed = built(line("e", 1, error="boom", response=None))
    assert Treatment(Policy(never)).treat(failed, Uploads()) == failed


def test_organizations_are_treated_by_their_own_rules() -> None:
    treatment = Treatment(
        Policy(Decision(mode="offload"), [PayloadRule(organization_id="org-2", mode="metadata_only")]),
        base=BASE,
    )
    uploads = Uploads()
    treatment.treat(built(line("a", 1, org_id="org-2")), uploads)
    assert uploads.objects == {}
    treatment.treat(built(line("a", 1)), uploads)
    assert len(uploads.objects) == 1


def test_files_are_cut_before_payloads_are_offloaded_and_sizes_stay() -> None:
    image = {"source": {"media_type": "image/png", "data": text(PNG)}}
    row = built(line("a", 1, request={"messages": [image]}))
    uploads = Uploads()
    found = treated(row, Decision(mode="offload", attachments="store"), uploads, attachments_above_bytes=100)
    assert found["request_size_bytes"] > len(PNG)
    assert [file.content for file in uploads.files.values()] == [PNG]
    request = json.loads(object_format.unpack(uploads.objects[3].content).payloads["request_json"])
    assert request["messages"][0]["source"]["data"].startswith("llmledger-file:sha256:")


def test_a_row_that_is_encoded_again_has_the_name_that_its_object_got() -> None:
    uploads = Uploads(names={3: "raw/date=2026-11-20/own.json.gz"}, done=True)
    found = treated(built(FULL), Decision(mode="offload", attachments="store"), uploads)
    assert found["payload_uri"] == f"{BASE}/raw/date=2026-11-20/own.json.gz"
    assert (uploads.objects, uploads.files) == ({}, {})
