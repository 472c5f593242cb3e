"""Generated calls look like a provider's, are marked, and come out the same again."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from llmledger.protocol import Record
from llmledgerd.cli import demo_calls, demo_formats
from llmledgerd.conversations import Identity, identity_of, parts, read_answer, read_request
from llmledgerd.records import parsing

END_US = 1_790_000_000_000_000


def made(**own: object) -> list[tuple[demo_formats.Body, int]]:
    given = {"calls": 600, "days": 3.0, "end_us": END_US, **own}
    return list(demo_calls.calls(msgspec.convert(given, demo_calls.Traffic)))


def test_as_many_calls_as_asked_for_each_of_them_a_record_of_the_wire() -> None:
    lines = [msgspec.json.encode(body) for body, _ in made(calls=601)]

    assert len(lines) == 601
    assert all(isinstance(parsing.parse(line), Record) for line in lines)


def test_every_call_carries_the_mark_and_an_id_of_its_own() -> None:
    bodies = [body for body, _ in made()]

    assert {body["source"] for body in bodies} == {demo_calls.MARK}
    assert len({body["provider_trace_id"] for body in bodies}) == len(bodies)


def test_no_call_says_what_it_costs() -> None:
    assert not any("cost" in name for body, _ in made() for name in (*body, *body.get("response", {})))


def test_the_same_seed_makes_the_same_calls_and_another_makes_others() -> None:
    assert made(seed=1) == made(seed=1) != made(seed=2)


@pytest.mark.parametrize("calls", [1, 11, 12, 13])
def test_calls_lie_within_the_days_asked_for(calls: int) -> None:
    times = [body["timestamp"] for body, _ in made(calls=calls, days=1.0)]

    assert max(times) <= "2026-09-21T14:13:20"
    assert min(times) >= "2026-09-20T14:13:20"


def test_organizations_may_be_named_and_the_first_has_the_most_calls() -> None:
    found = [body["org_id"] for body, _ in made(organizations=("acme", "other"))]

    assert set(found) == {"acme", "other"}
    assert found.count("acme") > found.count("other")


def test_calls_end_well_badly_and_early() -> None:
    assert {(body["status_code"], body.get("outcome", "ok")) for body, _ in made()} == {
        (200, "ok"), (200, "cancelled"), (429, "ok"), (500, "ok"),
    }  # fmt: skip


def test_the_calls_of_a_run_are_one_conversation_in_which_each_continues_the_last_that_was_answered() -> None:
    before: dict[str, Identity] = {}
    for body, _ in made():
        request, response = msgspec.json.encode(body["request"]), msgspec.json.encode(body.get("response"))
        found = identity_of(read_request(request), read_answer(response), body["org_id"])
        last = before.get(body["run_id"])
        if last is not None:
            assert (found.conversation_id, found.parent_turn_id) == (last.conversation_id, last.turn_id)
        if body.get("response", {}).get("error") is None and "response" in body:
            before[body["run_id"]] = found


def test_each_call_of_a_tool_is_answered_in_the_request_after_it_in_every_format() -> None:
    asked: dict[str, set[str]] = {}
    answered: dict[str, set[str]] = {}
    for body, _ in made():
        for part in read_answer(msgspec.json.encode(body.get("response"))).parts:
            if part.kind == parts.CALL:
                asked.setdefault(body["provider"], set()).add(msgspec.json.encode(part.value).decode())
        sent = read_request(msgspec.json.encode(body["request"])).messages
        for call, result in pairwise(sent):
            if call.kind == parts.CALL:
                assert (result.kind, result.id) == (parts.RESULT, call.id)
                answered.setdefault(body["provider"], set()).add(msgspec.json.encode(call.value).decode())

    assert set(asked) >= {"openai", "anthropic", "google"}
    assert all(answered[provider] <= asked[provider] for provider in asked)
    assert all(len(answered[provider]) > 0.8 * len(asked[provider]) for provider in asked)
