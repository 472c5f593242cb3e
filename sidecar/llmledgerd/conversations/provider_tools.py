"""Calls of tools that the provider ran itself, as an answer shows them. Pure.

Invariant: a call is read with its result from one answer; whether it failed is what the API's own fields say, and the
text of what an MCP server returned. Nothing raises.

Sources: Anthropic, "Server tools" and "MCP connector"; OpenAI, Responses API reference (items whose type ends in
``_call``); Google, "Code execution", "Grounding with Google Search", "URL context", Interactions API; xAI, "Tools";
Mistral, "Connectors" (``tool.execution``); Groq, "Compound" (``executed_tools``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from llmledgerd.conversations import parts
from llmledgerd.conversations.blocks import CODE, MCP, listed, mcp_name, text
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.tool_errors import API_ERROR, NO_ERROR, TEXT_ERROR, reads_as_error
from llmledgerd.conversations.values import parsed

_ARGUMENTS: Final = ("arguments", "action", "queries", "code", "input", "revised_prompt")
_RESULTS: Final = ("output", "outputs", "results", "result", "tools", "error")
_FINE: Final = frozenset({"OUTCOME_OK", "OUTCOME_UNSPECIFIED", "ok"})
_FETCHED: Final = frozenset({"URL_RETRIEVAL_STATUS_SUCCESS", "URL_RETRIEVAL_STATUS_UNSPECIFIED"})


class Ran(NamedTuple):
    """A call that the provider ran."""

    call: Part
    """With the tool's name and the arguments, as a call that the sender has to run."""
    result_bytes: int
    """Of what the answer shows of the result; 0 if it shows nothing."""
    error: int


def ran_by_provider(said: Sequence[Part]) -> list[Ran]:
    """Return the calls of one alternative that the provider ran, in order."""
    results = [part for part in said if part.kind in (parts.SERVER_RESULT, parts.RESULT)]
    by_id = {part.id: part for part in results if part.id}
    nameless = iter([part for part in results if not part.id])
    found = []
    for part in said:
        is_server = part.kind == parts.SERVER_CALL
        if not is_server and not (part.kind == parts.CALL and part.id in by_id):
            continue
        own = by_id.get(part.id)
        if own is None and is_server and not part.id:
            own = next(nameless, None)
        call, inside = opened(part)
        shown = inside if own is None else _content(own)
        size = 0 if shown is None else Part(parts.RESULT, "", 0, shown).size
        is_text_read = part.kind == parts.CALL or call.name.startswith(MCP)
        found.append(Ran(call, size, _error(part, own, shown if is_text_read else None)))
    return found


def opened(part: Part) -> tuple[Part, Any]:
    """Return a provider's call as any call, and the result inside it; None if there is none."""
    value, name = part.value, part.name
    if part.kind == parts.CALL:
        return part, None
    if not isinstance(value, dict) or not name.endswith("_call"):
        given = value["code"] if isinstance(value, dict) and name == CODE and "code" in value else value
        return Part(parts.CALL, part.role, part.message, {} if given is None else given, name, part.id), None
    result = next((one for key in _RESULTS if (one := value.get(key)) is not None), None)
    given = next((one for key in _ARGUMENTS if (one := value.get(key)) is not None), {})
    if isinstance(given, dict) and given.get("sources"):  # of a web search, where the request asked for them
        given, result = {key: one for key, one in given.items() if key != "sources"}, given["sources"]
    server, own = text(value.get("server_label")) or text(value.get("server_name")), text(value.get("name"))
    if own and name in ("mcp_call", "mcp_server_tool_call"):
        name = mcp_name(server, own)
    return Part(
        parts.CALL, part.role, part.message, parsed(given), name.removesuffix("_call"), part.id
    ), result


def _content(result: Part) -> Any:
    """Return what a result says: of Gemini's the output alone."""
    value = result.value
    return value.get("output", "") if isinstance(value, dict) and "outcome" in value else value


def _error(call: Part, result: Part | None, told: Any) -> int:
    flags = [one.is_error for one in (call, result) if one is not None and one.is_error is not None]
    if any(flags) or (result is not None and _says_error(result.value)):
        return API_ERROR
    return TEXT_ERROR if told is not None and not flags and reads_as_error(told) else NO_ERROR


def _says_error(value: Any) -> bool:
    """Return whether the fields of a result say that the tool failed."""
    if not isinstance(value, dict):
        return False
    code, outcome = value.get("return_code"), value.get("outcome")
    return (
        text(value.get("type")).endswith("_error")
        or (isinstance(code, int) and code != 0)
        or (isinstance(outcome, str) and outcome not in _FINE)
    )


def shown_beside(choice: dict[str, Any]) -> list[Part]:
    """Return the calls that an alternative shows beside its message, with their results.

    Gemini's metadata name the queries of a search and the pages that were fetched; Groq's messages list what was run.
    """
    found: list[Part] = []
    message = choice.get("message")
    if isinstance(message, dict):
        for one in listed(message.get("executed_tools")):
            if isinstance(one, dict):
                name = text(one.get("name")) or text(one.get("type"))
                _add(found, name, parsed(one.get("arguments")), one.get("output"))
        return found
    grounding, fetched = choice.get("groundingMetadata"), choice.get("urlContextMetadata")
    if isinstance(grounding, dict):
        queries = [one for one in listed(grounding.get("webSearchQueries")) if isinstance(one, str)]
        # What was found is told of all queries together.
        sources = listed(grounding.get("groundingChunks")) or None
        for number, query in enumerate(queries):
            _add(found, "google_search", {"query": query}, sources if number == 0 else None)
    if isinstance(fetched, dict):
        for one in listed(fetched.get("urlMetadata")):
            if isinstance(one, dict):
                _add(found, "url_context", {"url": one.get("retrievedUrl")}, None)
                found[-1].is_error = text(one.get("urlRetrievalStatus")) not in ("", *_FETCHED)
    return found


def _add(found: list[Part], name: str, arguments: Any, result: Any) -> None:
    """Add a call and its result, bound by their place."""
    found.append(Part(parts.SERVER_CALL, "assistant", 0, arguments, name))
    found.append(Part(parts.SERVER_RESULT, "tool", 0, "" if result is None else result))
