"""Gemini, Vertex, Interactions: each rule of ``gemini``."""

from __future__ import annotations

from typing import Any

from tests.unit.usage.examples import columns, reply


def of_metadata(**counts: Any) -> Any:
    return columns(reply({"usageMetadata": counts}))


def test_thoughts_are_added_to_the_candidates() -> None:
    found = of_metadata(
        promptTokenCount=9, candidatesTokenCount=29, thoughtsTokenCount=258, totalTokenCount=296
    )
    assert found == (9, 287, 296, None, None, 258)


def test_thoughts_inside_the_candidates_are_not_added_again() -> None:
    found = of_metadata(
        promptTokenCount=10, candidatesTokenCount=50, thoughtsTokenCount=20, totalTokenCount=60
    )
    assert found == (10, 50, 60, None, None, 20)


def test_the_tool_use_prompt_is_input() -> None:
    found = of_metadata(
        promptTokenCount=32,
        toolUsePromptTokenCount=700,
        candidatesTokenCount=5,
        thoughtsTokenCount=3,
        totalTokenCount=740,
    )
    assert found == (732, 8, 740, None, None, 3)


def test_cached_content_is_inside_the_prompt() -> None:
    found = of_metadata(
        promptTokenCount=100, cachedContentTokenCount=80, candidatesTokenCount=5, totalTokenCount=105
    )
    assert found == (100, 5, 105, 80, None, None)


def test_thoughts_without_candidates_are_the_completion() -> None:
    found = of_metadata(promptTokenCount=10, thoughtsTokenCount=20, totalTokenCount=30)
    assert found == (10, 20, 30, None, None, 20)


def test_a_blocked_prompt_is_no_error_and_says_why() -> None:
    facts = reply(
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"trafficType": "ON_DEMAND"}}
    )
    assert (facts.has_error, facts.finish_reason, facts.usage_source) == (False, "SAFETY", "unknown")


def test_modalities_come_by_name_and_by_number() -> None:
    details = [{"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 30}]
    numbered = [{"modality": 1, "tokenCount": 5}, {"modality": 4, "tokenCount": 30}]
    for found in (details, numbered):
        usage = {"promptTokenCount": 35, "promptTokensDetails": found}
        assert reply({"usageMetadata": usage}).priced[0].input_audio == 30


def test_the_model_is_the_version() -> None:
    facts = reply(
        {"modelVersion": "gemini-x-001", "responseId": "r1", "candidates": [{"finishReason": "STOP"}]}
    )
    assert (facts.model, facts.provider_request_id) == ("gemini-x-001", "r1")
    assert (facts.provider, facts.finish_reason) == ("google", "STOP")


def test_an_interaction_adds_thoughts_and_tool_use() -> None:
    usage = {
        "total_input_tokens": 9,
        "total_output_tokens": 13,
        "total_thought_tokens": 220,
        "total_tool_use_tokens": 4,
        "total_cached_tokens": 2,
        "total_tokens": 246,
    }
    facts = reply({"object": "interaction", "status": "completed", "usage": usage})
    assert columns(facts) == (13, 233, 246, 2, None, 220)
    assert facts.usage_check == "ok"


def test_vertex_predict_counts_in_each_prediction() -> None:
    one = {"embeddings": {"values": [0.1], "statistics": {"token_count": 10, "truncated": False}}}
    facts = reply({"predictions": [one, one, {"embeddings": None}, 5]})
    assert columns(facts)[:3] == (20, None, 20)
    assert facts.usage_json == b'{"token_count":20}'


def test_an_array_of_chunks_is_read_as_the_stream_that_it_is() -> None:
    chunks = [
        {"usageMetadata": {"promptTokenCount": 5}},
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}},
    ]
    assert columns(reply(chunks))[:3] == (5, 2, 7)


def test_an_array_with_an_error_is_an_error() -> None:
    facts = reply(
        [{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}], status_code=429
    )
    assert (facts.has_error, facts.error_type, facts.error_message) == (
        True,
        "RESOURCE_EXHAUSTED",
        "slow down",
    )


def test_tokens_are_kept_by_modality() -> None:
    def listed(**counts: int) -> list[dict[str, object]]:
        return [{"modality": name.upper(), "tokenCount": found} for name, found in counts.items()]

    usage = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 50,
        "toolUsePromptTokenCount": 10,
        "totalTokenCount": 160,
        "promptTokensDetails": listed(text=1, audio=2, image=3, video=4, document=5),
        "toolUsePromptTokensDetails": listed(image=6),
        "cacheTokensDetails": listed(audio=7, image=8),
        "candidatesTokensDetails": listed(audio=9, video=11),
    }
    (priced,) = reply({"usageMetadata": usage}).priced
    assert (priced.input, priced.input_audio, priced.input_image, priced.input_video) == (110, 2, 14, 4)
    assert (priced.cache_audio_read, priced.cache_image_read) == (7, 8)
    assert (priced.output, priced.output_audio, priced.output_video) == (50, 9, 11)


def test_audio_that_gemini_live_answers_with_is_no_text() -> None:
    usage = {
        "promptTokenCount": 10,
        "responseTokenCount": 30,
        "totalTokenCount": 40,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
        "responseTokensDetails": [
            {"modality": "TEXT", "tokenCount": 5},
            {"modality": "AUDIO", "tokenCount": 25},
        ],
    }
    (priced,) = reply({"usageMetadata": usage}).priced
    assert (priced.input_audio, priced.output, priced.output_audio) == (10, 30, 25)
