"""What is billed beside tokens: each rule of ``fees`` by an example."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from llmledgerd.usage import Exchange, Facts, fees, read_exchange, read_usage
from llmledgerd.usage.costs import add_cost
from llmledgerd.usage.decode import Json
from llmledgerd.usage.served import add_from_usage
from llmledgerd.usage.tokens import READ_BESIDE_TOKENS
from tests.unit.usage.examples import reply

CHAT = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
MESSAGES = {"input_tokens": 10, "output_tokens": 5}
RESPONSES = {**MESSAGES, "total_tokens": 15}


def units(answer: dict[str, Any], url: str = "", request: bytes = b"") -> dict[str, Decimal]:
    raw = json.dumps(answer).encode()
    return read_exchange(Exchange(url=url, request=request, response=raw, status_code=200)).units


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {**MESSAGES, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2}},
            {"web_search": 3},
        ),
        ({**MESSAGES, "server_tool_use": {"code_execution_requests": 1}}, {"code_execution": 1}),
        ({**MESSAGES, "server_tool_use": {"web_search_requests": 0}}, {}),
        ({**MESSAGES, "server_tool_use": {"dream_requests": 2}}, {"dream_requests": 2}),
        ({**CHAT, "server_tool_use_details": {"web_search_requests": 1}}, {"web_search": 1}),
        ({**CHAT, "num_sources_used": 5}, {"search_source": 5}),
        ({**CHAT, "num_sources_used": 0}, {}),
        (
            {
                **RESPONSES,
                "num_sources_used": 9,
                "num_server_side_tools_used": 3,
                "server_side_tool_usage_details": {
                    "web_search_calls": 2,
                    "x_search_calls": 1,
                    "mcp_calls": 4,
                },
            },
            {"web_search": 2, "x_search": 1},
        ),
        ({**RESPONSES, "num_server_side_tools_used": 3, "num_sources_used": 9}, {"server_side_tool": 3}),
        ({**CHAT, "search_context_size": "low"}, {"request_low": 1}),
        ({**CHAT, "num_search_queries": 18}, {"web_search": 18}),
        ({**RESPONSES, "tool_calls_details": {"search_web": {"invocation": 2}}}, {"web_search": 2}),
        ({**RESPONSES, "tool_calls_details": {"fetch_url": {"invocation": 2}}}, {"fetch_url": 2}),
        ({**CHAT, "connectors": {"web_search": 1}}, {"web_search": 1}),
        ({**RESPONSES, "plugins": {"search": {"count": 1}}}, {"web_search": 1}),
        ({"type": "duration", "seconds": 12}, {"audio_second": 12}),
        ({**CHAT, "prompt_audio_seconds": 4}, {"audio_second": 4}),
        (
            {
                "total_input_tokens": 5,
                "total_output_tokens": 6,
                "grounding_tool_count": [
                    {"type": "google_search", "count": 2},
                    {"type": "url_context", "count": 1},
                ],
            },
            {"web_search": 2},
        ),
    ],
)
def test_a_usage_object_counts_what_is_billed_beside_tokens(
    usage: dict[str, Any], expected: dict[str, int]
) -> None:
    assert units({"usage": usage}) == expected


@pytest.mark.parametrize("amount", [-1, True, "3", None, [], {}, 1e300])
def test_what_is_no_amount_is_no_unit(amount: object) -> None:
    assert units({"usage": {**MESSAGES, "server_tool_use": {"web_search_requests": amount}}}) == {}


def test_cohere_bills_searches_classifications_and_pictures() -> None:
    billed = {"search_units": 1, "classifications": 2, "images": 3}
    facts = reply({"meta": {"billed_units": billed}})
    assert facts.units == {"search_unit": 1, "classification": 2, "image": 3}
    assert facts.usage_source == "reported"


def test_pages_are_all_that_a_reading_of_them_used() -> None:
    facts = reply({"pages": [], "model": "ocr", "usage_info": {"pages_processed": 3, "doc_size_bytes": 9}})
    assert facts.units == {"page": 3}
    assert facts.usage_source == "reported"


def test_annotated_pages_are_told_from_those_that_were_read_alone() -> None:
    asked = b'{"document_annotation_format": {"type": "json_schema"}}'
    pages = {"pages_processed": 3}
    assert units({"pages": [], "usage_info": pages}, request=asked) == {"annotated_page": 3}
    usage = {**pages, "pages_processed_annotation": 1}
    assert units({"pages": [], "usage_info": usage}) == {"page": 2, "annotated_page": 1}


ITEMS = [
    {"type": "web_search_call", "action": {"type": "search", "query": "x"}},
    {"type": "web_search_call", "action": {"type": "open_page"}},
    {"type": "web_search_call", "action": {"type": "find_in_page"}},
    {"type": "file_search_call"},
    {"type": "code_interpreter_call", "id": "a", "container_id": "c1"},
    {"type": "code_interpreter_call", "id": "b", "container_id": "c1"},
    {"type": "code_interpreter_call", "id": "c", "container_id": "c2"},
    {"type": "image_generation_call", "result": "…"},
    {"type": "function_call", "name": "web_search_call"},
    {"type": "mcp_call"},
]
ANSWER = {"object": "response", "model": "gpt-5", "status": "completed", "usage": RESPONSES, "output": ITEMS}
BILLED = {"web_search": 1, "file_search": 1, "code_interpreter": 2, "image_generation": 1}


def test_items_name_the_tools_that_a_usage_counts_without_names() -> None:
    usage = {**RESPONSES, "num_server_side_tools_used": 2}
    searches = [{"type": "x_search_call"}, {"type": "web_search_call"}]
    assert units({**ANSWER, "usage": usage, "output": searches}) == {"x_search": 1, "web_search": 1}
    assert units({**ANSWER, "usage": usage, "output": searches[:1]}) == {"x_search": 1, "server_side_tool": 2}


def test_audio_that_is_billed_by_its_seconds_is_not_billed_by_its_tokens() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 386,
        "prompt_audio_seconds": 4,
        "prompt_tokens_details": {"audio_tokens": 375},
    }
    facts = reply({"usage": usage})
    (priced,) = facts.priced
    assert (facts.prompt_tokens, priced.input, priced.input_audio) == (384, 9, 0)
    url = "https://api.mistral.ai/v1/audio/transcriptions"
    facts = read_exchange(Exchange(url=url, response=json.dumps({"usage": usage}).encode()))
    assert facts.priced == read_usage(facts.usage_json, url=url).priced == []
    assert facts.units == {"audio_second": 4}


def test_of_a_responses_answer_the_billed_items_are_counted() -> None:
    assert units(ANSWER) == BILLED


def test_a_streamed_responses_answer_counts_the_same() -> None:
    done = {"type": "response.completed", "response": ANSWER}
    stream = (
        f"data: {json.dumps({'type': 'response.created', 'response': {}})}\n\ndata: {json.dumps(done)}\n\n"
    )
    assert read_exchange(Exchange(stream=stream)).units == BILLED


def test_a_text_that_names_an_item_is_none() -> None:
    said = {"type": "message", "content": [{"type": "output_text", "text": '{"type": "web_search_call"}'}]}
    assert units({**ANSWER, "output": [said]}) == {}


def test_the_answers_own_sum_of_searches_wins() -> None:
    assert units({**ANSWER, "tool_usage": {"web_search": {"num_requests": 4}}})["web_search"] == 4


def test_the_preview_of_web_search_has_a_price_of_its_own_without_reasoning() -> None:
    tools = [{"type": "web_search_preview"}]
    assert "web_search_preview" in units({**ANSWER, "model": "gpt-4o", "tools": tools})
    assert "web_search" in units({**ANSWER, "model": "o3", "tools": tools})


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("gpt-4o-search-preview-2025-03-11", "web_search_preview"),
        ("gpt-5-search-api", "web_search"),
        ("gpt-4o", None),
        ("a-search-engine", None),
    ],
)
def test_a_search_model_searches_in_each_call(model: str, part: str | None) -> None:
    answer = {"choices": [{"finish_reason": "stop"}], "model": model, "usage": CHAT}
    assert units(answer) == ({part: 1} if part else {})


GROUNDED = {"webSearchQueries": ["a", "b", "a", ""], "groundingChunks": [{"web": {"uri": "u"}}]}


@pytest.mark.parametrize(
    ("model", "metadata", "expected"),
    [
        ("gemini-3-pro-preview", GROUNDED, {"web_search": 2}),
        ("gemini-2.5-flash", GROUNDED, {"web_search": 1}),
        ("gemini-2.5-flash", {"groundingChunks": [{"maps": {}}]}, {"maps_grounding": 1}),
        ("gemini-2.5-flash", {"webSearchQueries": []}, {}),
        ("gemini-2.5-flash", None, {}),
    ],
)
def test_gemini_bills_queries_from_its_third_generation_and_prompts_before(
    model: str, metadata: dict[str, Any] | None, expected: dict[str, int]
) -> None:
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    candidate = {"finishReason": "STOP", "groundingMetadata": metadata}
    answer = {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}
    assert units(answer) == expected
    assert read_exchange(Exchange(stream=f"data: {json.dumps(answer)}\n\n")).units == expected


def test_a_container_of_anthropics_is_billed_unless_the_web_tools_are_beside_it() -> None:
    answer = {"type": "message", "stop_reason": "end_turn", "container": {"id": "c"}, "usage": MESSAGES}
    assert units(answer) == {"code_execution": 1}
    assert units(answer, request=b'{"tools":[{"type":"web_fetch_20260209"}]}') == {}
    assert units({**answer, "container": None}) == {}


def test_novas_searches_are_counted_by_its_tool() -> None:
    search = {"toolUse": {"name": "nova_grounding", "type": "server_tool_use", "input": {"query": "x"}}}
    said = {"text": '{"name":"nova_grounding"}'}
    output = {"message": {"role": "assistant", "content": [search, said, search]}}
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
    assert units({"output": output, "stopReason": "end_turn", "usage": usage}) == {"web_search": 2}


OPENAI = "https://api.openai.com/v1/"


def test_what_was_made_is_counted_where_no_usage_is_reported() -> None:
    assert units({"data": [{"url": "a"}, {"url": "b"}]}, OPENAI + "images/generations") == {"image": 2}
    assert units({"text": "hi", "duration": 8.47}, OPENAI + "audio/transcriptions") == {
        "audio_second": Decimal("8.47")
    }
    assert units({}, OPENAI + "audio/speech", b'{"model":"tts-1","input":"h\\u00e9llo"}') == {"character": 5}


def test_pictures_with_a_usage_are_billed_by_its_tokens() -> None:
    details = {"text_tokens": 10, "image_tokens": 40}
    answer = {"data": [{"b64_json": "x"}], "usage": {**RESPONSES, "input_tokens_details": details}}
    raw = json.dumps(answer).encode()
    facts = read_exchange(Exchange(url=OPENAI + "images/edits", response=raw))
    assert facts.units == {}
    assert (facts.priced[0].input_image, facts.priced[0].output_image) == (40, 5)


def test_searches_without_tokens_leave_the_usage_unknown() -> None:
    facts = reply({**ANSWER, "usage": None})
    assert facts.usage_source == "unknown"
    assert facts.units["web_search"] == 1


def test_whatever_is_read_beside_tokens_keeps_a_usage_from_being_plain() -> None:
    class Noted(dict[str, Json]):
        """Members of a usage object that note which were asked for."""

        asked: set[str] = set()  # noqa: RUF012 - one object is made

        def get(self, name: str, default: Any = None) -> Any:
            self.asked.add(name)
            return super().get(name, default)

        def __contains__(self, name: object) -> bool:
            self.asked.add(str(name))
            return super().__contains__(name)

    usage = Noted()
    add_cost(Facts(), usage)
    add_from_usage(Facts(), usage)
    assert usage.asked | fees.MARKS <= READ_BESIDE_TOKENS | {"total_cost"}


def test_the_items_of_a_long_answer_take_time_in_proportion() -> None:
    def taken(items: int) -> float:
        raw = json.dumps({**ANSWER, "output": ITEMS * items}).encode()
        best = 60.0
        for _ in range(5):
            start = time.thread_time()
            assert read_exchange(Exchange(response=raw)).units["web_search"] == items
            best = min(best, time.thread_time() - start)
        return best

    assert taken(4000) < 30 * taken(400)
