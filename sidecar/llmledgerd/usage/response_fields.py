"""Fields of a response that facts are extracted from, for all APIs.

Invariant: nothing here depends on the provider's name; equal answers have equal facts. Large parts
(texts, embeddings) are skipped and never become objects.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Raw

from llmledgerd.usage import budget
from llmledgerd.usage.decode import REFUSED, Json, Members, as_bytes, is_object, items, members, text
from llmledgerd.usage.providers.root_counts import OBJECT_NAMES, ROOT_NAMES, usage_of_root

ABSENT = Raw(b"")
"""A member that is not there; false where the other values, null included, are true."""

METRICS = "amazon-bedrock-invocationMetrics"


class Choice(msgspec.Struct, gc=False):
    """OpenAI's choice without its message."""

    finish_reason: str | None = None
    usage: Raw = ABSENT
    message: Raw = ABSENT


class Candidate(msgspec.Struct, gc=False):
    """Gemini's candidate without its content."""

    finish_reason: str | None = msgspec.field(default=None, name="finishReason")
    grounding: Raw = msgspec.field(default=ABSENT, name="groundingMetadata")


class Reply(msgspec.Struct, gc=False):
    """Members of an answer's root with facts of the call."""

    id: str | None = None
    object: str | None = None
    type: Raw = ABSENT
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Raw = ABSENT
    service_tier: str | None = None
    error: Raw = ABSENT
    status: Raw = ABSENT
    incomplete_details: Raw = ABSENT
    stop_reason: str | None = None

    candidates: list[Candidate] | None = None
    usage_metadata: Raw = msgspec.field(default=ABSENT, name="usageMetadata")
    model_version: str | None = msgspec.field(default=None, name="modelVersion")
    response_id: str | None = msgspec.field(default=None, name="responseId")
    prompt_feedback: Raw = msgspec.field(default=ABSENT, name="promptFeedback")

    converse_stop_reason: str | None = msgspec.field(default=None, name="stopReason")
    finish_reason: str | None = None
    done_reason: str | None = None
    completion_reason: str | None = msgspec.field(default=None, name="completionReason")
    meta: Raw = ABSENT
    invocation_metrics: Raw = msgspec.field(default=ABSENT, name=METRICS)
    metrics: Raw = ABSENT
    inference_status: Raw = ABSENT
    x_groq: Raw = ABSENT
    results: Raw = ABSENT
    generations: Raw = ABSENT
    predictions: Raw = ABSENT
    data: Raw = ABSENT
    embeddings: Raw = ABSENT
    embedding: Raw = ABSENT

    cohere_response_id: str | None = msgspec.field(default=None, name="response_id")
    generation_id: str | None = None
    request_id: str | None = None
    model_id: str | None = None
    plain_model_version: str | None = msgspec.field(default=None, name="model_version")
    agent: str | None = None

    error_type: Raw = ABSENT
    amazon_type: Raw = msgspec.field(default=ABSENT, name="__type")
    code: Raw = ABSENT
    message: Raw = ABSENT
    capital_message: Raw = msgspec.field(default=ABSENT, name="Message")
    detail: Raw = ABSENT
    errors: Raw = ABSENT
    base_resp: Raw = ABSENT
    error_code: Raw = ABSENT
    error_msg: Raw = ABSENT

    output: Raw = ABSENT
    steps: Raw = ABSENT
    tools: Raw = ABSENT
    tool_usage: Raw = ABSENT
    server_side_tool_usage: Raw = ABSENT
    container: Raw = ABSENT
    duration: Raw = ABSENT
    usage_info: Raw = ABSENT
    hidden: Raw = msgspec.field(default=ABSENT, name="_hidden_params")
    bedrock_tier: Raw = msgspec.field(default=ABSENT, name="serviceTier")
    performance: Raw = msgspec.field(default=ABSENT, name="performanceConfig")

    key: Raw = ABSENT
    processed_time: Raw = ABSENT
    record_id: Raw = msgspec.field(default=ABSENT, name="recordId")
    model_output: Raw = msgspec.field(default=ABSENT, name="modelOutput")
    custom_id: Raw = ABSENT
    response: Raw = ABSENT
    result: Raw = ABSENT

    diagnostics: Raw = ABSENT
    prompt_cache_diagnostics: Raw = ABSENT

    eval_count: Raw = ABSENT
    """Ollama's; it identifies the provider."""


_ReplyWithCounts = cast(
    "type[Reply]",
    msgspec.defstruct(
        "_ReplyWithCounts",
        [(name, Raw, ABSENT) for name in ROOT_NAMES if name not in Reply.__struct_fields__],
        bases=(Reply,),
        gc=False,
    ),
)
"""A reply and the counts that stand in its root; only ``usage_of_root`` knows those by name."""

_decode = msgspec.json.Decoder(_ReplyWithCounts).decode

FIELDS = {field.encode_name: (field.name, field.type) for field in msgspec.structs.fields(_ReplyWithCounts)}
"""Field names and types by the answer's names; computed once, because reflection is slow."""

BESIDE = [(name, FIELDS[name][0]) for name in (*ROOT_NAMES, "results", "predictions")]
"""The parts that ``usage_of_root`` reads."""


def reply_of(raw: Json) -> Reply:
    """Return an answer's members; empty if it is not an object. Raises TooMuch."""
    if len(raw) > budget.UNCOUNTED_BYTES:
        budget.spend(raw, budget.ANSWER)
    try:
        return _decode(raw)
    except REFUSED:
        return _read_leniently(raw)


def _read_leniently(raw: Json) -> Reply:
    """Decode each member separately, so that one of a wrong type affects only itself."""
    reply = _ReplyWithCounts()
    overlay(reply, members(raw))
    return reply


def overlay(reply: Reply, found: Members) -> None:
    """Set the fields that occur in the members."""
    for name, raw in found.items():
        if name in FIELDS:
            ours, annotation = FIELDS[name]
            setattr(reply, ours, _part(raw, annotation))


def _part(raw: Json, annotation: Any) -> Any:
    if annotation is Raw:
        return Raw(as_bytes(raw))
    if annotation == list[Choice] | None:
        return [_choice(members(one)) for one in items(raw)]
    if annotation == list[Candidate] | None:
        return [_candidate(members(one)) for one in items(raw)]
    return text(raw) or None


def _choice(found: Members) -> Choice:
    return Choice(
        finish_reason=text(found.get("finish_reason")) or None,
        usage=Raw(as_bytes(found.get("usage", b""))),
        message=Raw(as_bytes(found.get("message", b""))),
    )


def _candidate(found: Members) -> Candidate:
    return Candidate(
        finish_reason=text(found.get("finishReason")) or None,
        grounding=Raw(as_bytes(found.get("groundingMetadata", b""))),
    )


def unwrapped(reply: Reply) -> Reply:
    """Return the answer inside a wrapper, or the reply itself without one.

    OpenAI "Batch API: the request output object" and "Realtime: response.done", Anthropic
    "Retrieve Message Batch results", Gemini "Batch API: output file", Bedrock "Process multiple prompts with
    batch inference", Cloudflare "Workers AI: REST".
    """
    response = members(reply.response) if is_object(reply.response) else {}
    result = members(reply.result) if is_object(reply.result) else {}
    inside = (
        response.get("body"),
        result.get("message"),
        result.get("error"),
        reply.response,
        reply.result,
        reply.model_output,
    )
    inner = next((one for one in inside if is_object(one)), None)
    return reply_of(inner) if inner is not None else reply


def is_batch_line(answer: Reply) -> bool:
    """Whether what wraps an answer is a line of a batch's output: Gemini's (``key``), Vertex's
    (``processed_time``), Bedrock's (``recordId``)."""
    return bool(answer.key or answer.processed_time or answer.record_id)


def usage_in(reply: Reply) -> Json:
    """Return the usage object of an answer, or b""."""
    if is_object(reply.usage):
        return reply.usage
    if is_object(reply.usage_metadata):
        return reply.usage_metadata
    return _usage_nested(reply) or _usage_beside(reply)


def _usage_nested(reply: Reply) -> Json:
    """Return usage from where some keep it: Groq, a choice, Bedrock, Cohere, Replicate, DeepInfra, OCR."""
    found = members(reply.x_groq).get("usage") if is_object(reply.x_groq) else None
    nested = (found, *(choice.usage for choice in reply.choices or ()), reply.invocation_metrics, reply.meta)
    for one in nested:
        if one is not None and is_object(one):
            return one
    for one in (reply.metrics, reply.inference_status):
        if is_object(one) and not OBJECT_NAMES.isdisjoint(members(one)):
            return one
    return reply.usage_info if is_object(reply.usage_info) else b""


def _usage_beside(reply: Reply) -> bytes:
    """Return the counts of the root, of the results and of the predictions as one object, or b""."""
    return usage_of_root({name: raw for name, ours in BESIDE if (raw := getattr(reply, ours))})


def finish_reason(reply: Reply) -> str:
    """Return the provider's finish reason; "" without one."""
    if reply.choices:
        return reply.choices[0].finish_reason or ""
    if reply.candidates:
        return reply.candidates[0].finish_reason or ""
    return (
        reply.stop_reason
        or reply.converse_stop_reason
        or reply.finish_reason
        or reply.done_reason
        or reply.completion_reason
        or _nested_reason(reply)
        or text(reply.status)
    )


def _nested_reason(reply: Reply) -> str:
    """Return the finish reason from nested places: Gemini's prompt, Responses, results."""
    if is_object(reply.prompt_feedback):
        return text(members(reply.prompt_feedback).get("blockReason"))
    if is_object(reply.incomplete_details):
        return text(members(reply.incomplete_details).get("reason"))
    listed = reply.results or reply.generations
    first = members(next(iter(items(listed)), b"")) if listed else {}
    return next((text(first[name]) for name in RESULT_REASONS if name in first), "")


def kind_of(reply: Reply) -> str:
    """Return the call type by the answer's shape; "" if unknown."""
    if reply.choices or reply.candidates or reply.stop_reason:
        return ""
    if reply.embeddings or reply.embedding:
        return "embedding"
    start = bytes(memoryview(reply.results or reply.data)[:LOOKED_AT])
    if reply.object == "list" and b'"embedding"' in start:
        return "embedding"
    return "rerank" if b'"relevance_score"' in start else ""


def provider_of(reply: Reply) -> str:
    """Return the provider if its shape is unique; "" otherwise.

    OpenAI's shapes are used by many providers.
    """
    if reply.usage_metadata or reply.candidates:
        return "google"
    if reply.type == MESSAGE and reply.stop_reason:
        return "anthropic"
    if reply.converse_stop_reason or reply.invocation_metrics:
        return "aws"
    if reply.done_reason or reply.eval_count:
        return "ollama"
    return "groq" if reply.x_groq else ""


MESSAGE = Raw(b'"message"')

RESULT_REASONS = ("completionReason", "stop_reason", "finish_reason")
"""Titan's, watsonx's and Cohere's, in each result."""

LOOKED_AT = 256
"""Bytes of a list that identify its items."""
