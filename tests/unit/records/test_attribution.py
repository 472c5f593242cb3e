"""A line is somebody's in whatever way it says so, and nobody else's for want of reading."""

from __future__ import annotations

import json

import pytest

from llmledgerd.records.attribution import Person, Verdict, verdict

ACME = Person("acme")
NESTED = '{"a":' * 3000 + "1" + "}" * 3000


@pytest.mark.parametrize(
    "line",
    [
        b'{"protocol_version":4,"org_id":"acme"}',
        b'{"protocol_version":1,"org_id": "acme"}',
        rb'{"org_id":"\u0061cme"}',
        rb'{"\u006frg_id":"\u0061c\u006de"}',
        b'{"org_id":"acme","request":"caf\xe9 \xff"}',
        b'\xef\xbb\xbf{"org_id":"acme"}',
        '{"org_id":"acme"}'.encode("utf-16"),
        '{"org_id":"acme"}'.encode("utf-16-le"),
        '{"org_id":"acme"}'.encode("utf-32"),
        b'{"org_id":"other","org_id":"acme"}',
        b'{"org_id":"acme","org_id":"other"}',
        b'{"org_id":["acme"]}',
        b'{"org_id":{"id":"acme"}}',
        b'[{"org_id":"acme"}]',
        b'{"record":{"org_id":"acme"}}',
        b'{"protocol_version":4,"begin":{"org_id":"acme"}}',
        b'{"org_id":"acme","request":"not closed',
        b'{"org_id":"acme"} and more',
        b"{'org_id': 'acme'}",
        b"org_id=acme",
        rb'{"request":"{\"org_id\":\"acme\"}","x":',
        f'{{"org_id":"acme","request":{NESTED}}}'.encode(),
        b'{"org_id":"acme","n":' + b"9" * 5000 + b"}",
        b'{"org_id":"acme","s":"\ttab"}',
        b'{"org_id":"acme","s":NaN}',
        b'\x00\x01{"org_id":"acme"}\x02',
    ],
)
def test_a_line_is_theirs_however_it_says_so(line: bytes) -> None:
    assert verdict(ACME, line) is Verdict.YES


@pytest.mark.parametrize(
    "line",
    [
        b'{"org_id":"other","request":{"org_id":"acme"}}',
        b'{"org_id":"acme2"}',
        b'{"org_id":"ACME"}',
        b'{"org_id":"other","request":"org_id: acme"}',
        b'{"request":1}',
        b'{"org_id":"other","request":"not closed',
        b'{"protocol_version":4,"begin":{"org_id":"other"},"request":{"org_id":"acme"}}',
    ],
)
def test_a_line_of_others_is_left_alone(line: bytes) -> None:
    assert verdict(ACME, line) is Verdict.NO


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"org_id":"acme","request":"begins', Verdict.YES),
        (rb'{"protocol_version":4,"\u006frg_id":"\u0061cme","request":"begins', Verdict.YES),
        (b'{"request":{"org_id":"other","a":"begins', Verdict.UNKNOWN),
        (b'{"request":"begins', Verdict.UNKNOWN),
        (b'{"org_id":"other","request":"begins', Verdict.NO),
        (b"", Verdict.UNKNOWN),
    ],
)
def test_of_a_line_that_was_cut_off_what_is_missing_is_not_known(line: bytes, expected: Verdict) -> None:
    assert verdict(ACME, line, cut=True) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user_id": "u-1", "billing": {"customer_id": "c-1"}}, Verdict.YES),
        ({"user_id": "u-1", "billing": {"customer_id": "c-2"}}, Verdict.NO),
        ({"user_id": "u-2", "billing": {"customer_id": "c-1"}}, Verdict.NO),
        ({"user_id": "u-1"}, Verdict.NO),
    ],
)
def test_a_user_and_a_customer_narrow(fields: dict[str, object], expected: Verdict) -> None:
    line = json.dumps({"org_id": "acme", **fields}).encode()
    assert verdict(Person("acme", "c-1", "u-1"), line) is expected


def test_a_name_in_another_encoding_is_read() -> None:
    assert verdict(Person("café"), '{"org_id":"café"}'.encode("latin-1")) is Verdict.YES
    assert verdict(Person("café"), rb'{"org_id":"caf\u00e9"}') is Verdict.YES
    assert verdict(Person(""), b'{"request":1}') is Verdict.YES
