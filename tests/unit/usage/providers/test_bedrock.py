"""Bedrock: Converse, Nova, InvokeModel's headers and other models' bodies."""

from __future__ import annotations

from tests.unit.usage.examples import columns, of_usage, reply

INVOKE = "https://bedrock-runtime.us-east-1.amazonaws.com/model/some.model-v1%3A0/invoke"


def test_the_cache_is_outside_the_input_and_inside_the_total() -> None:
    usage = {
        "inputTokens": 10,
        "outputTokens": 5,
        "totalTokens": 1215,
        "cacheReadInputTokens": 1000,
        "cacheWriteInputTokens": 200,
    }
    facts = reply({"output": {}, "stopReason": "end_turn", "usage": usage})
    assert columns(facts) == (1210, 5, 1215, 1000, 200, None)
    assert (facts.usage_check, facts.provider) == ("ok", "aws")


def test_novas_own_body_names_the_cache_differently() -> None:
    usage = {
        "inputTokens": 10,
        "outputTokens": 5,
        "cacheReadInputTokenCount": 7,
        "cacheWriteInputTokenCount": 0,
    }
    assert of_usage(usage) == (17, 5, 22, 7, 0, None)


def test_counts_in_headers_alone_are_kept_under_the_streams_names() -> None:
    headers = {
        "X-Amzn-Bedrock-Input-Token-Count": "13",
        "x-amzn-bedrock-output-token-count": "21",
        "other": "1",
    }
    facts = reply({"embeddings": [[0.1]]}, url=INVOKE, headers=headers)
    assert columns(facts)[:3] == (13, 21, 34)
    assert facts.usage_json == b'{"inputTokenCount":13,"outputTokenCount":21}'
    assert (facts.model, facts.call_type) == ("some.model-v1:0", "embedding")


def test_the_bodys_own_usage_comes_before_the_headers() -> None:
    headers = {"x-amzn-bedrock-input-token-count": "999"}
    assert reply({"usage": {"input_tokens": 3, "output_tokens": 1}}, headers=headers).prompt_tokens == 3


def test_headers_that_are_no_counts_are_left_out() -> None:
    facts = reply({}, headers={"x-amzn-bedrock-input-token-count": "-5"})
    assert (facts.prompt_tokens, facts.usage_source) == (None, "unknown")


def test_llama_counts_at_the_root() -> None:
    answer = {
        "generation": "hi",
        "prompt_token_count": 26,
        "generation_token_count": 64,
        "stop_reason": "length",
    }
    facts = reply(answer)
    assert columns(facts)[:3] == (26, 64, 90)
    assert facts.usage_json == b'{"prompt_token_count":26,"generation_token_count":64}'


def test_titan_counts_each_result() -> None:
    results = [
        {"tokenCount": 5, "outputText": "a", "completionReason": "FINISH"},
        {"tokenCount": 6, "outputText": "b"},
    ]
    facts = reply({"inputTextTokenCount": 9, "results": results})
    assert columns(facts)[:3] == (9, 11, 20)
    assert facts.finish_reason == "FINISH"


def test_an_arn_in_the_path_is_the_model() -> None:
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123%3Ainference-profile%2Fx"
    facts = reply({}, url=f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{arn}/converse")
    assert facts.model == "arn:aws:bedrock:us-east-1:123:inference-profile/x"


def test_what_is_cached_for_an_hour_is_priced_apart() -> None:
    details = [{"ttl": "1h", "inputTokens": 150}, {"ttl": "5m", "inputTokens": 50}]
    usage = {"inputTokens": 10, "outputTokens": 5, "cacheWriteInputTokens": 200, "cacheDetails": details}
    priced = reply({"usage": usage}).priced[0]
    assert (priced.cache_write, priced.cache_write_1h) == (200, 150)
