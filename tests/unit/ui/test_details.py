"""A call's figures, and its payloads, which are shown in part where they are large."""

from __future__ import annotations

from llmledgerd.query.results import Payloads
from llmledgerd.ui import details
from tests.helpers.answers import call


def test_payloads_are_set_out_and_empty_ones_are_left_out() -> None:
    (shown,) = details.payloads(call(id="a&b", payloads=Payloads(b'{"a":[1]}', b"", b"")))

    assert (shown.name, shown.text, shown.is_cut) == ("request", '{\n  "a": [\n    1\n  ]\n}', False)
    assert shown.address == "/payload/request?id=a%26b"


def test_what_is_no_json_is_shown_as_it_is() -> None:
    shown = details.payloads(call(payloads=Payloads(b"<html>\xff", b"[" * 100_000, b"")))

    assert [payload.text[:7] for payload in shown] == ["<html>\ufffd", "[[[[[[["]


def test_what_is_shown_of_a_large_payload_is_bounded() -> None:
    body = b'{"text":"' + b"x" * 5_000_000 + b'"}'
    (shown,) = details.payloads(call(payloads=Payloads(body, b"", b"")))

    assert (shown.bytes, len(shown.text), shown.is_cut) == (len(body), details.SHOWN_CHARACTERS, True)


def test_what_a_call_does_not_say_is_a_dash() -> None:
    tiles = {tile.name: tile.value for tile in details.tiles(call(usage_source="unknown"))}

    assert tiles == {"cost": "-", "input": "-", "output": "-", "latency": "-", "bytes": "0 B"}
