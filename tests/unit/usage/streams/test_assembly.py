"""Streams made whole: the object that a call without streaming would have returned."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from llmledgerd.usage import Exchange, read_exchange
from llmledgerd.usage.decode import join
from llmledgerd.usage.streams import coalesce
from llmledgerd.usage.streams.assembly import assemble
from llmledgerd.usage.streams.sse import Events
from tests.unit.usage.examples import (
    CHAT_USAGE,
    STREAMS,
    WORDS,
    chat_chunk,
    chat_stream,
    columns,
    data_events,
    gemini_chunk,
    lines,
    message_stream,
    named_events,
    response_stream,
    stream,
    typed_events,
    whole,
)

TEXT = "".join(WORDS)


@pytest.mark.parametrize("kind", STREAMS)
def test_every_kind_says_all_its_words_and_its_usage(kind: str) -> None:
    facts = stream(STREAMS[kind])
    assert TEXT in json.dumps(json.loads(facts.response), ensure_ascii=False)
    assert (facts.prompt_tokens or 0) >= 10
    assert (facts.usage_source, facts.is_stream, facts.stream_complete) == ("reported", True, True)
    assert facts.finish_reason in ("stop", "STOP", "end_turn", "completed", "COMPLETE", "tool_calls")


@pytest.mark.parametrize("kind", STREAMS)
def test_runs_of_text_read_at_once_or_one_by_one_come_to_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = assemble(STREAMS[kind])
    monkeypatch.setattr(coalesce.Runs, "shortened", _one_by_one)
    one_by_one = assemble(STREAMS[kind])
    assert json.loads(join(at_once.response)) == json.loads(join(one_by_one.response))
    assert (at_once.complete, at_once.usage_is_final) == (one_by_one.complete, one_by_one.usage_is_final)


def _one_by_one(_: coalesce.Runs, events: Events, read: Any = None) -> list[Any]:
    return [(read or events.value)(position) for position in range(len(events.data))]


def test_a_usage_in_every_chunk_is_no_hindrance_to_reading_runs_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usages = [{"prompt_tokens": 5, "completion_tokens": number} for number in range(len(WORDS))]
    chunks = [chat_chunk({"content": word}, usage=usage) for word, usage in zip(WORDS, usages, strict=True)]
    cut = data_events(*chunks)
    assert (stream(cut).completion_tokens, stream(cut).usage_source) == (len(WORDS) - 1, "partial")
    at_once = whole(cut)
    monkeypatch.setattr(coalesce.Runs, "shortened", _one_by_one)
    assert whole(cut) == at_once


def test_runs_are_what_is_read_at_once() -> None:
    class Counting(coalesce.Runs):
        singles = 0

        def shortened(self, events: Events, read: Any = None) -> list[Any]:
            def counted(position: int) -> Any:
                self.singles += 1
                return events.value(position)

            return super().shortened(events, counted)

    shape = coalesce.strict("Event", coalesce.text_field("text"))
    counting = Counting((shape, lambda found: {"text": "".join([one.piece for one in found])}))
    events = Events([f'{{"text":"{number}"}}' for number in range(100)])
    assert "".join(one["text"] for one in counting.shortened(events)) == "".join(map(str, range(100)))
    assert counting.singles == coalesce.FIRST + coalesce.LAST


def test_chat_becomes_a_completion() -> None:
    answer = whole(chat_stream(WORDS, usage=CHAT_USAGE))
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-x",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"},
        ],
        "usage": CHAT_USAGE,
    }


def test_a_tool_calls_arguments_are_joined_whether_many_or_few() -> None:
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    second = {"index": 1, "id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    pieces = ['{"ci', 'ty"', ': "', *WORDS, '"}']
    text = data_events(
        chat_chunk({"role": "assistant", "content": None, "tool_calls": [start]}),
        *(chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces),
        chat_chunk({"tool_calls": [second]}),
        chat_chunk({}, "tool_calls"),
        done=True,
    )
    message = whole(text)["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["call_1", "call_2"]
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": "".join(pieces)}
    assert "index" not in message["tool_calls"][0]
    assert message["content"] is None


def test_calls_under_one_index_with_ids_of_their_own_are_two() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    text = data_events(*(chat_chunk({"tool_calls": [call]}) for call in calls), done=True)
    assert len(whole(text)["choices"][0]["message"]["tool_calls"]) == 2


def test_names_that_every_chunk_repeats_are_kept_once() -> None:
    deltas = [{"role": "assistant", "channel": "final", "content": word} for word in WORDS]
    message = whole(data_events(*map(chat_chunk, deltas), done=True))["choices"][0]["message"]
    assert message == {"role": "assistant", "channel": "final", "content": TEXT}


def test_several_choices_are_kept_apart() -> None:
    chunks = []
    for number, word in enumerate(WORDS * 2):
        chunk = chat_chunk({"content": word})
        chunk["choices"][0]["index"] = number % 2
        chunks.append(chunk)
    choices = whole(data_events(*chunks, done=True))["choices"]
    assert [choice["message"]["content"] for choice in choices] == [
        "".join((WORDS * 2)[0::2]),
        "".join((WORDS * 2)[1::2]),
    ]


def test_reasoning_stands_beside_the_content() -> None:
    thoughts = [chat_chunk({"content": None, "reasoning_content": word}) for word in WORDS]
    said = [chat_chunk({"content": word, "reasoning_content": None}) for word in WORDS]
    message = whole(data_events(*thoughts, *said, done=True))["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (TEXT, TEXT)


def test_a_text_that_turns_into_parts_becomes_a_part() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    more = {"type": "thinking", "thinking": [{"type": "text", "text": "m"}], "closed": True}
    deltas: list[Any] = [
        {"content": "a"},
        {"content": "b"},
        {"content": [thought]},
        {"content": [more]},
        {"content": "c"},
    ]
    message = whole(data_events(*map(chat_chunk, deltas), done=True))["choices"][0]["message"]
    assert message["content"] == [
        {"type": "text", "text": "ab"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}], "closed": True},
        {"type": "text", "text": "c"},
    ]


def test_the_last_usage_counts_and_is_never_added() -> None:
    repeated = [
        chat_chunk({"content": word}, usage={"prompt_tokens": 5, "completion_tokens": n})
        for n, word in enumerate(WORDS)
    ]
    facts = stream(
        data_events(
            *repeated, chat_chunk({}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 99}), done=True
        )
    )
    assert columns(facts)[:3] == (5, 99, 104)


def test_a_usage_of_null_behind_the_real_one_changes_nothing() -> None:
    text = chat_stream(WORDS, usage=CHAT_USAGE, done=False) + data_events(chat_chunk(usage=None), done=True)
    assert columns(stream(text))[:3] == (10, 40, 50)


def test_groqs_usage_is_read_where_it_stands() -> None:
    text = data_events(
        chat_chunk({"content": "a"}),
        chat_chunk({}, "stop", x_groq={"id": "r", "usage": CHAT_USAGE}),
        done=True,
    )
    assert columns(stream(text))[:3] == (10, 40, 50)


def test_an_empty_model_gives_way_to_the_first_that_is_named() -> None:
    text = data_events(chat_chunk({"content": "a"}, model=""), chat_chunk({"content": "b"}), done=True)
    assert stream(text).model == "gpt-x"


def test_azures_filter_results_are_kept_and_not_joined() -> None:
    results = {"hate": {"filtered": False, "severity": "safe"}}
    chunks = []
    for word in WORDS:
        chunk = chat_chunk({"content": word})
        chunk["choices"][0]["content_filter_results"] = results
        chunks.append(chunk)
    choice = whole(data_events(*chunks, done=True))["choices"][0]
    assert choice["content_filter_results"] == results


def test_log_probabilities_are_put_one_behind_the_other() -> None:
    chunks = []
    for number in range(3):
        chunk = chat_chunk({"content": "a"})
        chunk["choices"][0]["logprobs"] = {
            "content": [{"token": "a", "logprob": -0.5 - number}],
            "refusal": None,
        }
        chunks.append(chunk)
    logprobs = whole(data_events(*chunks, done=True))["choices"][0]["logprobs"]
    assert [one["logprob"] for one in logprobs["content"]] == [-0.5, -1.5, -2.5]


def test_completions_join_their_text() -> None:
    chunks = [
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "model": "m",
            "choices": [{"index": 0, "text": word, "logprobs": None}],
        }
        for word in WORDS
    ]
    answer = whole(data_events(*chunks, done=True))
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", TEXT)


def test_messages_become_a_message() -> None:
    answer = whole(message_stream(WORDS))
    assert answer["content"] == [{"type": "text", "text": TEXT}]
    assert answer["stop_reason"] == "end_turn"
    assert answer["usage"] == {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 40}


def test_a_deltas_usage_is_laid_over_the_starts_where_it_is_not_null() -> None:
    revised = {"input_tokens": 12, "cache_read_input_tokens": None, "output_tokens": 41}
    text = message_stream(WORDS, stop=False) + typed_events(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": revised},
        {"type": "message_stop"},
    )
    assert columns(stream(text)) == (17, 41, 58, 5, None, None)


def test_a_tools_input_is_the_json_of_its_pieces() -> None:
    pieces = ["", '{"city": "', *WORDS, '", "n": 1.50}']
    block = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    delta = [
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": piece},
        }
        for piece in pieces
    ]
    text = message_stream(WORDS, stop=False) + typed_events(
        {"type": "content_block_start", "index": 1, "content_block": block}, *delta
    )
    content = whole(text)["content"]
    assert content[1] == {
        "type": "tool_use",
        "id": "t1",
        "name": "weather",
        "input": {"city": TEXT, "n": 1.5},
    }


def test_a_tools_input_that_was_cut_stays_text() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '{"ci'},
    }
    text = typed_events({"type": "content_block_start", "index": 0, "content_block": block}, delta)
    assert whole(text)["content"][0]["input"] == '{"ci'


def test_thinking_signatures_and_citations_are_kept() -> None:
    deltas = [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "abc"},
        {"type": "citations_delta", "citation": {"url": "u"}},
    ]
    block = {"type": "thinking", "thinking": "", "signature": ""}
    text = typed_events(
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
    )
    assert whole(text)["content"] == [
        {"type": "thinking", "thinking": "hmm", "signature": "abc", "citations": [{"url": "u"}]}
    ]


def test_responses_are_the_terminal_events_own() -> None:
    answer = whole(response_stream(WORDS))
    assert answer["output"][0]["content"][0]["text"] == TEXT
    assert answer["status"] == "completed"


def test_responses_whose_end_repeats_no_output_are_filled_from_the_deltas() -> None:
    answer = whole(response_stream(WORDS, repeats_output=False))
    assert answer["output"] == whole(response_stream(WORDS))["output"]


def test_a_failed_response_is_an_error_and_has_its_usage() -> None:
    response = {
        "status": "failed",
        "error": {"code": "server_error", "message": "m"},
        "usage": {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3},
    }
    facts = stream(typed_events({"type": "response.failed", "response": response}))
    assert (facts.has_error, facts.error_type, facts.prompt_tokens) == (True, "server_error", 3)


def test_geminis_last_usage_counts_alone_even_where_it_drops_counts() -> None:
    chunks = [gemini_chunk("a", count=5), gemini_chunk("b", count=9, finish="STOP")]
    del chunks[1]["usageMetadata"]["candidatesTokenCount"]
    facts = stream(data_events(*chunks))
    assert (facts.completion_tokens, facts.total_tokens) == (None, 19)


def test_geminis_thoughts_and_calls_stay_parts_of_their_own() -> None:
    parts: list[Any] = [
        {"text": "h", "thought": True},
        {"text": "m", "thought": True},
        {"text": "a"},
        {"text": "b"},
        {"text": "", "thoughtSignature": "s"},
        {"functionCall": {"name": "f", "args": {"n": 1}}},
    ]
    chunks = [{"candidates": [{"content": {"parts": [part], "role": "model"}}]} for part in parts]
    assert whole(data_events(*chunks))["candidates"][0]["content"]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "ab"},
        {"text": "", "thoughtSignature": "s"},
        {"functionCall": {"name": "f", "args": {"n": 1}}},
    ]


def test_converse_becomes_an_output_message() -> None:
    answer = whole(STREAMS["converse"])
    assert answer["output"] == {"message": {"role": "assistant", "content": [{"text": TEXT}]}}
    assert (answer["stopReason"], answer["metrics"]) == ("end_turn", {"latencyMs": 5})


def test_converses_tools_and_reasoning_are_joined() -> None:
    def delta(index: int, what: Any) -> tuple[str, Any]:
        return "contentBlockDelta", {"contentBlockIndex": index, "delta": what}

    text = named_events(
        delta(0, {"reasoningContent": {"text": "h"}}),
        delta(0, {"reasoningContent": {"text": "m"}}),
        delta(0, {"reasoningContent": {"signature": "s"}}),
        (
            "contentBlockStart",
            {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}},
        ),
        delta(1, {"toolUse": {"input": '{"a":'}}),
        delta(1, {"toolUse": {"input": "1}"}}),
    )
    assert whole(text)["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
    ]


def test_novas_chunks_are_converses_events_under_their_names() -> None:
    chunks: list[tuple[str, Any]] = [
        ("chunk", {"messageStart": {"role": "assistant"}}),
        ("chunk", {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "hi"}}}),
        ("chunk", {"messageStop": {"stopReason": "end_turn"}}),
        (
            "chunk",
            {
                "metadata": {"usage": {"inputTokens": 5, "outputTokens": 1}},
                "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5},
            },
        ),
    ]
    facts = stream(named_events(*chunks))
    assert (facts.prompt_tokens, facts.finish_reason, facts.stream_complete) == (5, "end_turn", True)


def test_other_models_chunks_are_one_object_and_metrics_count() -> None:
    metrics = {"inputTokenCount": 10, "outputTokenCount": 60, "invocationLatency": 5}
    chunks: list[tuple[str, Any]] = [
        *(("chunk", {"generation": word, "prompt_token_count": None, "stop_reason": None}) for word in WORDS),
        ("chunk", {"generation": "", "stop_reason": "length", "amazon-bedrock-invocationMetrics": metrics}),
    ]
    facts = stream(named_events(*chunks))
    assert columns(facts)[:3] == (10, 60, 70)
    assert json.loads(facts.response)["generation"] == TEXT


def test_chunks_that_were_left_packed_are_unpacked() -> None:
    chunks = [
        {"generation": "hi"},
        {"generation": " you", "prompt_token_count": 3, "generation_token_count": 2},
    ]
    packed = [("chunk", {"bytes": b64encode(json.dumps(chunk).encode()).decode()}) for chunk in chunks]
    assert whole(named_events(*packed))["generation"] == "hi you"
    assert columns(stream(named_events(*packed, ("chunk", {"bytes": "?"}))))[:3] == (3, 2, 5)


def test_anthropics_own_usage_comes_before_bedrocks_metrics() -> None:
    text = message_stream(WORDS, stop=False) + typed_events(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
        {
            "type": "message_stop",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 33},
        },
    )
    assert stream(text).completion_tokens == 40


def test_cohere_2_joins_plan_calls_and_citations() -> None:
    def event(kind: str, index: int, message: Any) -> dict[str, Any]:
        return {"type": kind, "index": index, "delta": {"message": message}}

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    text = typed_events(
        {
            "type": "message-start",
            "id": "x",
            "delta": {"message": {"role": "assistant", "content": [], "tool_plan": ""}},
        },
        event("tool-plan-delta", 0, {"tool_plan": "I "}),
        event("tool-plan-delta", 0, {"tool_plan": "will"}),
        event("tool-call-start", 0, {"tool_calls": call}),
        event("tool-call-delta", 0, {"tool_calls": {"function": {"arguments": "{}"}}}),
        event("citation-start", 0, {"citations": {"start": 0, "end": 1, "text": "I"}}),
    )
    message = whole(text)["message"]
    assert message["tool_plan"] == "I will"
    assert message["tool_calls"] == [{**call, "function": {"name": "f", "arguments": "{}"}}]
    assert message["citations"] == [{"start": 0, "end": 1, "text": "I"}]


def test_cohere_1_is_its_last_events_response() -> None:
    end = {
        "text": "hi",
        "meta": {"tokens": {"input_tokens": 3.0, "output_tokens": 1.0}},
        "finish_reason": "COMPLETE",
    }
    text = lines(
        {"is_finished": False, "event_type": "stream-start", "generation_id": "g"},
        {"is_finished": False, "event_type": "text-generation", "text": "hi"},
        {"is_finished": True, "event_type": "stream-end", "response": end},
    )
    assert whole(text) == end
    assert columns(stream(text))[:3] == (3, 1, 4)


def test_ollamas_thinking_and_calls_are_kept() -> None:
    call = {"function": {"name": "f", "arguments": {"n": 1}}}
    text = lines(
        *(
            {
                "model": "m",
                "created_at": "t",
                "message": {"role": "assistant", "content": "", "thinking": word},
                "done": False,
            }
            for word in WORDS
        ),
        {
            "model": "m",
            "created_at": "t",
            "message": {"role": "assistant", "content": "", "tool_calls": [call]},
            "done": False,
        },
        {
            "model": "m",
            "created_at": "t",
            "message": {"role": "assistant", "content": "hi"},
            "done": True,
            "eval_count": 3,
        },
    )
    assert whole(text)["message"] == {
        "role": "assistant",
        "content": "hi",
        "thinking": TEXT,
        "tool_calls": [call],
    }


def test_ollamas_generate_joins_its_response() -> None:
    text = lines(
        *({"model": "m", "created_at": "t", "response": word, "done": False} for word in WORDS),
        {"done": True, "response": "", "eval_count": 3},
    )
    assert whole(text)["response"] == TEXT


def test_watsonx_keeps_the_largest_counts() -> None:
    def event(word: str, prompt: int, generated: int, stop: str) -> dict[str, Any]:
        result = {
            "generated_text": word,
            "input_token_count": prompt,
            "generated_token_count": generated,
            "stop_reason": stop,
        }
        return {"model_id": "m", "results": [result]}

    facts = stream(
        data_events(
            event("a", 8, 0, "not_finished"), event("b", 0, 1, "not_finished"), event("", 0, 2, "eos_token")
        )
    )
    assert columns(facts)[:3] == (8, 2, 10)
    assert json.loads(facts.response)["results"][0]["generated_text"] == "ab"


def test_an_interaction_has_the_steps_that_were_streamed() -> None:
    events = [
        {
            "event_type": "interaction.created",
            "interaction": {"id": "i", "model": "m", "status": "in_progress"},
        },
        {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
        {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "a"}},
        {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "b"}},
        {
            "event_type": "interaction.completed",
            "interaction": {"status": "completed", "usage": {"total_input_tokens": 3}},
        },
    ]
    answer = whole(data_events(*events))
    assert (answer["model"], answer["status"]) == ("m", "completed")
    assert answer["steps"] == [{"type": "model_output", "text": "ab"}]


def test_a_run_has_its_newest_state_and_its_messages() -> None:
    text = named_events(
        ("thread.run.created", {"id": "r", "object": "thread.run", "status": "queued", "usage": None}),
        ("thread.message.completed", {"id": "m", "role": "assistant", "content": []}),
        ("thread.run.step.completed", {"id": "s", "usage": {"prompt_tokens": 1}}),
        ("thread.run.completed", {"id": "r", "status": "completed", "usage": CHAT_USAGE}),
    )
    facts = stream(text)
    assert columns(facts)[:3] == (10, 40, 50)
    assert json.loads(facts.response)["messages"][0]["id"] == "m"


def test_a_transcript_is_its_last_event() -> None:
    usage = {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    text = data_events(
        {"type": "transcript.text.delta", "delta": "he"},
        {"type": "transcript.text.done", "text": "hello", "usage": usage},
    )
    assert whole(text) == {"text": "hello", "usage": usage}


def test_a_stream_of_no_known_shape_loses_nothing() -> None:
    text = 'event: output\ndata: plain text\n\nevent: thing\ndata: {"a": 1.50, "usage": {"prompt_tokens": 2}}\n\n'
    assert whole(text) == {
        "events": [
            {"event": "output", "data": "plain text"},
            {"event": "thing", "data": {"a": 1.5, "usage": {"prompt_tokens": 2}}},
        ]
    }
    assert stream(text).prompt_tokens == 2


def test_numbers_keep_their_value() -> None:
    text = data_events(chat_chunk({"content": "a"})).replace(
        '"created": 1', '"created": 12345678901234567890123'
    )
    assert b'"created":12345678901234567890123' in stream(text).response


def test_what_is_nested_too_deep_is_kept_as_events_or_left_out_and_raises_nothing() -> None:
    deep = "[" * 10_000 + "]" * 10_000
    text = (
        data_events(chat_chunk({"content": "a"}))
        + f'data: {{"choices":[],"deep":{deep}}}\n\n'
        + data_events(chat_chunk(usage=CHAT_USAGE))
    )
    assert columns(stream(text))[:3] == (10, 40, 50)


@pytest.mark.parametrize(("reason", "source"), [("null", "partial"), ("stop", "reported")])
@pytest.mark.parametrize("has_choices", [True, False])
def test_counts_from_the_middle_of_alibabas_stream_are_a_part(
    reason: str, source: str, has_choices: bool
) -> None:
    usage = {"input_tokens": 11, "output_tokens": 2, "total_tokens": 13}
    said = {"finish_reason": reason, "message": {"role": "assistant", "content": "a"}}
    output = {"choices": [said]} if has_choices else {"text": "a", "finish_reason": reason}
    event = json.dumps({"output": output, "usage": usage, "request_id": "r"})
    facts = read_exchange(Exchange(stream=f"id:1\nevent:result\ndata:{event}\n\n"))
    assert (facts.usage_source, facts.prompt_tokens, facts.stream_complete) == (source, 11, reason == "stop")


@pytest.mark.parametrize(("reason", "source"), [(None, "partial"), ("stop", "reported")])
def test_counts_from_the_middle_of_rekas_stream_are_a_part(reason: str | None, source: str) -> None:
    said = {"finish_reason": reason, "message": {"role": "assistant", "content": "a"}}
    event = json.dumps({"responses": [said], "usage": {"input_tokens": 11, "output_tokens": 2}})
    facts = read_exchange(Exchange(stream=f"event: message\ndata: {event}\n\n"))
    assert (facts.usage_source, facts.stream_complete) == (source, reason == "stop")
