"""A call's run lies in time, and its payloads are shown in part where they are large."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from llmledgerd.query.results import Payloads
from llmledgerd.ui import details
from llmledgerd.ui.queries import Run
from tests.helpers.answers import NOON, call


def test_steps_of_a_run_have_their_times_and_what_was_spent_so_far() -> None:
    calls = [
        call(id="1", latency_ms=1000, batch_row=1),
        call(id="2", created_at=NOON + timedelta(seconds=2), cost_usd=Decimal("0.5"), batch_row=2),
        call(
            id="3",
            created_at=NOON + timedelta(seconds=3),
            cost_usd=Decimal("0.25"),
            latency_ms=1000,
            batch_row=3,
        ),
    ]
    steps = details.steps(calls)

    assert [(step.after_ms, step.left, step.so_far) for step in steps] == [
        (0, 0, None),
        (2000, 50, Decimal("0.5")),
        (3000, 75, Decimal("0.75")),
    ]
    assert [step.width for step in steps] == [25, 0.5, 25]
    assert details.lasted_ms(calls) == 4000
    assert Run(calls).place(calls[1]) == 1
    assert Run(calls[:1]).place(calls[1]) is None


def test_a_run_of_no_length_has_its_steps() -> None:
    (step,) = details.steps([call()])

    assert 0 <= step.left < step.left + step.width <= 100


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


def test_a_long_run_lists_some_steps_with_the_numbers_and_costs_of_the_whole() -> None:
    calls = [
        call(id=str(n), cost_usd=Decimal(1), created_at=NOON + timedelta(seconds=n)) for n in range(3_000)
    ]

    listed = details.steps(calls, older_calls=7_000, older_cost=Decimal(10_000))

    assert (listed[0].number, listed[-1].number) == (7_001, 10_000)
    assert (listed[0].so_far, listed[-1].so_far) == (Decimal(10_001), Decimal(13_000))
    for place, numbers in (
        (0, (7_001, 7_500)),
        (1_500, (8_251, 8_750)),
        (2_999, (9_501, 10_000)),
        (None, (9_501, 10_000)),
    ):
        shown = details.around(listed, place)
        assert (shown[0].number, shown[-1].number) == numbers
