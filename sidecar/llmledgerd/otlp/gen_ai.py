"""Spans by the semantic conventions for generative AI, old and new, and by their dialects. Pure.

Invariant: what a span is (``role_of``) depends on its kind alone, never on whether it has usage: agents and
frameworks put sums on their spans, which are no calls.

Sources: OpenTelemetry semantic conventions 1.26 to 1.40, "GenAI spans", and their renamings
(``prompt_tokens``/``input_tokens``, ``gen_ai.system``/``gen_ai.provider.name``, ``cache_creation``/``cache_write``);
OpenLLMetry, ``semconv_ai`` (``traceloop.span.kind``, ``llm.request.type``, ``llm.usage.total_tokens``,
``gen_ai.prompt.N``); LangSmith SDK, OpenTelemetry exporter (``langsmith.span.kind``; its ``gen_ai.operation.name``
is ``chat`` for chains too); Pydantic AI, "Instrumentation"; Logfire, ``logfire.span_type``; Claude API docs,
"OpenTelemetry span reference" (``anthropic.*``).
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.otlp.calls import NO_COUNTS, Call, Counts, Role
from llmledgerd.otlp.common import provider_of
from llmledgerd.otlp.messages import choices_of, langchain_answer, messages_of, system_of
from llmledgerd.otlp.reading import count, flag, mapping, nested, structured, text, texts
from llmledgerd.otlp.signals import Attributes, Event, Span

PREFIXES: Final = ("gen_ai.", "traceloop.", "langsmith.span.", "llm.request.", "llm.usage.")

OPERATIONS: Final[dict[str, tuple[Role, str]]] = {
    "chat": (Role.CALL, ""), "text_completion": (Role.CALL, ""), "completion": (Role.CALL, ""),
    "generate_content": (Role.CALL, ""), "response": (Role.CALL, ""), "responses": (Role.CALL, ""),
    "message": (Role.CALL, ""), "messages": (Role.CALL, ""), "invoke_model": (Role.CALL, ""),
    "converse": (Role.CALL, ""), "llm": (Role.CALL, ""), "realtime": (Role.CALL, ""),
    "embeddings": (Role.CALL, "embedding"), "embedding": (Role.CALL, "embedding"),
    "rerank": (Role.CALL, "rerank"), "moderation": (Role.CALL, "moderation"),
    "image_generation": (Role.CALL, "image"), "image": (Role.CALL, "image"),
    "transcription": (Role.CALL, "transcription"), "speech": (Role.CALL, "speech"),
    "text_to_speech": (Role.CALL, "speech"), "speech_to_text": (Role.CALL, "transcription"),
    "execute_tool": (Role.STEP, "tool"), "tool": (Role.STEP, "tool"), "execute_tools": (Role.OTHER, ""),
    "retrieval": (Role.STEP, "retrieval"), "retriever": (Role.STEP, "retrieval"), "search": (Role.STEP, "retrieval"),
    "invoke_agent": (Role.AGENT, ""), "create_agent": (Role.AGENT, ""), "agent": (Role.AGENT, ""),
    "invoke_workflow": (Role.AGENT, ""), "workflow": (Role.AGENT, ""),
    "chain": (Role.OTHER, ""), "task": (Role.OTHER, ""), "prompt": (Role.OTHER, ""), "parser": (Role.OTHER, ""),
    "plan": (Role.OTHER, ""), "execute_hook": (Role.OTHER, ""), "unknown": (Role.OTHER, ""),
}  # fmt: skip
"""Operations and kinds of spans, and what they are."""

RAW: Final = frozenset({"raw_gen_ai_request"})
"""Spans with a provider's raw parameters below the span of the same call (LiteLLM)."""

CACHE_BESIDE: Final = (
    "opentelemetry.instrumentation.botocore", "opentelemetry.instrumentation.bedrock", "strands.",
    "aws.distro.opentelemetry",
)  # fmt: skip
"""Scopes whose input leaves the cache out, as Bedrock's ``inputTokens`` does."""

REASONING_BESIDE: Final = (
    "gcp.vertex.agent", "opentelemetry.instrumentation.google_genai", "opentelemetry.instrumentation.google_generativeai",
    "opentelemetry.instrumentation.vertexai",
)  # fmt: skip
"""Scopes whose output is Gemini's ``candidatesTokenCount``, which leaves thoughts out."""

_PARAMETERS: Final = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
    "stop_sequences": "stop", "seed": "seed", "reasoning_effort": "reasoning_effort",
    "encoding_formats": "encoding_format", "service_tier": "service_tier",
}  # fmt: skip


def is_dialect(attributes: Attributes) -> bool:
    """Return whether any attribute is of these conventions."""
    return any(name.startswith(PREFIXES) for name in attributes)


def role_of(span: Span) -> tuple[Role, str, str]:
    """Return what a span is, the type of its call, and an operation that is not known."""
    found = span.attributes
    kind = text(found, "langsmith.span.kind", "traceloop.span.kind").lower()
    operation = text(found, "gen_ai.operation.name", "llm.request.type").lower()
    if text(found, "logfire.span_type") in ("pending_span", "log") or span.name in RAW:
        return Role.OTHER, "", ""
    if kind in OPERATIONS:
        role, call_type = OPERATIONS[kind]
        if operation in OPERATIONS and OPERATIONS[operation][0] is role:
            call_type = call_type or OPERATIONS[operation][1]
        return role, call_type, ""
    if operation in OPERATIONS:
        return *OPERATIONS[operation], ""
    model = text(found, "gen_ai.request.model", "gen_ai.response.model")
    if "agent_name" in found and not model:
        return Role.AGENT, "", ""
    if span.origin.scope.startswith("com.anthropic.") or not model:
        return Role.OTHER, "", operation
    is_call = counts_of(found).is_known or (not operation and bool(_provider(found)))
    return (Role.CALL if is_call else Role.OTHER), "", operation


def call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of its call."""
    found = span.attributes
    reasons = texts(
        found,
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "anthropic.message.stop_reason",
    )
    call = Call(
        kind=kind,
        provider=_provider(found),
        model=text(found, "gen_ai.response.model", "gen_ai.request.model"),
        request_model=text(found, "gen_ai.request.model"),
        response_id=text(found, "gen_ai.response.id", "gen_ai.response_id")
        or langchain_answer(found.get("gen_ai.completion"))[0],
        service_tier=text(
            found, "gen_ai.response.service_tier", "anthropic.response.service_tier",
            "gen_ai.openai.response.service_tier", "openai.response.service_tier",
        ),
        finish_reasons=reasons,
        counts=counts_of(found, span.origin.scope),
        name=_request_id(found),
    )  # fmt: skip
    told = {**(_details(span.events) or {}), **found}
    call.request = _request(call, told, span.events)
    call.response = _response(told, span.events, reasons)
    return call


def tool_call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of a tool or a retrieval."""
    found = span.attributes
    name = text(found, "gen_ai.tool.name", "traceloop.entity.name", "gen_ai.data_source.id") or span.name
    given = structured(found.get("gen_ai.tool.call.arguments", found.get("traceloop.entity.input")))
    result = structured(found.get("gen_ai.tool.call.result", found.get("traceloop.entity.output")))
    return Call(
        kind=kind,
        provider=kind,
        model=name,
        request={"name": name, **({} if given is None else {"arguments": given})},
        response=None if result is None else {"result": result},
    )


def counts_of(found: Attributes, scope: str = "") -> Counts:
    """Return the token counts of attributes, under all of their names."""
    usage = "gen_ai.usage."
    into = mapping(found.get(f"{usage}input_token_details"))
    out = mapping(found.get(f"{usage}output_token_details"))
    counts = Counts(
        input=count(found, f"{usage}input_tokens", f"{usage}prompt_tokens", "llm.usage.prompt_tokens"),
        output=count(found, f"{usage}output_tokens", f"{usage}completion_tokens", "llm.usage.completion_tokens"),
        total=count(found, f"{usage}total_tokens", "llm.usage.total_tokens"),
        cache_read=_first(
            count(
                found, f"{usage}cache_read.input_tokens", f"{usage}cache_read_input_tokens",
                f"{usage}input_tokens.cached", f"{usage}details.cache_read_tokens",
                f"{usage}details.cache_read_input_tokens", f"{usage}details.cached_tokens",
                f"{usage}cached_tokens", f"{usage}cached_input_tokens",
            ),
            count(into, "cache_read", "cached_tokens"),
        ),
        cache_write=_first(
            count(
                found, f"{usage}cache_write.input_tokens", f"{usage}cache_creation.input_tokens",
                f"{usage}cache_creation_input_tokens", f"{usage}cache_write_input_tokens",
                f"{usage}input_tokens.cache_write", f"{usage}details.cache_write_tokens",
                f"{usage}details.cache_creation_input_tokens",
            ),
            count(into, "cache_creation"),
        ),
        cache_write_1h=_first(
            count(
                found, "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
                f"{usage}details.ephemeral_1h_input_tokens",
            ),
            count(into, "ephemeral_1h_input_tokens"),
        ),
        reasoning=_first(
            count(
                found, f"{usage}reasoning.output_tokens", f"{usage}output_tokens.reasoning",
                f"{usage}reasoning_tokens", "llm.usage.reasoning_tokens", f"{usage}details.reasoning_tokens",
                f"{usage}details.thoughts_tokens", f"{usage}experimental.reasoning_tokens",
            ),
            count(out, "reasoning"),
        ),
        input_audio=_first(count(found, f"{usage}details.input_audio_tokens"), count(into, "audio")),
        output_audio=_first(count(found, f"{usage}details.output_audio_tokens"), count(out, "audio")),
        cache_is_beside=scope.startswith(CACHE_BESIDE),
        reasoning_is_beside=scope.startswith(REASONING_BESIDE),
    )  # fmt: skip
    return counts if counts.is_known else NO_COUNTS


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _provider(found: Attributes) -> str:
    named = provider_of(text(found, "gen_ai.provider.name"))
    return (
        named
        or provider_of(text(found, "gen_ai.system"))
        or provider_of(text(found, "langsmith.metadata.ls_provider"))
    )


def _request_id(found: Attributes) -> str:
    """Return the id under which a provider tells of the call as well: of Claude's API and SDK, the same."""
    sent = text(found, "anthropic.request.id")
    return f"anthropic-{sent}" if sent else ""


def _details(events: tuple[Event, ...]) -> Attributes | None:
    return next(
        (one.attributes for one in events if one.name == "gen_ai.client.inference.operation.details"), None
    )


def _request(call: Call, found: Attributes, events: tuple[Event, ...]) -> Any:
    whole = _as_object(found, "request_data", "gen_ai.prompt", "model_request")
    if whole is not None and _is_batch(whole.get("messages")):
        whole = {**whole, "messages": messages_of(whole)}
    if whole is not None and ("messages" in whole or "model" in whole or "input" in whole):
        return {"model": call.request_model, **whole} if call.request_model else whole
    body: dict[str, Any] = {"model": call.request_model or call.model}
    said = system_of(found.get("gen_ai.system_instructions")) + messages_of(_input(found, events))
    if said:
        body["messages"] = said
    for name, wire in _PARAMETERS.items():
        value = found.get(f"gen_ai.request.{name}")
        if value is not None:
            body[wire] = value
    tools = structured(found.get("gen_ai.tool.definitions"))
    if isinstance(tools, list):
        body["tools"] = tools
    if flag(
        found,
        "gen_ai.request.stream",
        "gen_ai.is_streaming",
        "llm.is_streaming",
        "langsmith.request.streaming",
    ):
        body["stream"] = True
    return body


def _input(found: Attributes, events: tuple[Event, ...]) -> Any:
    for name in ("gen_ai.input.messages", "gen_ai.prompt"):
        if found.get(name):
            return found[name]
    of_events = [
        {"role": one.name.split(".")[1], **one.attributes}
        for one in events
        if one.name
        in ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message")
    ]
    asked = next(
        (one.attributes.get("gen_ai.prompt") for one in events if one.name == "gen_ai.content.prompt"), None
    )
    return nested(found, "gen_ai.prompt") or of_events or asked or _listed(found.get("events"), choices=False)


def _response(found: Attributes, events: tuple[Event, ...], reasons: list[str]) -> Any:
    whole = _as_object(found, "response_data", "gen_ai.completion")
    if whole is not None and ("choices" in whole or "content" in whole or "output" in whole):
        return whole
    of_langchain = langchain_answer(whole)[1]
    if of_langchain:
        return {"choices": of_langchain}
    said = found.get("gen_ai.output.messages") or nested(found, "gen_ai.completion")
    if not said:
        said = [dict(one.attributes) for one in events if one.name == "gen_ai.choice"]
    if not said:
        said = next(
            (
                one.attributes.get("gen_ai.completion")
                for one in events
                if one.name == "gen_ai.content.completion"
            ),
            None,
        ) or _listed(found.get("events"), choices=True)
    choices = choices_of(said, reasons) if said else []
    if not choices:
        choices = [{"index": index, "finish_reason": reason} for index, reason in enumerate(reasons)]
    return {"choices": choices} if choices else {}


def _is_batch(found: Any) -> bool:
    """Return whether messages are LangChain's: a list for each input of a batch."""
    return isinstance(found, list) and bool(found) and isinstance(found[0], list)


def _listed(found: Any, *, choices: bool) -> list[Any]:
    """Return the messages of Pydantic AI's older attribute ``events``, a JSON list."""
    inside = structured(found)
    if not isinstance(inside, list):
        return []
    return [
        one for one in inside
        if isinstance(one, dict) and ((one.get("event.name") == "gen_ai.choice") is choices)
    ]  # fmt: skip


def _as_object(found: Attributes, *names: str) -> dict[str, Any] | None:
    for name in names:
        inside = structured(found.get(name))
        if isinstance(inside, dict):
            return inside
    return None
