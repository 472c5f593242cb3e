"""Invoices of the Gemini API and of Vertex AI."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.records.invoice import Invoice, Page, calls, record, sse, tokens

PRICING = Page("Gemini Developer API pricing", "https://ai.google.dev/gemini-api/docs/pricing")
VERTEX = Page("Vertex AI pricing", "https://cloud.google.com/vertex-ai/generative-ai/pricing")

HOST = "https://generativelanguage.googleapis.com"
ASK = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def usage(prompt: int, candidates: int, thoughts: int = 0, **more: object) -> dict[str, Any]:
    found: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "totalTokenCount": prompt + candidates + thoughts,
    }
    return found | ({"thoughtsTokenCount": thoughts} if thoughts else {}) | more


def by_kind(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": kind, "tokenCount": count} for kind, count in counts.items()]


def generated(model: str, used: object, **candidate: object) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": "Hi!"}]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0, **candidate}],
        "usageMetadata": used,
        "modelVersion": model,
        "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
    }


def gemini(model: str, used: object, **candidate: object) -> dict[str, Any]:
    url = f"{HOST}/v1beta/models/{model}:generateContent"
    return record("google", url, dict(ASK), generated(model, used, **candidate))


def vertex(
    model: str, used: object, *, location: str = "global", publisher: str = "google", **more: object
) -> dict[str, Any]:
    host = "aiplatform" if location == "global" else f"{location}-aiplatform"
    verb = "rawPredict" if publisher == "anthropic" else "generateContent"
    url = (
        f"https://{host}.googleapis.com/v1/projects/acme/locations/{location}"
        f"/publishers/{publisher}/models/{model}:{verb}"
    )
    if publisher == "google":
        return record("google_vertex", url, dict(ASK), generated(model, used), **more)
    name = model.partition("@")[0]
    reply = {
        "id": "msg_vrtx_1",
        "type": "message",
        "role": "assistant",
        "model": name,
        "content": [],
        "usage": used,
    }
    return record(
        "google_vertex", url, {"anthropic_version": "vertex-2023-10-16", "messages": []}, reply, **more
    )


GROUNDED = {
    "webSearchQueries": ["who won", "euro 2024"],
    "searchEntryPoint": {"renderedContent": "<div></div>"},
    "groundingChunks": [{"web": {"uri": "https://example.com", "title": "example.com"}}],
}

GEMINI = (
    Invoice(
        name="thoughts stand beside the candidates and cost what output costs",
        page=PRICING,
        record=gemini("gemini-2.5-flash", usage(200, 100, 400)),
        lines=(tokens("input", 200, "0.30"), tokens("output", 500, "2.50")),
    ),
    Invoice(
        name="beyond 200,000 tokens of prompt everything costs the higher price",
        page=PRICING,
        record=gemini("gemini-2.5-pro", usage(250_000, 800, 1200)),
        lines=(tokens("input", 250_000, "2.50"), tokens("output", 2000, "15")),
    ),
    Invoice(
        name="audio that goes in costs more than text",
        page=PRICING,
        record=gemini("gemini-2.5-flash", usage(500, 60, promptTokensDetails=by_kind(TEXT=20, AUDIO=480))),
        lines=(tokens("input", 20, "0.30"), tokens("input_audio", 480, "1"), tokens("output", 60, "2.50")),
    ),
    Invoice(
        name="pictures that go in cost what text costs",
        page=PRICING,
        record=gemini("gemini-2.5-flash", usage(278, 60, promptTokensDetails=by_kind(TEXT=20, IMAGE=258))),
        lines=(tokens("input", 278, "0.30"), tokens("output", 60, "2.50")),
    ),
    Invoice(
        name="cached audio has a price of its own",
        page=PRICING,
        record=gemini(
            "gemini-2.5-flash",
            usage(
                600,
                50,
                cachedContentTokenCount=400,
                promptTokensDetails=by_kind(TEXT=200, AUDIO=400),
                cacheTokensDetails=by_kind(TEXT=100, AUDIO=300),
            ),
        ),
        lines=(
            tokens("input", 100, "0.30"),
            tokens("input_audio", 100, "1"),
            tokens("cache_read", 100, "0.03"),
            tokens("cache_audio_read", 300, "0.10"),
            tokens("output", 50, "2.50"),
        ),
    ),
    Invoice(
        name="the OpenAI-compatible address hides thoughts, and the total has them",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1beta/openai/chat/completions",
            {"model": "gemini-2.5-flash", "messages": []},
            {
                "object": "chat.completion",
                "model": "gemini-2.5-flash",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}}],
                "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 330},
            },
        ),
        lines=(tokens("input", 20, "0.30"), tokens("output", 310, "2.50")),
    ),
    Invoice(
        name="a stream through the OpenAI-compatible address hides thoughts as well",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1beta/openai/chat/completions",
            {"model": "models/gemini-2.5-pro", "messages": [], "stream": True},
            response_stream=sse(
                {
                    "object": "chat.completion.chunk",
                    "model": "models/gemini-2.5-pro",
                    "choices": [{"index": 0, "delta": {"content": "Hi!"}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 40, "completion_tokens": 15, "total_tokens": 655},
                },
            ),
        ),
        lines=(tokens("input", 40, "1.25"), tokens("output", 615, "10")),
    ),
    Invoice(
        name="a stream's last chunk has all thoughts",
        page=PRICING,
        record=record(
            "google",
            f"{HOST}/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            dict(ASK),
            response_stream=sse(
                generated("gemini-2.5-flash", usage(30, 5, 90), finishReason=None),
                generated("gemini-2.5-flash", usage(30, 45, 120)),
                done=False,
            ),
        ),
        lines=(tokens("input", 30, "0.30"), tokens("output", 165, "2.50")),
    ),
    Invoice(
        name="a stream that is a JSON array costs the same",
        page=PRICING,
        record=record(
            "google",
            f"{HOST}/v1beta/models/gemini-2.5-flash-lite:streamGenerateContent",
            dict(ASK),
            response_stream=json.dumps(
                [
                    generated("gemini-2.5-flash-lite", usage(30, 5), finishReason=None),
                    generated("gemini-2.5-flash-lite", usage(30, 45)),
                ]
            ),
        ),
        lines=(tokens("input", 30, "0.10"), tokens("output", 45, "0.40")),
    ),
    Invoice(
        name="what a tool put into the prompt is input",
        page=PRICING,
        record=gemini(
            "gemini-2.5-flash",
            {
                "promptTokenCount": 50,
                "toolUsePromptTokenCount": 1000,
                "candidatesTokenCount": 100,
                "thoughtsTokenCount": 50,
                "totalTokenCount": 1200,
            },
        ),
        lines=(tokens("input", 1050, "0.30"), tokens("output", 150, "2.50")),
    ),
    Invoice(
        name="a grounded prompt of Gemini 2.5 costs one fee for all its searches",
        page=PRICING,
        record=gemini("gemini-2.5-flash", usage(100, 200), groundingMetadata=GROUNDED),
        lines=(tokens("input", 100, "0.30"), tokens("output", 200, "2.50"), calls("web_search", 1, "35")),
        note="Beyond the free prompts of a day, which a single call cannot know.",
    ),
    Invoice(
        name="Gemini 3 is billed for each search",
        page=PRICING,
        record=gemini("gemini-3-flash-preview", usage(100, 200), groundingMetadata=GROUNDED),
        lines=(tokens("input", 100, "0.50"), tokens("output", 200, "3"), calls("web_search", 2, "14")),
        note="Beyond the free searches of a month, which a single call cannot know.",
    ),
    Invoice(
        name="a name with models in front is the model",
        page=PRICING,
        record=record(
            "google",
            "",
            {"model": "models/gemini-2.5-flash", **ASK},
            {key: value for key, value in generated("", usage(200, 100)).items() if key != "modelVersion"},
        ),
        lines=(tokens("input", 200, "0.30"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="a line of a Gemini batch costs half",
        page=PRICING,
        record=record(
            "google",
            f"{HOST}/download/v1beta/files/batch-1:download",
            None,
            {"key": "request-1", "response": generated("gemini-2.5-flash", usage(1000, 200))},
        ),
        lines=(tokens("input", 1000, "0.15"), tokens("output", 200, "1.25")),
    ),
    Invoice(
        name="a cached content's total says nothing about a price",
        page=PRICING,
        record=record(
            "google",
            f"{HOST}/v1beta/cachedContents",
            {"model": "models/gemini-2.5-flash", **ASK, "ttl": "300s"},
            {
                "name": "cachedContents/4d2kd477o3pg",
                "model": "models/gemini-2.5-flash",
                "usageMetadata": {"totalTokenCount": 323_383},
                "expireTime": "2026-11-17T12:05:00Z",
            },
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="a picture that comes out costs twelve times the text",
        page=PRICING,
        record=record(
            "google",
            f"{HOST}/v1beta/models/gemini-2.5-flash-image:generateContent",
            dict(ASK),
            generated("gemini-2.5-flash-image", usage(10, 1290, candidatesTokensDetails=by_kind(IMAGE=1290))),
            timestamp="2026-09-01T12:00:00Z",
        ),
        lines=(tokens("input", 10, "0.30"), tokens("output_image", 1290, "30")),
    ),
    Invoice(
        name="a price that ends with the year is the old one on its last day",
        page=PRICING,
        record=gemini("gemini-3.6-flash", usage(1000, 100)),
        lines=(tokens("input", 1000, "0.75"), tokens("output", 100, "3.75")),
    ),
)

VERTEX_AI = (
    Invoice(
        name="on-demand traffic of Vertex costs the list price",
        page=VERTEX,
        record=vertex("gemini-2.5-flash", usage(1000, 100, trafficType="ON_DEMAND")),
        lines=(tokens("input", 1000, "0.30"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="provisioned throughput is paid by the month",
        page=VERTEX,
        record=vertex("gemini-2.5-flash", usage(1000, 100, trafficType="PROVISIONED_THROUGHPUT")),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="flexible traffic of Vertex has a price that the list does not have",
        page=VERTEX,
        record=vertex("gemini-2.5-flash", usage(1000, 100, trafficType="ON_DEMAND_FLEX")),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="Claude at Vertex's global endpoint costs the list price",
        page=VERTEX,
        record=vertex(
            "claude-sonnet-4-5@20250929", {"input_tokens": 1000, "output_tokens": 100}, publisher="anthropic"
        ),
        lines=(tokens("input", 1000, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="Claude in a region of Vertex costs a tenth more than the list says",
        page=VERTEX,
        record=vertex(
            "claude-sonnet-4-5@20250929",
            {"input_tokens": 1000, "output_tokens": 100},
            publisher="anthropic",
            location="europe-west1",
        ),
        reason="no_price_for_region",
        note="The page has $3.30 and $16.50 for regional endpoints; the list has the global one.",
    ),
    Invoice(
        name="a line of a Vertex batch prediction costs half",
        page=VERTEX,
        record=record(
            "google_vertex",
            "https://us-central1-aiplatform.googleapis.com/v1/projects/acme/locations/us-central1"
            "/batchPredictionJobs/123",
            None,
            {
                "status": "",
                "processed_time": "2026-11-17T12:00:00.000+00:00",
                "request": ASK,
                "response": generated("gemini-2.5-flash", usage(1000, 200)),
            },
        ),
        lines=(tokens("input", 1000, "0.15"), tokens("output", 200, "1.25")),
    ),
    Invoice(
        name="an hour of Claude's cache at Vertex is billed as an hour",
        page=VERTEX,
        record=vertex(
            "claude-haiku-4-5@20251001",
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 3000,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 3000},
                "cache_read_input_tokens": 0,
                "output_tokens": 100,
            },
            publisher="anthropic",
        ),
        lines=(tokens("input", 10, "1"), tokens("cache_write_1h", 3000, "2"), tokens("output", 100, "5")),
    ),
)

INVOICES = GEMINI + VERTEX_AI
