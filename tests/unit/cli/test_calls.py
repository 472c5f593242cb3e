"""The beginning of an id, and a call as JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from llmledgerd.cli.calls import chosen, json_call
from llmledgerd.query.results import Payloads
from tests.unit.cli.test_tables import call


def test_a_beginning_that_one_id_has_is_that_id() -> None:
    assert chosen("ab", ["abc", "bcd"], "call") == "abc"
    assert chosen("abc", ["abc", "abcd"], "call") == "abc", "a whole id is not ambiguous"
    assert chosen("x", ["abc"], "call") is None


def test_an_ambiguous_beginning_is_named_with_the_ids_that_have_it() -> None:
    with pytest.raises(ValueError, match=r"several calls begin with 12: 12345678-a, 12345678-b; give more"):
        chosen("12", ["12345678-a-1", "12345678-b-1"], "call")


def test_a_call_as_json_has_its_payloads_as_they_were_and_money_as_a_number() -> None:
    payloads = Payloads(b'{"n": 1.10,\n"big": 12345678901234567890123}', b"<html>", b"")
    said = json_call(msgspec.structs.replace(call(1), payloads=payloads))
    assert "\n" not in said
    assert '"cost_usd":51.123456' in said
    assert '"request":{"n": 1.10, "big": 12345678901234567890123}' in said
    found = json.loads(said)
    assert (found["response"], found["llm_config"]) == ("<html>", None)


@pytest.mark.parametrize("body", [b'{"x": NaN}', b"\xff", b'"unfinished'])
def test_what_is_no_json_is_text(body: bytes) -> None:
    said = json_call(msgspec.structs.replace(call(1), payloads=Payloads(body, b"", b"")))
    assert json.loads(said)["request"] == body.decode(errors="replace")
