"""Counts beside the answer: Ollama, watsonx, Aleph Alpha (Bedrock's and Vertex's have their own files)."""

from __future__ import annotations

import json

from llmledgerd.usage import Exchange, read_exchange
from tests.unit.usage.examples import columns, reply


def test_ollama_counts_at_the_root() -> None:
    answer = {
        "model": "llama-x",
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 16,
        "eval_count": 51,
    }
    facts = reply(answer)
    assert columns(facts)[:3] == (16, 51, 67)
    assert facts.usage_json == b'{"prompt_eval_count":16,"eval_count":51}'
    assert (facts.provider, facts.finish_reason) == ("ollama", "stop")


def test_a_prompt_that_ollama_had_cached_is_not_reported() -> None:
    assert columns(reply({"eval_count": 79, "done": True}))[:3] == (None, 79, 79)


def test_watsonx_counts_each_result() -> None:
    results = [{"input_token_count": 8, "generated_token_count": 11, "stop_reason": "eos_token"}]
    facts = reply({"model_id": "m/x", "results": results})
    assert columns(facts)[:3] == (8, 11, 19)
    assert (facts.model, facts.finish_reason) == ("m/x", "eos_token")


def test_aleph_alpha_counts_at_the_root() -> None:
    answer = {"model_version": "luminous-x", "num_tokens_prompt_total": 7, "num_tokens_generated": 3}
    facts = reply(answer)
    assert columns(facts)[:3] == (7, 3, 10)
    assert facts.model == "luminous-x"


def test_counts_of_a_wrong_type_are_left_out_and_said() -> None:
    facts = reply({"prompt_eval_count": "many", "eval_count": 5})
    assert (facts.prompt_tokens, facts.completion_tokens, facts.usage_source) == (None, 5, "partial")


def test_replicates_metrics_count_and_converses_do_not() -> None:
    facts = reply({"status": "succeeded", "metrics": {"input_token_count": 9, "output_token_count": 2}})
    assert columns(facts)[:3] == (9, 2, 11)
    assert reply({"stopReason": "end_turn", "metrics": {"latencyMs": 5}}).usage_json == b""


def test_llama_cpp_counts_at_the_root() -> None:
    assert columns(reply({"content": "hi", "tokens_evaluated": 9, "tokens_predicted": 2}))[:3] == (9, 2, 11)


def test_deepinfras_status_has_counts_and_cost() -> None:
    facts = reply(
        {"results": [], "inference_status": {"tokens_input": 9, "tokens_generated": 2, "cost": 0.0001}}
    )
    assert columns(facts)[:3] == (9, 2, 11)
    assert facts.cost_usd == "0.0001"


def test_cloudflares_result_is_unwrapped() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    facts = reply({"result": {"response": "hi", "usage": usage}, "success": True, "errors": []})
    assert columns(facts)[:3] == (9, 2, 11)


def test_titan_streams_name_its_output_otherwise_and_may_begin_with_a_guardrail() -> None:
    guard = {"amazon-bedrock-guardrailAction": "INTERVENED"}
    chunk = {
        "outputText": "no",
        "totalOutputTextTokenCount": 5,
        "completionReason": "FINISH",
        "inputTextTokenCount": 7,
    }
    for chunks in ([{**chunk, **guard}], [guard, chunk]):
        stream = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks)
        facts = read_exchange(Exchange(stream=stream))
        assert (facts.prompt_tokens, facts.completion_tokens, facts.usage_source) == (7, 5, "reported")


def test_replicate_names_tokens_by_what_they_are_billed_as() -> None:
    facts = reply({"status": "succeeded", "metrics": {"token_input_count": 5, "token_output_count": 6}})
    assert (facts.prompt_tokens, facts.completion_tokens, facts.usage_source) == (5, 6, "reported")
    facts = reply({"status": "succeeded", "metrics": {"image_count": 2, "predict_time": 1.0}})
    assert facts.units == {"image": 2}
    assert facts.usage_source == "reported"
