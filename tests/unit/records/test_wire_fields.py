"""What the daemon knows of the wire's fields is what their types say."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from llmledger.protocol import Billing, CallId, Id, Label, Measure, Record
from llmledgerd.records import wire_fields
from llmledgerd.records.wire_fields import Limit, limits, without_limits


class Inner(msgspec.Struct, frozen=True):
    customer_id: Id | None = None


class Example(msgspec.Struct, kw_only=True):
    count: Annotated[Measure | None, Meta(description="a number")] = None
    name: Label | None = None
    inner: Inner | None = None
    call_id: Annotated[CallId | None, Meta(description="an identifier")] = None


def test_limits_are_read_from_the_types_and_identifiers_precede_numbers() -> None:
    assert limits(Example) == (
        Limit(("call_id",), min_length=1, max_length=128),
        Limit(("inner", "customer_id"), max_length=128),
        Limit(("count",)),
    )


def test_without_limits_only_types_are_checked() -> None:
    line = b'{"count":-1,"name":"n","inner":{"customer_id":"%s"},"call_id":""}' % (b"x" * 200)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(line, type=Example)
    read = msgspec.json.decode(line, type=without_limits(Example))
    assert [limit.value(read) for limit in limits(Example)] == ["", "x" * 200, -1]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"inner":{"customer_id":1}}', type=without_limits(Example))


def test_every_field_of_the_wire_with_the_name_of_an_identifier_is_one() -> None:
    for kind, ids in ((Record, wire_fields.IDS), (Billing, wire_fields.BILLING_IDS)):
        assert set(ids) == {name for name in kind.__struct_fields__ if name.endswith("_id")}


def test_no_field_is_of_two_kinds() -> None:
    kinds = (wire_fields.IDS, wire_fields.LABELS, wire_fields.MEASURES, wire_fields.JSON)
    assert sum(map(len, kinds)) == len(set().union(*kinds))
