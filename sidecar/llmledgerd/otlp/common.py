"""Attributes that emitters share: who a call is for, how it failed, how long it took. Pure.

Sources: OpenTelemetry semantic conventions (``error.type``, ``exception.*``, ``server.*``, ``session.id``,
``user.id``); OpenInference, "Session", "User"; OpenLLMetry, "Association properties"; Vercel AI SDK, "Telemetry",
``metadata``; LangSmith, "OpenTelemetry attributes"; Claude Code, "Monitoring", "Standard attributes".
"""

from __future__ import annotations

from typing import Final

from llmledgerd.otlp.calls import NO_CONTEXT, Call, Context
from llmledgerd.otlp.reading import count, measure, text, texts
from llmledgerd.otlp.signals import ERROR, Attributes, Span

OWN: Final = "llmledger."
"""Attributes with this prefix name what no convention does: the organization and the project."""

_PROPERTIES: Final = "traceloop.association.properties."
_METADATA: Final = "ai.telemetry.metadata."
_LANGSMITH: Final = "langsmith.metadata."

_RUN: Final = (
    f"{OWN}run_id", "gen_ai.conversation.id", "session.id", "conversation.id", "thread.id", "conversation_id",
    f"{_PROPERTIES}conversation_id", f"{_PROPERTIES}session_id", f"{_PROPERTIES}thread_id",
    f"{_METADATA}sessionId", f"{_METADATA}conversationId", f"{_METADATA}threadId", f"{_METADATA}chatId",
    f"{_LANGSMITH}session_id", f"{_LANGSMITH}conversation_id", f"{_LANGSMITH}thread_id",
)  # fmt: skip
_USER: Final = (
    f"{OWN}user_id", "user.account_uuid", "user.account_id", "user.id", "enduser.id", "litellm.end_user.id",
    f"{_PROPERTIES}user_id", f"{_METADATA}userId", f"{_LANGSMITH}user_id", "gen_ai.user", "llm.user",
)  # fmt: skip
_AGENT: Final = (
    f"{OWN}agent_id", "gen_ai.agent.name", "gen_ai.agent.id", "agent.name", "agent_name", "ai.telemetry.functionId",
)  # fmt: skip
_STEP: Final = (f"{OWN}step_id", "prompt.id", "prompt_id")

_TAGS: Final = (f"{OWN}tags", "tag.tags", "langsmith.span.tags")
_ORGANIZATION: Final = (f"{OWN}organization_id", f"{OWN}org_id")
_PROJECT: Final = f"{OWN}project_id"
_NAMES: Final = frozenset((*_RUN, *_USER, *_AGENT, *_STEP, *_TAGS, *_ORGANIZATION, _PROJECT))

_PROVIDERS: Final = {
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "azure.ai.inference": "azure",
    "az.ai.inference": "azure", "azure_openai": "azure", "azure-openai": "azure", "azure": "azure",
    "aws.bedrock": "aws", "aws_bedrock": "aws", "bedrock": "aws", "amazon_bedrock": "aws", "amazon-bedrock": "aws",
    "bedrock_converse": "aws", "aws": "aws", "amazon": "aws",
    "gcp.gemini": "google", "gcp.gen_ai": "google", "gemini": "google", "google": "google",
    "google_genai": "google", "google-gla": "google", "google_generativeai": "google", "google_ai_studio": "google",
    "gcp.vertex_ai": "vertex", "vertex_ai": "vertex", "vertexai": "vertex", "google_vertexai": "vertex",
    "google-vertex": "vertex", "vertex": "vertex",
    "mistral_ai": "mistral", "mistralai": "mistral", "x_ai": "xai", "ibm.watsonx.ai": "watsonx",
    "together_ai": "together", "hugging_face": "huggingface", "fireworks_ai": "fireworks", "aleph_alpha": "alephalpha",
    "moonshot_ai": "moonshot", "openai_compatible": "", "langchain": "", "crewai": "", "litellm": "",
    "litellm_proxy": "", "_other": "", "unknown": "",
}  # fmt: skip
"""Names of conventions and frameworks, and ours. A framework's own name says nothing of who was called."""


def provider_of(name: str) -> str:
    """Return our name of a provider; empty for a framework.

    >>> provider_of("gcp.vertex_ai"), provider_of("OpenAI"), provider_of("openai.responses")
    ('vertex', 'openai', 'openai')
    """
    lowered = name.lower()
    if lowered in _PROVIDERS:
        return _PROVIDERS[lowered]
    head = lowered.partition(".")[0]
    if lowered.startswith("google.vertex"):
        return "vertex"
    return _PROVIDERS.get(head, head)


def context_of(span: Attributes, resource: Attributes) -> Context:
    """Return who and what a signal is for, by its own attributes, else by its resource's."""
    return _context(span).over(_context(resource)) if resource else _context(span)


def _context(found: Attributes) -> Context:
    if _NAMES.isdisjoint(found):
        return NO_CONTEXT
    return Context(
        agent=text(found, *_AGENT),
        run=text(found, *_RUN),
        step=text(found, *_STEP),
        user=text(found, *_USER),
        organization=text(found, *_ORGANIZATION),
        project=text(found, _PROJECT),
        tags=tuple(texts(found, *_TAGS)),
    )


def add_course(call: Call, span: Span) -> Call:
    """Add times, address and outcome of a span to its call."""
    found = span.attributes
    call.started_ns = span.start_ns
    if span.end_ns > span.start_ns:
        call.latency_ms = (span.end_ns - span.start_ns) / 1e6
    call.url = call.url or url_of(found)
    if call.status_code is None:
        call.status_code = count(found, "http.response.status_code", "http.status_code", "status_code")
    resent = count(found, "http.request.resend_count")
    if call.attempt is None and resent is not None:
        call.attempt = resent + 1
    if call.first_token_ms is None:
        seconds = measure(
            found, "gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token",
            "gen_ai.client.operation.time_to_first_chunk", "gen_ai.response.time_to_first_token",
        )  # fmt: skip
        call.first_token_ms = None if seconds is None else seconds * 1000
    if call.cost_usd is None:
        call.cost_usd = measure(found, "operation.cost", "gen_ai.usage.cost", "llm.cost.total")
    if span.status == ERROR or "error.type" in found:
        _add_failure(call, span)
    return call


def _add_failure(call: Call, span: Span) -> None:
    raised = next((one.attributes for one in span.events if one.name == "exception"), {})
    call.outcome = "error"
    call.error_type = text(span.attributes, "error.type") or text(raised, "exception.type")
    call.error = (
        span.status_message or text(span.attributes, "error.message") or text(raised, "exception.message")
    )
    kind = call.error_type.rpartition(".")[2]
    if kind in ("CancelledError", "GeneratorExit", "AbortError"):
        call.outcome = "cancelled"


def url_of(found: Attributes) -> str:
    """Return the endpoint that was called, as far as it is said."""
    base = text(
        found, "url.full", "gen_ai.openai.api_base", "llm.openai.api_base", "http.url", "server.address"
    )
    if not base:
        return ""
    if "://" in base:
        return base
    port = count(found, "server.port")
    return f"https://{base}" if port in (None, 443) else f"http://{base}:{port}"
