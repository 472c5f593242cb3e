"""Spans of Vercel's AI SDK: ``ai.*``. Pure.

Invariant: a call is a span whose operation ends in ``.doGenerate``, ``.doStream``, ``.doEmbed`` or ``.doRerank``. The span
around it (``ai.generateText``, …) has the sums of its steps and is no call.

Sources: AI SDK docs, "Telemetry" ("Collected data"); its source: release 4 writes ``ai.usage.promptTokens``, release 5
``ai.usage.inputTokens`` as the provider's adapter has it, which for Anthropic and Bedrock leaves the cache out, and
release 6 adds ``ai.usage.inputTokenDetails``, with an input that includes the cache for all providers.
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.otlp.calls import NO_COUNTS, Call, Counts, Role
from llmledgerd.otlp.common import provider_of
from llmledgerd.otlp.messages import messages_of
from llmledgerd.otlp.reading import count, mapping, measure, structured, text, texts
from llmledgerd.otlp.signals import Attributes, Span

OPERATION: Final = "ai.operationId"

CALLS: Final = {".doGenerate": "", ".doStream": "", ".doEmbed": "embedding", ".doRerank": "rerank"}
TOOL: Final = "ai.toolCall"
LEAVE_CACHE_OUT: Final = frozenset({"anthropic", "aws"})


def is_dialect(span: Span) -> bool:
    """Return whether a span is the AI SDK's."""
    return OPERATION in span.attributes or (span.origin.scope == "ai" and span.name.startswith("ai."))


def role_of(span: Span) -> tuple[Role, str, str]:
    """Return what a span is, the type of its call, and nothing that is not known."""
    operation = text(span.attributes, OPERATION) or span.name.partition(" ")[0]
    if operation == TOOL:
        return Role.STEP, "tool", ""
    for ending, kind in CALLS.items():
        if operation.endswith(ending):
            return Role.CALL, kind, ""
    return Role.OTHER, "", ""


def call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of its call."""
    found = span.attributes
    provider = provider_of(text(found, "ai.model.provider", "gen_ai.system"))
    request_model = text(found, "ai.model.id", "gen_ai.request.model")
    reason = text(found, "ai.response.finishReason") or next(
        iter(texts(found, "gen_ai.response.finish_reasons")), ""
    )
    call = Call(
        kind=kind,
        provider=provider,
        model=text(found, "ai.response.model", "gen_ai.response.model") or request_model,
        request_model=request_model,
        response_id=text(found, "ai.response.id", "gen_ai.response.id"),
        finish_reasons=[reason] if reason else [],
        counts=counts_of(found, provider),
        first_token_ms=measure(found, "ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
    )
    operation = text(found, OPERATION) or span.name
    call.request = _request(call, found, is_stream=".doStream" in operation)
    call.response = _response(found, reason)
    return call


def tool_call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of a tool."""
    found = span.attributes
    name = text(found, "ai.toolCall.name") or span.name
    given, result = structured(found.get("ai.toolCall.args")), structured(found.get("ai.toolCall.result"))
    return Call(
        kind=kind,
        provider=kind,
        model=name,
        request={"name": name, **({} if given is None else {"arguments": given})},
        response=None if result is None else {"result": result},
    )


def counts_of(found: Attributes, provider: str) -> Counts:
    """Return the token counts."""
    details = "ai.usage.inputTokenDetails."
    metadata = _metadata(found, provider)
    written = count(found, f"{details}cacheWriteTokens", "ai.usage.inputTokens.cacheWrite")
    counts = Counts(
        input=count(
            found,
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
            "gen_ai.usage.input_tokens",
        ),
        output=count(
            found, "ai.usage.outputTokens", "ai.usage.completionTokens", "gen_ai.usage.output_tokens"
        ),
        total=count(found, "ai.usage.totalTokens"),
        cache_read=_or(
            count(found, f"{details}cacheReadTokens", "ai.usage.cachedInputTokens"),
            count(metadata, "cacheReadInputTokens", "cachedPromptTokens"),
        ),
        cache_write=_or(written, count(metadata, "cacheCreationInputTokens", "cacheWriteInputTokens")),
        cache_write_1h=count(
            mapping(mapping(metadata.get("usage")).get("cache_creation")), "ephemeral_1h_input_tokens"
        ),
        reasoning=_or(
            count(found, "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
            count(metadata, "reasoningTokens"),
        ),
        cache_is_beside=provider in LEAVE_CACHE_OUT and not any(name.startswith(details) for name in found),
    )
    return counts if counts.is_known else NO_COUNTS


def _or(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _metadata(found: Attributes, provider: str) -> Attributes:
    """Return what the provider's adapter says beside the usage."""
    said = mapping(found.get("ai.response.providerMetadata"))
    names = {"aws": "bedrock", "vertex": "google"}
    return mapping(said.get(names.get(provider, provider)))


def _request(call: Call, found: Attributes, *, is_stream: bool) -> Any:
    body: dict[str, Any] = {"model": call.request_model}
    if call.kind == "embedding":
        one, many = found.get("ai.value"), found.get("ai.values")
        body["input"] = [structured(value) for value in many] if isinstance(many, list) else structured(one)
    said = messages_of(
        found.get("ai.prompt.messages") or found.get("ai.prompt.format") or found.get("ai.prompt")
    )
    if said:
        body["messages"] = said
    tools = found.get("ai.prompt.tools")
    if isinstance(tools, list):
        body["tools"] = [structured(one) for one in tools]
    for name in ("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty"):
        if found.get(f"gen_ai.request.{name}") is not None:
            body[name] = found[f"gen_ai.request.{name}"]
    if is_stream:
        body["stream"] = True
    return {name: value for name, value in body.items() if value is not None}


def _response(found: Attributes, reason: str) -> Any:
    message: dict[str, Any] = {"role": "assistant"}
    said = text(found, "ai.response.text", "ai.response.object", "ai.result.text")
    if said:
        message["content"] = said
    thought = text(found, "ai.response.reasoning")
    if thought:
        message["reasoning_content"] = thought
    calls = structured(found.get("ai.response.toolCalls") or found.get("ai.result.toolCalls"))
    if isinstance(calls, list):
        message["tool_calls"] = messages_of([{"tool_calls": calls}])[0]["tool_calls"]
    if len(message) == 1 and not reason:
        return {}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason or None}]}
