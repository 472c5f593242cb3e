"""A tool that the provider ran is a call with its result, in every API that has such tools."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from llmledgerd.conversations import ToolCalls, identity_of, read_answer, read_request, tool_calls_of
from llmledgerd.conversations.token_families import family_of
from llmledgerd.conversations.tool_errors import API_ERROR, BY_PROVIDER, NO_ERROR, TEXT_ERROR

ID = "srvtoolu_01WYG3ziw53XMcoyKL4XcZmE"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Find it."}]}


def read(answer: Any, request: Any = CHAT) -> ToolCalls:
    asked, answered = read_request(json.dumps(request).encode()), read_answer(json.dumps(answer).encode())
    identity = identity_of(asked, answered, "org")
    return tool_calls_of(
        asked,
        answered,
        organization="org",
        identity=identity,
        family=family_of("", ""),
        scale=1.0,
        is_whole=True,
    )


class Seen(NamedTuple):
    name: str
    id: str
    arguments: int
    result: int
    error: int


def seen(answer: Any) -> list[Seen]:
    """Return the calls that have a result which the provider brought; every call of the answer has to be one."""
    found = read(answer)
    results = {key: (size, error) for key, size, error in found.brought}
    assert [call[0] for call in found.asked] == list(results)
    calls = [Seen(name, own, size, *results[key]) for key, own, name, _, size in found.asked]
    assert all(call.error >= BY_PROVIDER for call in calls)
    return [call._replace(error=call.error - BY_PROVIDER) for call in calls]


def messages(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [*blocks, {"type": "text", "text": "So."}],
    }


def responses(*items: dict[str, Any]) -> dict[str, Any]:
    said = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "So."}],
    }
    return {"id": "resp_1", "object": "response", "output": [*items, said]}


def server_tool(name: str, given: Any) -> dict[str, Any]:
    return {"type": "server_tool_use", "id": ID, "name": name, "input": given}


@pytest.mark.parametrize(
    ("name", "result", "error"),
    [
        ("web_search", {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": "u"}]}, NO_ERROR),
        ("web_search", {"type": "web_search_tool_result",
                        "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}}, API_ERROR),
        ("web_fetch", {"type": "web_fetch_tool_result",
                       "content": {"type": "web_fetch_tool_error", "error_code": "url_not_accessible"}}, API_ERROR),
        ("bash_code_execution", {"type": "bash_code_execution_tool_result", "content": {
            "type": "bash_code_execution_result", "stdout": "Error: no", "stderr": "", "return_code": 0}}, NO_ERROR),
        ("code_execution", {"type": "code_execution_tool_result", "content": {
            "type": "code_execution_result", "stdout": "", "stderr": "boom", "return_code": 1}}, API_ERROR),
    ],
)  # fmt: skip
def test_a_server_tool_of_anthropic_has_the_result_of_its_block(
    name: str, result: dict[str, Any], error: int
) -> None:
    (call,) = seen(messages(server_tool(name, {"query": "q"}), {**result, "tool_use_id": ID}))

    assert call[:3] == (name, ID, len('{"query":"q"}'))
    assert call.result == len(json.dumps(_alone(result["content"]), separators=(",", ":")))
    assert call.error == error


def _alone(content: Any) -> Any:
    """A list of one is stored as that one."""
    return content[0] if isinstance(content, list) else content


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"is_error": False}, NO_ERROR), ({"is_error": True}, API_ERROR), ({}, TEXT_ERROR)],
)
def test_a_hosted_server_s_tool_has_the_server_in_its_name(fields: dict[str, Any], error: int) -> None:
    use = {
        "type": "mcp_tool_use",
        "id": "mcptoolu_01SAss3KEwASziHZoMR6HcZU",
        "name": "ask",
        "server_name": "wiki",
        "input": {},
    }
    result = {
        "type": "mcp_tool_result",
        "tool_use_id": use["id"],
        "content": [{"type": "text", "text": "Error: no"}],
    }

    assert seen(messages(use, {**result, **fields})) == [
        ("mcp__wiki__ask", use["id"], 0, len("Error: no"), error)
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
         ("web_search", 29, 0, NO_ERROR)),
        ({"type": "web_search_call", "status": "completed",
          "action": {"type": "search", "query": "q", "sources": [{"url": "u"}]}}, ("web_search", 29, 13, NO_ERROR)),
        ({"type": "web_search_call", "status": "failed", "action": {"type": "search", "query": "q"}},
         ("web_search", 29, 0, API_ERROR)),
        ({"type": "file_search_call", "status": "completed", "queries": ["q"], "results": [{"text": "Error: x"}]},
         ("file_search", 5, 21, NO_ERROR)),
        ({"type": "file_search_call", "status": "completed", "queries": ["q"], "results": None},
         ("file_search", 5, 0, NO_ERROR)),
        ({"type": "code_interpreter_call", "status": "completed", "code": "x=1", "container_id": "cntr_1", "outputs": [
            {"type": "logs", "logs": "1"}]}, ("code_interpreter", 3, 28, NO_ERROR)),
        # xAI's, which have an empty call_id
        ({"type": "code_interpreter_call", "status": "completed", "call_id": "", "name": "code_execution",
          "arguments": '{"code":"x"}'}, ("code_interpreter", 12, 0, NO_ERROR)),
        ({"type": "mcp_call", "server_label": "wiki", "name": "ask", "arguments": '{"q": 1}', "output": "found",
          "error": None}, ("mcp__wiki__ask", 7, 5, NO_ERROR)),
        ({"type": "mcp_call", "server_label": "wiki", "name": "ask", "arguments": "{}", "output": None,
          "error": {"code": 500}}, ("mcp__wiki__ask", 0, 12, API_ERROR)),
        ({"type": "mcp_call", "server_label": "wiki", "name": "ask", "arguments": "{}", "output": "Error: no",
          "error": None}, ("mcp__wiki__ask", 0, 9, TEXT_ERROR)),
        ({"type": "image_generation_call", "status": "completed", "revised_prompt": "A cat", "result": "aGk="},
         ("image_generation", 5, 4, NO_ERROR)),
        ({"type": "tool_search_call", "status": "completed", "execution": "server", "call_id": None,
          "arguments": {"paths": ["x"]}}, ("tool_search", 15, 0, NO_ERROR)),
        # xAI's searches of X, which look like the sender's
        ({"type": "custom_tool_call", "status": "completed", "call_id": "xs_call_83a1", "name": "x_keyword_search",
          "input": '{"query":"q"}'}, ("x_keyword_search", 13, 0, NO_ERROR)),
        ({"object": "entry", "type": "tool.execution", "name": "web_search", "arguments": '{"query":"q"}', "info": {}},
         ("web_search", 13, 0, NO_ERROR)),
    ],
)  # fmt: skip
def test_an_item_of_what_the_provider_ran_is_a_call(item: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (call,) = seen(responses({**item, "id": "ws_0f3c01e001f1f728006975240d1ce8819b"}))

    assert (call.name, *call[2:]) == expected


def test_an_item_that_the_sender_has_to_run_is_left_open() -> None:
    item = {"type": "shell_call", "id": "sh_1", "call_id": "call_udkLUvR8lWvG8cDO2B6GNpvZ", "action": {}}
    ran = {"type": "shell_call_output", "id": "sho_1", "call_id": item["call_id"], "output": "done"}

    open_call = read(responses(item))

    assert [call[2] for call in open_call.asked] == ["shell_call"]
    assert not open_call.brought
    assert [call[3:] for call in seen(responses(item, ran))] == [(4, NO_ERROR)]  # in the provider's container


@pytest.mark.parametrize(("outcome", "error"), [("OUTCOME_OK", NO_ERROR), ("OUTCOME_FAILED", API_ERROR)])
@pytest.mark.parametrize("ids", [{}, {"id": "3u8s8qrk"}])
def test_code_that_gemini_ran_has_its_output(outcome: str, error: int, ids: dict[str, str]) -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "x=1", **ids}},
        {"codeExecutionResult": {"outcome": outcome, "output": "done", **ids}},
        {"text": "So."},
    ]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}}], "responseId": "r1"}

    assert seen(answer) == [("code_execution", ids.get("id", "code_execution#0"), 3, 4, error)]


def test_each_query_and_each_page_that_gemini_looked_up_is_a_call() -> None:
    candidate = {
        "content": {"role": "model", "parts": [{"text": "So."}]},
        "groundingMetadata": {"webSearchQueries": ["a", "b"], "groundingChunks": [{"web": {"uri": "u"}}]},
        "urlContextMetadata": {"urlMetadata": [
            {"retrievedUrl": "u", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
            {"retrievedUrl": "v", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
        ]},
    }  # fmt: skip

    assert seen({"candidates": [candidate], "responseId": "r1"}) == [
        ("google_search", "google_search#0", 13, 21, NO_ERROR),
        ("google_search", "google_search#1", 13, 0, NO_ERROR),
        ("url_context", "url_context#0", 11, 0, NO_ERROR),
        ("url_context", "url_context#1", 11, 0, API_ERROR),
    ]


@pytest.mark.parametrize("is_error", [False, True])
def test_steps_of_interactions_are_calls_and_results(is_error: bool) -> None:
    steps = [
        {"type": "google_search_call", "id": "3tz1p6wn", "arguments": {"queries": ["q"]}},
        {"type": "google_search_result", "call_id": "3tz1p6wn", "result": "found", "is_error": is_error},
        {
            "type": "mcp_server_tool_call",
            "id": "4tz1p6wn",
            "name": "ask",
            "server_name": "wiki",
            "arguments": {},
        },
        {"type": "mcp_server_tool_result", "call_id": "4tz1p6wn", "result": "yes"},
        {"type": "model_output", "content": [{"type": "text", "text": "So."}]},
    ]

    assert seen({"id": "v1_1", "steps": steps}) == [
        ("google_search", "3tz1p6wn", 17, 5, API_ERROR if is_error else NO_ERROR),
        ("mcp__wiki__ask", "4tz1p6wn", 0, 3, NO_ERROR),
    ]


def test_what_groq_ran_stands_beside_the_message() -> None:
    ran = [{"index": 0, "type": "search", "arguments": '{"query": "q"}', "output": "found"}]
    message = {"role": "assistant", "content": "So.", "executed_tools": ran}

    assert seen({"id": "chatcmpl-1", "choices": [{"index": 0, "message": message}]}) == [
        ("search", "search#0", 13, 5, NO_ERROR)
    ]


def test_a_tool_that_bedrock_ran_has_its_result_in_the_answer() -> None:
    use = {"toolUseId": "tooluse_Aq3sX9Lk2mPz81TtQwErTyUi", "name": "nova_grounding", "input": {"q": 1}}
    result = {"toolUseId": use["toolUseId"], "content": [{"text": "found"}], "status": "success"}
    content = [{"toolUse": use}, {"toolResult": result}, {"text": "So."}]

    assert seen({"output": {"message": {"role": "assistant", "content": content}}}) == [
        ("nova_grounding", use["toolUseId"], 7, 5, NO_ERROR)
    ]


def test_a_call_without_a_result_in_the_answer_is_answered_too() -> None:
    assert seen(messages(server_tool("web_search", {"query": "q"}))) == [("web_search", ID, 13, 0, NO_ERROR)]


def test_calls_of_both_kinds_are_told_apart() -> None:
    own = {"type": "tool_use", "id": "toolu_01PMcE1JBKCeLjn8Aq3sX9Lk", "name": "roll", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": ID, "content": []}

    found = read(messages(server_tool("web_search", {}), result, own))

    assert [(call[2], call[1]) for call in found.asked] == [("roll", own["id"]), ("web_search", ID)]
    assert [(key, error) for key, _, error in found.brought] == [(found.asked[1][0], BY_PROVIDER)]


def test_results_that_are_sent_back_take_tokens_and_are_brought_once() -> None:
    answer = messages(
        server_tool("web_search", {"query": "q"}),
        {
            "type": "web_search_tool_result",
            "tool_use_id": ID,
            "content": [{"type": "web_search_result", "title": "Find it. " * 40}],
        },
    )
    history = [
        *CHAT["messages"],
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": "More."},
    ]

    found = read(messages(), {"model": "m", "messages": history})

    assert not found.brought
    assert found.tokens["web_search"] > 50


@pytest.mark.parametrize("broken", [None, 1, "x", [], [1], {}, {"type": 1}, [None, {"text": None}]])
def test_whatever_stands_there_is_read(broken: Any) -> None:
    blocks = messages(
        server_tool("web_search", broken),
        {"type": "web_search_tool_result", "tool_use_id": broken, "content": broken},
    )
    items = responses(*({"type": kind, "id": "x", "action": broken, "arguments": broken, "output": broken, "error": broken,
                         "status": broken, "server_label": broken, "name": broken, "call_id": broken}
                        for kind in ("mcp_call", "web_search_call", "tool.execution", "google_search_result", "custom_tool_call")))  # fmt: skip
    read(blocks)
    read(items)
    for name in ("groundingMetadata", "urlContextMetadata"):
        for inside in ("webSearchQueries", "groundingChunks", "urlMetadata"):
            read({"candidates": [{"content": {"parts": []}, name: {inside: broken}}, {name: broken}, broken]})
    read({"choices": [{"message": {"content": "x", "executed_tools": broken}}]})
    read(
        {
            "choices": [
                {
                    "message": {
                        "content": "x",
                        "executed_tools": [{"arguments": broken, "name": broken, "output": broken}],
                    }
                }
            ]
        }
    )
    read({"candidates": [{"content": {"parts": [{"executableCode": broken}, {"codeExecutionResult": broken},
                                                {"executableCode": {"code": broken, "id": broken}},
                                                {"codeExecutionResult": {"outcome": broken, "output": broken}}]}}]})  # fmt: skip
