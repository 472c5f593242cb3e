"""Responses, transcriptions, images, Realtime, batches: each rule of ``openai_responses``."""

from __future__ import annotations

from tests.unit.usage.examples import columns, of_usage, reply

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 25},
    "total_tokens": 140,
}


def test_the_cache_is_inside_the_input() -> None:
    assert of_usage(USAGE) == (100, 40, 140, 60, 30, 25)


def test_anthropics_names_without_a_total_leave_the_cache_out() -> None:
    assert of_usage({"input_tokens": 100, "output_tokens": 40, "cache_read_input_tokens": 60})[0] == 160


def test_the_shape_decides_and_not_the_providers_name() -> None:
    assert columns(reply({"usage": USAGE}, provider="anthropic"))[0] == 100


def test_a_proxys_total_says_whether_the_cache_is_inside() -> None:
    usage = {"input_tokens": 100, "output_tokens": 40, "cache_read_input_tokens": 60}
    assert of_usage({**usage, "total_tokens": 140})[0] == 100
    assert of_usage({**usage, "total_tokens": 200})[0] == 160


def test_a_transcription_names_its_details_in_the_singular() -> None:
    usage = {
        "type": "tokens",
        "input_tokens": 37,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 37},
        "output_tokens": 145,
        "total_tokens": 182,
    }
    facts = reply({"text": "hello", "usage": usage}, url="https://api.openai.com/v1/audio/transcriptions")
    assert columns(facts)[:3] == (37, 145, 182)
    assert (facts.call_type, facts.priced[0].input_audio) == ("transcription", 37)


def test_an_images_parts_are_kept_for_its_price() -> None:
    usage = {
        "input_tokens": 50,
        "output_tokens": 4000,
        "total_tokens": 4050,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        "output_tokens_details": {"image_tokens": 4000},
    }
    priced = reply({"created": 1, "data": [{"b64_json": "aGk="}], "usage": usage}).priced[0]
    assert (priced.input_image, priced.output_image) == (40, 4000)


def test_realtimes_event_is_unwrapped() -> None:
    usage = {
        "input_tokens": 50,
        "output_tokens": 20,
        "total_tokens": 70,
        "input_token_details": {"cached_tokens": 30, "cached_tokens_details": {"audio_tokens": 12}},
    }
    facts = reply({"type": "response.done", "response": {"id": "r1", "status": "completed", "usage": usage}})
    assert columns(facts)[:4] == (50, 20, 70, 30)
    assert facts.priced[0].cache_audio_read == 12


def test_a_batchs_line_is_unwrapped_and_marked() -> None:
    body = {"model": "gpt-x", "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}}
    facts = reply(
        {"id": "b1", "custom_id": "c1", "response": {"status_code": 200, "body": body}, "error": None}
    )
    assert columns(facts)[:3] == (5, 6, 11)
    assert (facts.model, facts.is_batch, facts.has_error) == ("gpt-x", True, False)


def test_a_background_answer_that_is_queued_is_unknown_and_no_error() -> None:
    facts = reply({"object": "response", "status": "queued", "error": None, "usage": None, "output": []})
    assert (facts.usage_source, facts.has_error, facts.finish_reason) == ("unknown", False, "queued")


def test_an_incomplete_answer_says_why_and_is_no_error() -> None:
    answer = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "error": None}
    facts = reply({**answer, "usage": USAGE})
    assert (facts.finish_reason, facts.has_error) == ("max_output_tokens", False)


def test_alibabas_own_api_names_the_prompts_details() -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert of_usage({**usage, "prompt_tokens_details": {"cached_tokens": 3}})[3] == 3
