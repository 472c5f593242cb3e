"""Spans by OpenInference: ``openinference.span.kind`` and ``llm.*``. Pure.

Invariant: ``llm.token_count.prompt`` includes the cache. Releases of the instrumentation of Anthropic that left it out
show it in their numbers (``tokens``), or pass on the provider's own usage object, which wins.

Sources: OpenInference specification, "Semantic Conventions" and "LLM Spans"; its instrumentations of OpenAI,
Anthropic, LangChain and LlamaIndex.
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.otlp.calls import NO_COUNTS, Call, Counts, Role
from llmledgerd.otlp.common import provider_of
from llmledgerd.otlp.messages import choices_of, langchain_answer, messages_of
from llmledgerd.otlp.reading import count, mapping, nested, structured, text
from llmledgerd.otlp.signals import Attributes, Span

KIND: Final = "openinference.span.kind"

KINDS: Final[dict[str, tuple[Role, str]]] = {
    "LLM": (Role.CALL, ""), "EMBEDDING": (Role.CALL, "embedding"), "RERANKER": (Role.CALL, "rerank"),
    "TOOL": (Role.STEP, "tool"), "RETRIEVER": (Role.STEP, "retrieval"), "AGENT": (Role.AGENT, ""),
}  # fmt: skip

OF_SDKS: Final = tuple(
    f"openinference.instrumentation.{name}"
    for name in ("openai", "anthropic", "mistralai", "groq", "bedrock")
)
"""Instrumentations of providers' own libraries, whose ``output.value`` is the provider's answer."""

_READ: Final = frozenset({"input_tokens", "prompt_tokens", "inputTokens"})


def role_of(span: Span) -> tuple[Role, str, str]:
    """Return what a span is, the type of its call, and nothing that is not known."""
    role, kind = KINDS.get(text(span.attributes, KIND).upper(), (Role.OTHER, ""))
    return role, kind, ""


def call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of its call."""
    found = span.attributes
    parameters = mapping(
        found.get("llm.invocation_parameters") or found.get("embedding.invocation_parameters")
    )
    asked, answered = structured(found.get("input.value")), structured(found.get("output.value"))
    answer = answered if isinstance(answered, dict) else {}
    request_model = text(found, "llm.request.model_name") or text(
        parameters, "model", "model_name", "modelId"
    )
    model = (
        text(
            found, "llm.response.model_name", "llm.model_name", "embedding.model_name", "reranker.model_name"
        )
        or request_model
    )
    is_sdk = span.origin.scope.startswith(OF_SDKS)
    name = text(answer, "id") if is_sdk else langchain_answer(answer)[0]
    call = Call(
        kind=kind,
        provider=provider_of(text(found, "llm.provider")) or provider_of(text(found, "llm.system")),
        model=text(answer, "model") or model if is_sdk else model,
        request_model=request_model or model,
        response_id=name,
        finish_reasons=[text(found, "llm.finish_reason")] if text(found, "llm.finish_reason") else [],
        counts=counts_of(found),
        usage=_own_usage(answer) if is_sdk else None,
    )
    call.request = _request(call, found, parameters, asked, is_sdk=is_sdk)
    call.response = answer if is_sdk and answer else _response(found, answered, call.finish_reasons)
    return call


def tool_call_of(span: Span, kind: str) -> Call:
    """Return what a span tells of a tool or a retrieval."""
    found = span.attributes
    name = text(found, "tool.name") or span.name
    given, result = structured(found.get("input.value")), structured(found.get("output.value"))
    documents = nested(found, "retrieval.documents")
    result = documents if documents is not None else result
    return Call(
        kind=kind,
        provider=kind,
        model=name,
        request={"name": name, **({} if given is None else {"arguments": given})},
        response=None if result is None else {"result": result},
    )


def counts_of(found: Attributes) -> Counts:
    """Return the token counts."""
    prompt, completion = "llm.token_count.prompt", "llm.token_count.completion"
    counts = Counts(
        input=count(found, prompt),
        output=count(found, completion),
        total=count(found, "llm.token_count.total"),
        cache_read=count(found, f"{prompt}_details.cache_read", f"{prompt}_details.cache_input"),
        cache_write=count(found, f"{prompt}_details.cache_write"),
        reasoning=count(found, f"{completion}_details.reasoning"),
        input_audio=count(found, f"{prompt}_details.audio"),
        output_audio=count(found, f"{completion}_details.audio"),
    )
    return counts if counts.is_known else NO_COUNTS


def _own_usage(answer: Attributes) -> Any:
    """Return the provider's usage object of an answer; None for what may be a library's own sums."""
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) and not _READ.isdisjoint(usage) else None


def _request(call: Call, found: Attributes, parameters: Attributes, asked: Any, *, is_sdk: bool) -> Any:
    if is_sdk and isinstance(asked, dict):
        return {"model": call.request_model, **asked}
    body: dict[str, Any] = {"model": call.request_model, **parameters}
    said = messages_of(_unwrapped(nested(found, "llm.input_messages")))
    if call.kind == "embedding":
        texts = _unwrapped(nested(found, "embedding.embeddings")) or []
        body["input"] = [one.get("text") for one in texts if isinstance(one, dict)] or asked
    elif call.kind == "rerank":
        body["query"] = found.get("reranker.query")
        body["documents"] = _unwrapped(nested(found, "reranker.input_documents"))
    elif said:
        body["messages"] = said
    elif asked is not None:
        body["input"] = asked
    return {name: value for name, value in body.items() if value is not None}


def _response(found: Attributes, answered: Any, reasons: list[str]) -> Any:
    said = _unwrapped(nested(found, "llm.output_messages"))
    choices = choices_of(said, reasons) if said else []
    if choices:
        return {"choices": choices}
    documents = _unwrapped(nested(found, "reranker.output_documents"))
    if documents:
        return {"results": documents}
    return {"output": answered} if isinstance(answered, dict | list) else {}


def _unwrapped(found: Any) -> Any:
    """Return a list without the names that OpenInference puts around each entry (``message``, ``document``)."""
    if isinstance(found, list):
        return [_unwrapped(one) for one in found]
    if isinstance(found, dict):
        inner = {name: _unwrapped(one) for name, one in found.items()}
        for name in ("message", "document", "embedding", "message_content"):
            if isinstance(inner.get(name), dict) and len(inner) == 1:
                return inner[name]
        return inner
    return found
