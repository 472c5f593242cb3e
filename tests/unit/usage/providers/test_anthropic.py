"""Anthropic's Messages: each rule of ``anthropic``."""

from __future__ import annotations

from tests.unit.usage.examples import columns, of_usage, reply

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 3000,
    "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
    "output_tokens": 40,
    "output_tokens_details": {"thinking_tokens": 25},
    "service_tier": "standard",
}


def test_reads_and_writes_of_the_cache_are_added_to_the_input() -> None:
    assert of_usage(USAGE) == (3210, 40, 3250, 3000, 200, 25)


def test_what_is_kept_for_an_hour_is_priced_apart() -> None:
    priced = reply({"usage": USAGE}).priced[0]
    assert (priced.input, priced.cache_read, priced.cache_write, priced.cache_write_1h) == (
        3210,
        3000,
        200,
        150,
    )


def test_writes_are_taken_from_their_parts_where_the_sum_is_missing() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 7}}
    assert of_usage(usage) == (8, 1, 9, None, 7, None)


def test_a_plain_usage_reports_no_cache() -> None:
    assert of_usage({"input_tokens": 10, "output_tokens": 4}) == (10, 4, 14, None, None, None)


def test_iterations_are_summed_and_priced_each_at_its_own_model() -> None:
    usage = {
        **USAGE,
        "iterations": [
            {"type": "message", "input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 5},
            {"type": "advisor_message", "model": "claude-big", "input_tokens": 900, "output_tokens": 20},
            {"type": "message", "input_tokens": 110, "output_tokens": 30, "cache_creation_input_tokens": 3},
        ],
    }
    facts = reply({"usage": usage})
    assert columns(facts) == (1118, 60, 1178, 5, 3, 25)
    assert [(one.model, one.input, one.output) for one in facts.priced] == [
        ("", 105, 10),
        ("claude-big", 900, 20),
        ("", 113, 30),
    ]


def test_no_iterations_leave_the_top_level_counts() -> None:
    assert of_usage({**USAGE, "iterations": []})[0] == 3210
    assert of_usage({**USAGE, "iterations": None})[0] == 3210


def test_iterations_of_a_wrong_type_are_left_out_and_said() -> None:
    facts = reply({"usage": {**USAGE, "iterations": "three"}})
    assert (facts.prompt_tokens, facts.usage_source) == (3210, "partial")


def test_there_is_no_sum_to_check() -> None:
    assert reply({"usage": USAGE}).usage_check == ""


def test_a_message_tells_its_provider_tier_and_reason() -> None:
    answer = {"type": "message", "id": "msg_1", "model": "claude-x", "stop_reason": "refusal", "usage": USAGE}
    facts = reply(answer)
    assert (facts.provider, facts.service_tier, facts.finish_reason) == ("anthropic", "standard", "refusal")
    assert not facts.has_error


def test_the_batch_tier_marks_a_batch() -> None:
    assert reply({"usage": {**USAGE, "service_tier": "batch"}}).is_batch


def test_a_batchs_result_is_unwrapped() -> None:
    message = {"type": "message", "model": "claude-x", "usage": USAGE}
    facts = reply({"custom_id": "c", "result": {"type": "succeeded", "message": message}})
    assert (facts.prompt_tokens, facts.model, facts.is_batch) == (3210, "claude-x", True)


def test_a_batchs_error_is_unwrapped() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    facts = reply({"custom_id": "c", "result": {"type": "errored", "error": error}})
    assert (facts.has_error, facts.error_type, facts.error_message) == (True, "invalid_request_error", "no")
