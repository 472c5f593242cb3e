"""Errors of every provider: the order in which type and message are looked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.usage.examples import reply, stream


def failed(answer: Any, status_code: int = 400, **rest: Any) -> tuple[bool, str, str]:
    facts = reply(answer, status_code=status_code, **rest)
    return facts.has_error, facts.error_type, facts.error_message


def test_an_error_of_null_is_a_success() -> None:
    assert failed({"error": None, "object": "response", "message": "fine"}, 200) == (False, "", "")


@pytest.mark.parametrize("error", [{}, "", False, 0, []])
def test_an_error_that_says_nothing_is_a_success(error: Any) -> None:
    assert failed({"error": error}, 200) == (False, "", "")


def test_an_error_inside_http_200_is_one() -> None:
    error = {"message": "filtered", "type": None, "code": "content_filter", "status": 400}
    assert failed({"error": error}, 200) == (True, "content_filter", "filtered")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ({"error": {"type": "t", "code": "c", "message": "m"}}, "t", "m"),
        ({"error": {"type": None, "code": "c", "message": "m"}}, "c", "m"),
        ({"error": {"code": 404, "status": "NOT_FOUND", "message": "m"}}, "NOT_FOUND", "m"),
        ({"error": {"code": 404, "message": "m"}}, "404", "m"),
        ({"error": "m", "code": "c"}, "c", "m"),
        ({"error_type": "top", "error": {"type": "t", "message": "m"}}, "top", "m"),
        ({"__type": "X", "message": "m"}, "X", "m"),
        ({"object": "error", "type": "t", "code": 3001, "message": "m"}, "t", "m"),
        ({"detail": "m"}, "", "m"),
        ({"detail": [{"msg": "m"}]}, "", '[{"msg":"m"}]'),
        ({"Message": "m"}, "", "m"),
        ({"error": {"error": "m"}}, "", "m"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_type_and_message_are_found_in_this_order(answer: Any, kind: str, message: str) -> None:
    _, found_kind, found_message = failed(answer)
    assert (found_kind, found_message) == (kind, message)


def test_overloaded_and_rate_limited_are_told_apart() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    limited = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    assert failed(overloaded, 529)[1] == "overloaded_error"
    assert failed(limited, 429)[1] == "rate_limit_error"


def test_amazons_type_stands_in_a_header() -> None:
    headers = {"X-Amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/"}
    assert failed({"message": "slow down"}, 429, headers=headers)[1:] == ("ThrottlingException", "slow down")


def test_a_message_in_a_success_is_no_error_message() -> None:
    assert failed({"message": {"role": "assistant", "content": "hi"}}, 200) == (False, "", "")


def test_an_answer_that_is_no_json_leaves_the_status_to_speak() -> None:
    facts = reply("<html>Bad Gateway</html>", status_code=502)
    assert (facts.error_type, facts.error_message) == ("", "")


def test_an_error_in_the_middle_of_a_stream_is_one() -> None:
    text = 'data: {"choices":[]}\n\nevent: error\ndata: {"error":{"type":"server_error","message":"m"}}\n\n'
    facts = stream(text)
    assert (facts.has_error, facts.error_type, facts.error_message) == (True, "server_error", "m")


def test_anthropics_error_event_is_an_error() -> None:
    event = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    facts = stream(f'data: {{"type":"message_start","message":{{}}}}\n\nevent: error\ndata: {event}\n\n')
    assert (facts.error_type, facts.error_message) == ("overloaded_error", "Overloaded")


def test_bedrocks_exception_event_is_an_error_of_its_name() -> None:
    text = 'event: messageStart\ndata: {"role":"assistant"}\n\nevent: throttlingException\ndata: {"message":"m"}\n\n'
    facts = stream(text)
    assert (facts.has_error, facts.error_type, facts.error_message) == (True, "throttlingException", "m")


def test_responses_flat_error_event_is_an_error_of_its_code() -> None:
    created = '{"type":"response.created","response":{"model":"m","error":null}}'
    event = '{"type":"error","code":"server_error","message":"m","param":null}'
    facts = stream(f"data: {created}\n\ndata: {event}\n\n")
    assert (facts.has_error, facts.error_type, facts.error_message) == (True, "server_error", "m")


def test_an_error_reply_to_a_streamed_request_is_read_as_the_answer_that_it_is() -> None:
    facts = stream('{\n "error": {\n  "type": "t", "message": "m"}\n}', status_code=400)
    assert (facts.error_type, facts.error_message, facts.stream_complete) == ("t", "m", True)
    assert facts.response == b'{"error":{"type":"t","message":"m"}}'


def test_some_hide_an_error_in_a_status_of_200() -> None:
    assert failed({"base_resp": {"status_code": 1004, "status_msg": "bad key"}}, 200) == (
        True,
        "1004",
        "bad key",
    )
    assert failed({"base_resp": {"status_code": 0, "status_msg": ""}, "choices": []}, 200) == (False, "", "")
    assert failed({"error_code": 110, "error_msg": "expired"}, 200) == (True, "110", "expired")
    assert failed({"error_code": 0, "error_msg": ""}, 200) == (False, "", "")
