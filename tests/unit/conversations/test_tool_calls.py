"""A call of a tool and its result have the same key, whatever an API gives them for an id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.conversations import ToolCalls, identity_of, read_answer, read_request, tool_calls_of
from llmledgerd.conversations.cache_misses import Counts
from llmledgerd.conversations.prompt import prompt_of
from llmledgerd.conversations.token_families import family_of
from llmledgerd.conversations.tool_calls import LONGEST_ID, LONGEST_NAME, MOST_CALLS, MOST_TOOLS
from llmledgerd.conversations.tool_errors import API_ERROR, NO_ERROR, TEXT_ERROR

MODEL = "gpt-4o"
CALL_ID = "call_Aq3sX9Lk2mPz81TtQwErTyUi"


def read(
    request: Any, answer: Any = None, *, org: str = "org", tokens: int = 0, is_whole: bool = True
) -> ToolCalls:
    asked, answered = read_request(json.dumps(request).encode()), read_answer(json.dumps(answer).encode())
    identity = identity_of(asked, answered, org)
    prompt = prompt_of(asked, org, Counts(tokens, None, None), provider="", model=MODEL)
    return tool_calls_of(
        asked,
        answered,
        organization=org,
        identity=identity,
        family=family_of("", MODEL),
        scale=prompt.scale,
        is_whole=is_whole,
    )


def called(own_id: str, name: str = "search", arguments: str = '{"q": 1}') -> dict[str, Any]:
    return {"id": own_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Find it."}, *messages]}


def said(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def answered(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "message": said(*calls)}]}


def result(own_id: str, text: str = "found") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": own_id, "content": text}


@pytest.mark.parametrize("ids", [(CALL_ID, CALL_ID + "2"), ("call_0", "call_1"), ("", "")])
def test_parallel_calls_and_their_results_have_the_same_keys(ids: tuple[str, str]) -> None:
    calls = called(ids[0]), called(ids[1], arguments='{"q": 2}')
    asked = read(chat(), answered(*calls)).asked
    brought = read(chat(said(*calls), result(ids[0]), result(ids[1], "Error: no"))).brought

    assert [one[0] for one in asked] == [one[0] for one in brought]
    assert len({one[0] for one in asked}) == 2
    assert [(size, error) for _, size, error in brought] == [(5, NO_ERROR), (9, TEXT_ERROR)]


def test_ids_that_a_server_counts_are_another_call_in_each_step() -> None:
    first, second = called("call_0"), called("call_0", arguments='{"q": 2}')
    one = read(chat(), answered(first)).asked
    history = chat(said(first), result("call_0"))
    two = read(history, answered(second)).asked
    both = read({**history, "messages": [*history["messages"], said(second), result("call_0")]})

    assert one[0][0] != two[0][0]
    assert both.brought == ((two[0][0], 5, NO_ERROR),), "only what is new"


def test_an_organization_s_keys_are_its_own() -> None:
    mine, other = (read(chat(), answered(called(CALL_ID)), org=org).asked[0] for org in ("mine", "other"))
    assert mine[0] != other[0]
    assert mine[3] != other[3], "nor can arguments be compared"


def test_equal_arguments_have_equal_hashes_however_they_are_spelled() -> None:
    first = read(chat(), answered(called(CALL_ID, arguments='{"a":1,"b":2}'))).asked[0]
    second = read(chat(), answered(called(CALL_ID, arguments='{"b": 2.0, "a": 1}'))).asked[0]
    assert first[3:] == second[3:]


def test_an_answer_that_the_request_has_begun_hides_no_result() -> None:
    begun = {"role": "assistant", "content": "{"}
    assert len(read(chat(said(called(CALL_ID)), result(CALL_ID), begun)).brought) == 1


def test_a_user_who_speaks_behind_results_hides_none() -> None:
    user = {"role": "user", "content": "Go on."}
    assert len(read(chat(said(called(CALL_ID)), result(CALL_ID), user)).brought) == 1


def test_results_beside_their_calls_are_new_as_one_answer_may_have_asked_for_them() -> None:
    items: list[dict[str, Any]] = [{"role": "user", "content": "Find it."}]
    for number in range(3):
        own = f"{CALL_ID}{number}"
        items.append({"type": "function_call", "call_id": own, "name": "search", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": own, "output": "found"})
    assert len(read({"model": "m", "input": items}).brought) == 3


def test_results_are_found_without_the_history_that_the_provider_keeps() -> None:
    asked = read(
        {"model": "m", "input": "Find it."},
        {
            "id": "resp_1",
            "output": [{"type": "function_call", "call_id": CALL_ID, "name": "f", "arguments": "{}"}],
        },
    ).asked
    output = {"type": "function_call_output", "call_id": CALL_ID, "output": "found"}
    brought = read({"model": "m", "previous_response_id": "resp_1", "input": [output]}).brought

    assert [one[0] for one in asked] == [one[0] for one in brought]


def test_results_of_apis_without_ids_answer_the_calls_of_their_name_in_order() -> None:
    def part(name: str, number: int) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {"q": number}}}

    def response(name: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"result": "found"}}}

    user = {"role": "user", "parts": [{"text": "Find it."}]}
    model = {"role": "model", "parts": [part("a", 1), part("b", 2), part("a", 3)]}
    asked = read({"contents": [user]}, {"candidates": [{"content": model}]}).asked
    responses = {"role": "user", "parts": [response("a"), response("a"), response("b")]}
    brought = read({"contents": [user, model, responses]}).brought

    assert [one[1] for one in asked] == ["a#0", "b#0", "a#1"]
    assert [one[0] for one in brought] == [asked[0][0], asked[2][0], asked[1][0]]


@pytest.mark.parametrize(("is_error", "expected"), [(True, API_ERROR), (False, NO_ERROR)])
def test_what_the_api_says_of_a_result_comes_before_its_text(is_error: bool, expected: int) -> None:
    content = {"type": "tool_result", "tool_use_id": CALL_ID, "content": "Error: no", "is_error": is_error}
    use = {"type": "tool_use", "id": CALL_ID, "name": "f", "input": {}}
    messages = [
        {"role": "user", "content": "Find it."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [content]},
    ]
    assert read({"model": "m", "max_tokens": 1, "messages": messages}).brought[0][2] == expected


def test_a_call_that_was_cut_off_was_asked_of_nobody() -> None:
    cut = answered(called(CALL_ID, arguments='{"q": "unfin'))
    assert read(chat(), cut, is_whole=False).asked == ()
    assert len(read(chat(), cut).asked) == 1, "the model itself wrote what is no JSON"


def test_tokens_of_results_are_estimated_by_tool_and_add_up_to_those_of_all_results() -> None:
    prose = "The parcel left the warehouse on Monday and the customer has signed for it. " * 8
    digest = "7f3c9a5211d04be19f0e5d2c8a7b6e41" * 19
    history = chat(
        said(called(CALL_ID, "search"), called(CALL_ID + "2", "read")),
        result(CALL_ID, prose),
        result(CALL_ID + "2", digest),
    )
    found = read(history, tokens=1000)
    asked = read_request(json.dumps(history).encode())
    whole = prompt_of(asked, "org", Counts(1000, None, None), provider="", model=MODEL).tokens

    assert len(prose) == len(digest)
    assert found.tokens["read"] > 2.5 * found.tokens["search"], "by o200k 476 and 121"
    assert sum(found.tokens.values()) == pytest.approx(whole[3], abs=1)
    assert read(history, tokens=0).tokens == {}


def test_an_image_in_a_result_takes_tokens_as_an_image() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
    use = {"type": "tool_use", "id": CALL_ID, "name": "look", "input": {}}
    messages = [
        {"role": "user", "content": "Find it."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": CALL_ID, "content": [image]}]},
        {"role": "assistant", "content": "Found it. " * 400},
        {"role": "user", "content": "Go on."},
    ]
    assert 0 < read({"model": MODEL, "messages": messages}, tokens=2000).tokens["look"] < 1300


def test_what_a_row_lists_is_bounded_and_can_be_stored() -> None:
    calls = [
        called(f"{CALL_ID}{number}\0" + "x" * 500, f"tool {number}\n\0" + "y" * 500) for number in range(1000)
    ]
    results = [result(f"{CALL_ID}{number}\0" + "x" * 500, "Error: " + "z" * 50) for number in range(1000)]
    found = read(chat(said(*calls), *results), answered(*calls), tokens=100_000)

    assert (len(found.asked), len(found.brought), len(found.tokens)) == (MOST_CALLS, MOST_CALLS, MOST_TOOLS)
    assert sum(found.tokens.values()) <= 100_000
    for _, own_id, name, _, _ in found.asked:
        assert (len(own_id), len(name)) == (LONGEST_ID, LONGEST_NAME)
        assert own_id.isprintable()
        assert name.isprintable()
