"""Invoices of streams and lines that say their price's conditions in an unusual place."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.unit.records import invoices_aws as aws
from tests.unit.records import invoices_google as google
from tests.unit.records import invoices_hosts as hosts
from tests.unit.records import invoices_makers as makers
from tests.unit.records import invoices_openai as openai
from tests.unit.records.invoice import ONE, Invoice, Line, Page, calls, named_sse, record, sse, tokens

ELSEWHERE = Page("Replicate pricing", "https://replicate.com/pricing")


def chatted(model: str, *, ask: dict[str, Any] | None = None, **said: str) -> dict[str, Any]:
    """Return a streamed chat whose chunks say the same beside their choices."""
    return record(
        "openai",
        openai.CHAT,
        {"model": model, **openai.ASK, "stream": True, **(ask or {})},
        response_stream=sse(
            openai.chunk(model, 0, "Hi", **said),
            openai.chunk(model, 0, "", "stop", **said),
            openai.chunk(model, None, usage=openai.usage(1000, 100), **said),
        ),
    )


def responses(model: str, final: dict[str, Any], *between: dict[str, Any]) -> dict[str, Any]:
    opening = openai.response(model, None, status="in_progress") | {"output": []}
    told = [{"type": "response.created", "response": opening}, *between]
    told.append({"type": "response.completed", "response": final})
    return record(
        "openai",
        openai.RESPONSES,
        {"model": model, "input": "Hello", "stream": True},
        response_stream=named_sse(*((str(one["type"]), one) for one in told)),
    )


def gemini_stream(model: str, *chunks: dict[str, Any], url: str = "") -> dict[str, Any]:
    place = url or f"{google.HOST}/v1beta/models/{model}:streamGenerateContent"
    return record("google", place, dict(google.ASK), response_stream=sse(*chunks, done=False))


OPENAI = (
    Invoice(
        name="each chunk of a stream names the tier that served it",
        page=openai.PRICING,
        record=chatted("gpt-4o-2024-08-06", service_tier="priority"),
        lines=(tokens("input", 1000, "4.25"), tokens("output", 100, "17")),
    ),
    Invoice(
        name="a stream that was asked for flex and served as default costs the standard price",
        page=openai.PRICING,
        record=chatted("o3", ask={"service_tier": "flex"}, service_tier="default"),
        lines=(tokens("input", 1000, "2"), tokens("output", 100, "8")),
    ),
    Invoice(
        name="a stream whose tier stands in the request alone costs that tier",
        page=openai.PRICING,
        record=chatted("o3", ask={"service_tier": "flex"}),
        lines=(tokens("input", 1000, "1"), tokens("output", 100, "4")),
    ),
    Invoice(
        name="a response's last event names the tier that served it",
        page=openai.PRICING,
        record=responses(
            "gpt-5-mini",
            openai.response("gpt-5-mini-2025-08-07", openai.used_by_response(2000, 300), service_tier="flex"),
        ),
        lines=(tokens("input", 2000, "0.125"), tokens("output", 300, "1")),
    ),
    Invoice(
        name="a streamed search is counted once, in its item and not in its events",
        page=openai.PRICING,
        record=responses(
            "gpt-5",
            openai.response("gpt-5-2025-08-07", openai.used_by_response(9000, 700), [openai.SEARCHED]),
            {"type": "response.web_search_call.in_progress", "output_index": 0, "item_id": "ws_1"},
            {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
            {"type": "response.web_search_call.completed", "output_index": 0, "item_id": "ws_1"},
            {"type": "response.output_item.done", "output_index": 0, "item": openai.SEARCHED},
        ),
        lines=(tokens("input", 9000, "1.25"), tokens("output", 700, "10"), calls("web_search", 1, "10")),
    ),
    Invoice(
        name="what asks about a batch is no call, though its answer counts the batch's tokens",
        page=openai.PRICING,
        record=record(
            "openai",
            f"{openai.HOST}/v1/batches/batch_abc123",
            None,
            {
                "id": "batch_abc123",
                "object": "batch",
                "endpoint": "/v1/chat/completions",
                "model": "gpt-5-2025-08-07",
                "status": "completed",
                "request_counts": {"total": 100, "completed": 100, "failed": 0},
                "usage": openai.used_by_response(150_000, 50_000),
            },
        ),
        reason="usage_unknown",
    ),
)

GOOGLE = (
    Invoice(
        name="a stream's searches stand in the chunk that found them",
        page=google.PRICING,
        record=gemini_stream(
            "gemini-2.5-flash",
            google.generated(
                "gemini-2.5-flash", google.usage(30, 5), finishReason=None, groundingMetadata=google.GROUNDED
            ),
            google.generated("gemini-2.5-flash", google.usage(30, 45)),
        ),
        lines=(tokens("input", 30, "0.30"), tokens("output", 45, "2.50"), calls("web_search", 1, "35")),
    ),
    Invoice(
        name="a stream of provisioned throughput is paid by the month",
        page=google.VERTEX,
        record=gemini_stream(
            "gemini-2.5-flash",
            google.generated(
                "gemini-2.5-flash", {"trafficType": "PROVISIONED_THROUGHPUT"}, finishReason=None
            ),
            google.generated("gemini-2.5-flash", google.usage(30, 45, trafficType="PROVISIONED_THROUGHPUT")),
            url="https://aiplatform.googleapis.com/v1/projects/acme/locations/global"
            "/publishers/google/models/gemini-2.5-flash:streamGenerateContent",
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="cached tokens of a long prompt cost the long prompt's price",
        page=google.PRICING,
        record=google.gemini("gemini-2.5-pro", google.usage(250_000, 1000, cachedContentTokenCount=200_000)),
        lines=(
            tokens("input", 50_000, "2.50"),
            tokens("cache_read", 200_000, "0.25"),
            tokens("output", 1000, "15"),
        ),
    ),
    Invoice(
        name="embeddings in a batch of one call cost their input",
        page=google.PRICING,
        record=record(
            "google",
            "",
            {"requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "Hi"}]}}]},
            {
                "embeddings": [{"values": [0.1]}],
                "usageMetadata": {"promptTokenCount": 4000, "totalTokenCount": 4000},
            },
        ),
        lines=(tokens("input", 4000, "0.15"),),
    ),
    Invoice(
        name="a negative count of candidates is no count",
        page=google.PRICING,
        record=google.gemini("gemini-2.5-flash", google.usage(200, -100)),
        reason="usage_partial",
    ),
)

AWS = (
    Invoice(
        name="a guardrail's events in Titan's stream do not hide its counts",
        page=aws.PRICING,
        record=record(
            "bedrock",
            aws.url("amazon.titan-text-express-v1", "invoke-with-response-stream"),
            {"inputText": "Hello"},
            response_stream=named_sse(
                ("chunk", {"outputText": "Hi", "index": 0, "amazon-bedrock-guardrailAction": "NONE"}),
                (
                    "chunk",
                    {
                        "outputText": "!",
                        "index": 0,
                        "totalOutputTextTokenCount": 300,
                        "completionReason": "FINISH",
                        "inputTextTokenCount": 700,
                        "amazon-bedrock-guardrailAction": "NONE",
                        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 700, "outputTokenCount": 300},
                    },
                ),
            ),
        ),
        lines=(tokens("input", 700, "0.20"), tokens("output", 300, "0.60")),
    ),
    Invoice(
        name="a fractional count of Converse is no count",
        page=aws.PRICING,
        record=aws.converse(
            "amazon.nova-lite-v1:0", {"inputTokens": 10.5, "outputTokens": 4, "totalTokens": 14}
        ),
        reason="usage_partial",
    ),
    Invoice(
        name="an hour of cache of an older Claude has no price at Bedrock",
        page=aws.PRICING,
        record=aws.converse(
            "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
            aws.usage(
                10,
                50,
                cacheReadInputTokens=0,
                cacheWriteInputTokens=3000,
                cacheDetails=[{"ttl": "1h", "inputTokens": 3000}],
            ),
        ),
        reason="no_price_for_part:cache_write_1h",
    ),
)

OTHERS = (
    Invoice(
        name="Perplexity's stream says its cost in the last chunk",
        page=makers.PERPLEXITY,
        record=record(
            "perplexity",
            f"{makers.SONAR}/chat/completions",
            {"model": "sonar", "messages": [], "stream": True},
            response_stream=sse(
                {
                    "object": "chat.completion.chunk",
                    "model": "sonar",
                    "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}],
                    "usage": makers.usage(
                        14, 1, search_context_size="low", cost={"request_cost": 0.005, "total_cost": 0.005015}
                    ),
                },
                {
                    "object": "chat.completion.done",
                    "model": "sonar",
                    "choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}],
                    "usage": makers.usage(
                        14,
                        300,
                        search_context_size="low",
                        cost={"request_cost": 0.005, "total_cost": 0.005314},
                    ),
                },
                done=False,
            ),
            timestamp="2026-08-03T12:00:00Z",
        ),
        lines=(Line("cost", Decimal(1), Decimal("0.005314"), ONE),),
        source="provider",
    ),
    Invoice(
        name="a stream of OpenRouter that was cut before its cost has none",
        page=hosts.OPENROUTER,
        record=record(
            "openrouter",
            "https://openrouter.ai/api/v1/chat/completions",
            {"model": "openai/gpt-4o", "messages": [], "stream": True},
            response_stream=sse(
                {
                    "object": "chat.completion.chunk",
                    "model": "openai/gpt-4o",
                    "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}],
                },
                done=False,
            ),
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="xAI's reasoning stands beside its completion and its cache inside its prompt",
        page=makers.XAI,
        record=makers.chat(
            "xai",
            makers.GROK,
            "grok-3-mini",
            makers.usage(
                1000,
                20,
                1320,
                prompt_tokens_details={"cached_tokens": 600},
                completion_tokens_details={"reasoning_tokens": 300},
            ),
        ),
        lines=(
            tokens("input", 400, "0.30"),
            tokens("cache_read", 600, "0.075"),
            tokens("output", 320, "0.50"),
        ),
    ),
    Invoice(
        name="Claude at Azure's foundry costs Anthropic's price",
        page=openai.AZURE,
        record=record(
            "azure",
            "https://acme.services.ai.azure.com/anthropic/v1/messages",
            {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": []},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [],
                "usage": {"input_tokens": 1000, "output_tokens": 100},
            },
        ),
        lines=(tokens("input", 1000, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="Replicate counts in its metrics and bills by a page of its own",
        page=ELSEWHERE,
        record=record(
            "replicate",
            "https://api.replicate.com/v1/predictions/abc",
            {"input": {"prompt": "Hello"}},
            {
                "id": "abc",
                "model": "meta/meta-llama-3-70b-instruct",
                "status": "succeeded",
                "output": ["Hi"],
                "metrics": {"input_token_count": 12, "output_token_count": 34, "predict_time": 0.8},
            },
        ),
        reason="no_price",
        row={"prompt_tokens": 12, "completion_tokens": 34},
    ),
    Invoice(
        name="a bare public address is nobody's service",
        page=hosts.OWN,
        record=hosts.chat(
            "openai", "http://34.120.1.2:8000/v1/chat/completions", "gpt-4o", hosts.usage(1000, 100)
        ),
        reason="own_model",
    ),
    Invoice(
        name="the host of a container is nobody's service",
        page=hosts.OWN,
        record=hosts.chat(
            "openai", "http://host.docker.internal:1234/v1/chat/completions", "gpt-4o", hosts.usage(1000, 100)
        ),
        reason="own_model",
    ),
    Invoice(
        name="a rented machine is paid by the hour",
        page=hosts.OWN,
        record=hosts.chat(
            "openai",
            "https://abc123-8000.proxy.runpod.net/v1/chat/completions",
            "gpt-4o",
            hosts.usage(1000, 100),
        ),
        reason="own_model",
    ),
    Invoice(
        name="a picture that Cohere embeds has no price in the list",
        page=makers.COHERE,
        record=makers.cohere(
            "v2/embed",
            {"model": "embed-v4.0", "images": ["data:image/png;base64,aGk="], "input_type": "image"},
            {
                "id": "5807ee2e",
                "embeddings": {"float": [[0.1]]},
                "meta": {"billed_units": {"images": 1}},
            },
        ),
        reason="no_price_for_part:image",
    ),
)

INVOICES = OPENAI + GOOGLE + AWS + OTHERS
