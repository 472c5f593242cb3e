"""Invoices of calls whose price is easily mistaken: free calls, hidden fees, and prices of other moments and places."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.unit.records import invoices_anthropic as anthropic
from tests.unit.records import invoices_aws as aws
from tests.unit.records import invoices_google as google
from tests.unit.records import invoices_hosts as hosts
from tests.unit.records import invoices_makers as makers
from tests.unit.records import invoices_openai as openai
from tests.unit.records.invoice import ONE, Invoice, Line, Page, calls, record, seconds, tokens

SATURDAY_PEAK = "2026-11-14T02:00:00Z"
PERPLEXED = "2026-08-03T12:00:00Z"
FOOTNOTE_DEEPSEEK = (
    "The list's own comment says that it has no days of the week, and that peak prices are an upper bound."
)


def billed(cost: str) -> Line:
    return Line("cost", Decimal(1), Decimal(cost), ONE)


def acted(kind: str) -> dict[str, Any]:
    return {"type": "web_search_call", "id": f"ws_{kind}", "status": "completed", "action": {"type": kind}}


FREE_CALLS = (
    Invoice(
        name="counting tokens is free at Anthropic and no usage",
        page=anthropic.PRICING,
        record=record(
            "anthropic",
            f"{anthropic.URL}/count_tokens",
            anthropic.asked(anthropic.SONNET),
            {"input_tokens": 2095},
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="counting tokens is free at Google and no usage",
        page=google.PRICING,
        record=record(
            "google",
            f"{google.HOST}/v1beta/models/gemini-2.5-flash:countTokens",
            dict(google.ASK),
            {"totalTokens": 3100, "promptTokensDetails": google.by_kind(TEXT=3100)},
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="an opened page is no search and has no fee",
        page=openai.PRICING,
        record=openai.responded(
            "gpt-5",
            openai.used_by_response(9000, 700),
            [openai.SEARCHED, acted("open_page"), acted("find_in_page")],
            tool="web_search",
        ),
        lines=(tokens("input", 9000, "1.25"), tokens("output", 700, "10"), calls("web_search", 1, "10")),
    ),
    Invoice(
        name="calls of functions and of servers that the customer runs have no fee",
        page=openai.PRICING,
        record=openai.responded(
            "gpt-5",
            openai.used_by_response(900, 70),
            [
                {"type": "function_call", "id": "fc_1", "name": "f", "arguments": "{}", "call_id": "c"},
                {"type": "mcp_call", "id": "mcp_1", "name": "roll", "server_label": "d", "arguments": "{}"},
                {"type": "reasoning", "id": "rs_1", "summary": []},
            ],
        ),
        lines=(tokens("input", 900, "1.25"), tokens("output", 70, "10")),
    ),
    Invoice(
        name="a text that speaks of searches has no fee",
        page=openai.PRICING,
        record=openai.responded(
            "gpt-5",
            openai.used_by_response(900, 70),
            [{"type": "message", "content": [{"type": "output_text", "text": '{"type":"web_search_call"}'}]}],
        ),
        lines=(tokens("input", 900, "1.25"), tokens("output", 70, "10")),
    ),
    Invoice(
        name="an empty grounding is no search and has no fee",
        page=google.PRICING,
        record=google.gemini("gemini-2.5-flash", google.usage(100, 200), groundingMetadata={}),
        lines=(tokens("input", 100, "0.30"), tokens("output", 200, "2.50")),
    ),
)

HIDDEN_FEES = (
    Invoice(
        name="the search preview of the small model costs more than the list's searches",
        page=openai.PRICING,
        record=openai.chat(
            "gpt-4o-mini-search-preview-2025-03-11",
            openai.usage(1000, 100),
            ask={"web_search_options": {}},
        ),
        reason="no_price_for_part:web_search_preview",
        note="The page has $25 per 1,000 calls for the preview; the list has $10 for the model beside it.",
    ),
    Invoice(
        name="searches of the small models bring a block of tokens that no usage shows",
        page=openai.PRICING,
        record=openai.responded(
            "gpt-4o-mini-2024-07-18", openai.used_by_response(300, 400), [openai.SEARCHED], tool="web_search"
        ),
        reason="no_price_for_part:web_search_content",
        note="The page bills 8,000 tokens of input for each search of this model.",
    ),
    Invoice(
        name="a search of Claude at Vertex has no price in the list",
        page=google.VERTEX,
        record=google.vertex(
            "claude-sonnet-4-5@20250929",
            {"input_tokens": 1000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 1}},
            publisher="anthropic",
        ),
        reason="no_price_for_part:web_search",
    ),
    Invoice(
        name="a file search at Azure has no price in Azure's list",
        page=openai.AZURE,
        record=record(
            "azure",
            "https://acme.openai.azure.com/openai/v1/responses",
            {"model": "gpt-4.1", "input": "Hello"},
            openai.response("gpt-4.1-2025-04-14", openai.used_by_response(500, 100), [openai.LOOKED_UP]),
        ),
        reason="no_price_for_part:file_search",
    ),
    Invoice(
        name="grounding with maps is another fee than searches",
        page=google.PRICING,
        record=google.gemini(
            "gemini-2.5-flash",
            google.usage(100, 200),
            groundingMetadata={
                "groundingChunks": [{"maps": {"uri": "https://maps.example.com", "title": "x"}}]
            },
        ),
        reason="no_price_for_part:maps_grounding",
    ),
    Invoice(
        name="a server's tool of Bedrock has a fee of its own",
        page=aws.PRICING,
        record=aws.converse(
            "us.amazon.nova-2-lite-v1:0", aws.usage(1000, 100, serverToolUsage={"webGroundingRequests": 2})
        ),
        reason="no_price_for_part:webGroundingRequests",
    ),
    Invoice(
        name="a tool that Groq ran has a fee of its own",
        page=hosts.GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/chat/completions",
            {"model": "openai/gpt-oss-120b", "messages": [], "tools": [{"type": "browser_search"}]},
            {
                "object": "chat.completion",
                "model": "openai/gpt-oss-120b",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": "Hi!",
                            "executed_tools": [{"index": 0, "type": "browser_search", "arguments": "{}"}],
                        },
                        "finish_reason": "stop",
                    }
                ],
                "usage": hosts.usage(1800, 73),
                "x_groq": {"id": "req_1"},
            },
        ),
        reason="no_price_for_part:server_side_tool",
    ),
    Invoice(
        name="a Sonar request that names no search context has no known fee",
        page=makers.PERPLEXITY,
        record=makers.chat("perplexity", makers.SONAR, "sonar", makers.usage(14, 300), timestamp=PERPLEXED),
        reason="no_price_for_part:request",
        note="The page has $5, $8 and $12 per 1,000 requests by search context; the list has the highest alone.",
    ),
    Invoice(
        name="pages with annotations cost more than pages",
        page=makers.MISTRAL,
        record=makers.ocr("mistral-ocr-2512", 12, document_annotation_format={"type": "json_schema"}),
        lines=(calls("annotated_page", 12, "3"),),
        note="The page has $3 per 1,000 annotated pages, in place of the price of pages that are read alone.",
    ),
    Invoice(
        name="code that Claude ran has a container that is billed by the hour",
        page=anthropic.PRICING,
        record=anthropic.call(
            anthropic.SONNET,
            input_tokens=500,
            output_tokens=100,
            server_tool_use={"web_search_requests": 0, "code_execution_requests": 2},
        ),
        reason="no_price_for_part:code_execution",
    ),
    Invoice(
        name="a short recording at Groq costs its minimum of ten seconds",
        page=hosts.GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/audio/transcriptions",
            {"model": "whisper-large-v3-turbo", "response_format": "verbose_json"},
            {"task": "transcribe", "duration": 2.5, "text": "Hello.", "segments": []},
        ),
        lines=(seconds("audio_second", "10", "0.04"),),
    ),
    Invoice(
        name="a web plugin of OpenRouter is in no list",
        page=hosts.OPENROUTER,
        record=hosts.routed("openai/gpt-4o:online", hosts.usage(1000, 100)),
        reason="no_price",
    ),
)

PLACES_AND_MOMENTS = (
    Invoice(
        name="DeepSeek's weekends are off-peak all day, which the list cannot say",
        page=makers.DEEPSEEK,
        record=makers.deepseek("deepseek-v4-flash", SATURDAY_PEAK),
        reason="no_price",
        note=FOOTNOTE_DEEPSEEK,
    ),
    Invoice(
        name="before DeepSeek's new hours one price counted all day, which the list cannot say",
        page=makers.DEEPSEEK,
        record=makers.deepseek("deepseek-v4-flash", "2026-08-03T02:00:00Z"),
        reason="no_price",
        note="$0.14, $0.0028 and $0.28 on that day; the list's peak hours have no date.",
    ),
    Invoice(
        name="DeepSeek's larger model has the same gap in the list",
        page=makers.DEEPSEEK,
        record=makers.deepseek("deepseek-v4-pro", "2026-08-03T08:00:00Z"),
        reason="no_price",
    ),
    Invoice(
        name="DeepSeek's weekend outside the hours of its peak costs the off-peak price",
        page=makers.DEEPSEEK,
        record=makers.deepseek("deepseek-v4-flash", "2026-11-14T12:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.003"),
            tokens("input", 500, "0.15"),
            tokens("output", 200, "0.60"),
        ),
    ),
    Invoice(
        name="a regional host of Mistral costs a tenth more than the list says",
        page=makers.MISTRAL,
        record=makers.chat(
            "mistral", "https://api.eu.mistral.ai/v1", "mistral-small-latest", makers.usage(2000, 300)
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="an American host of OpenAI is a region as well",
        page=openai.PRICING,
        record=openai.chat(
            "gpt-5.5", openai.usage(1000, 100), url="https://us.api.openai.com/v1/chat/completions"
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="Claude in a multi-region of Vertex costs a tenth more than the list says",
        page=google.VERTEX,
        record=record(
            "google_vertex",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/acme/locations/eu"
            "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            {"anthropic_version": "vertex-2023-10-16", "messages": []},
            anthropic.message("claude-sonnet-4-5-20250929", input_tokens=1000, output_tokens=100),
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="Gemini 2.5 costs the same in every region of Vertex",
        page=google.VERTEX,
        record=google.vertex(
            "gemini-2.5-flash", google.usage(1000, 100, trafficType="ON_DEMAND"), location="us-central1"
        ),
        lines=(tokens("input", 1000, "0.30"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="Nova in another continent has another price than the list says",
        page=aws.PRICING,
        record=aws.converse("eu.amazon.nova-lite-v1:0", aws.usage(3000, 400), region="eu-central-1"),
        reason="no_price_for_region",
    ),
    Invoice(
        name="a long context at Bedrock cost more than the list says",
        page=aws.PRICING,
        record=aws.converse(f"us.{aws.SONNET}", aws.usage(250_000, 1000))
        | {"timestamp": "2026-02-02T12:00:00Z"},
        reason="no_price_for_part:input",
        note="Beyond 200,000 tokens the page had twice the input's price; the list has 200,000 as the window.",
    ),
    Invoice(
        name="a long context of Sonnet 4 cost more than the list says",
        page=anthropic.PRICING,
        record=anthropic.call(
            "claude-sonnet-4-20250514", at="2026-02-02T12:00:00Z", input_tokens=250_000, output_tokens=1000
        ),
        reason="no_price_for_part:input",
        note="Beyond 200,000 tokens the page had $6 and $22.50; the list has 200,000 as the window.",
    ),
    Invoice(
        name="provisioned throughput through Vertex's OpenAI-compatible address is paid by the month",
        page=google.VERTEX,
        record=record(
            "google_vertex",
            "https://aiplatform.googleapis.com/v1/projects/acme/locations/global/endpoints/openapi/chat/completions",
            {"model": "google/gemini-2.5-flash", "messages": []},
            openai.completion(
                "google/gemini-2.5-flash",
                openai.usage(
                    1000, 100, extra_properties={"google": {"traffic_type": "PROVISIONED_THROUGHPUT"}}
                ),
            ),
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="Vertex's OpenAI-compatible address on demand costs the list price",
        page=google.VERTEX,
        record=record(
            "google_vertex",
            "https://aiplatform.googleapis.com/v1/projects/acme/locations/global/endpoints/openapi/chat/completions",
            {"model": "google/gemini-2.5-flash", "messages": []},
            openai.completion(
                "google/gemini-2.5-flash",
                openai.usage(1000, 100, extra_properties={"google": {"traffic_type": "ON_DEMAND"}}),
            ),
        ),
        lines=(tokens("input", 1000, "0.30"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="a flex tier of InvokeModel stands in a header",
        page=aws.PRICING,
        record=aws.invoke(
            "openai.gpt-oss-120b-1:0",
            openai.completion("openai.gpt-oss-120b-1:0", openai.usage(1000, 100)),
        )
        | {"response_headers": {"x-amzn-bedrock-service-tier": "flex"}},
        reason="no_price_for_tier",
    ),
    Invoice(
        name="provisioned throughput at Bedrock is paid by the hour",
        page=aws.PRICING,
        record=aws.converse(
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123", aws.usage(1000, 100)
        ),
        reason="no_price",
    ),
    Invoice(
        name="a flex tier of Gemini is not the standard tier",
        page=google.PRICING,
        record=google.gemini("gemini-3.7-flash", google.usage(1000, 100, serviceTier="flex")),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="Bedrock's OpenAI-compatible address is billed by Bedrock",
        page=aws.PRICING,
        record=openai.chat(
            "openai.gpt-oss-20b-1:0",
            openai.usage(10_000, 1000),
            url="https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions",
        ),
        lines=(tokens("input", 10_000, "0.07"), tokens("output", 1000, "0.30")),
    ),
)

ODD_PLACES = (
    Invoice(
        name="a region that stands in the request alone is the region that is billed",
        page=anthropic.RESIDENCY,
        record=anthropic.call(
            "claude-opus-4-6", ask={"inference_geo": "us"}, input_tokens=1000, output_tokens=100
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="a message that speaks of a region is in none",
        page=anthropic.RESIDENCY,
        record=anthropic.call(
            "claude-opus-4-6",
            ask={"messages": [{"role": "user", "content": '{"inference_geo": "us", "speed": "fast"}'}]},
            input_tokens=1000,
            output_tokens=100,
        ),
        lines=(tokens("input", 1000, "5"), tokens("output", 100, "25")),
    ),
    Invoice(
        name="traffic that is written as a number is the same traffic",
        page=google.VERTEX,
        record=google.vertex("gemini-2.5-flash", google.usage(1000, 100, trafficType=2)),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="on-demand traffic that is written as a number costs the list price",
        page=google.VERTEX,
        record=google.vertex("gemini-2.5-flash", google.usage(1000, 100, trafficType=1)),
        lines=(tokens("input", 1000, "0.30"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="a modality that is written as a number is the same modality",
        page=google.VERTEX,
        record=google.vertex(
            "gemini-2.5-flash",
            google.usage(
                500,
                60,
                promptTokensDetails=[{"modality": 1, "tokenCount": 20}, {"modality": 4, "tokenCount": 480}],
            ),
        ),
        lines=(tokens("input", 20, "0.30"), tokens("input_audio", 480, "1"), tokens("output", 60, "2.50")),
    ),
    Invoice(
        name="Azure's cloud for the government has prices of its own",
        page=openai.AZURE,
        record=openai.at_azure("gpt-4o-2024-11-20", openai.usage(1000, 100))
        | {"url": "https://acme.openai.azure.us/openai/deployments/prod-chat/chat/completions"},
        reason="no_price_for_region",
    ),
    Invoice(
        name="Azure's cloud in China has prices of its own",
        page=openai.AZURE,
        record=openai.at_azure("gpt-4o-2024-11-20", openai.usage(1000, 100))
        | {"url": "https://acme.openai.azure.cn/openai/deployments/prod-chat/chat/completions"},
        reason="no_price_for_region",
    ),
    Invoice(
        name="a picture among text and thoughts costs its own price",
        page=google.PRICING,
        record=google.gemini(
            "gemini-3-pro-image-preview",
            google.usage(100, 1300, 200, candidatesTokensDetails=google.by_kind(IMAGE=1120)),
        ),
        lines=(
            tokens("input", 100, "2"),
            tokens("output", 380, "12"),
            tokens("output_image", 1120, "120"),
        ),
    ),
    Invoice(
        name="each iteration has the long context's price for itself",
        page=anthropic.PRICING,
        record=anthropic.call(
            "claude-haiku-5-5",
            input_tokens=90_000,
            output_tokens=100,
            iterations=[
                {"type": "compaction", "input_tokens": 80_000, "output_tokens": 500},
                {"type": "message", "input_tokens": 90_000, "output_tokens": 100},
            ],
        ),
        lines=(tokens("input", 170_000, "0.10"), tokens("output", 600, "0.50")),
        note="Two requests of fewer than 100,000 tokens each; a sum would have five times the price.",
    ),
    Invoice(
        name="a discount of a batch leaves the fees of another region unknown",
        page=anthropic.RESIDENCY,
        record=anthropic.call(
            "claude-opus-4-6", input_tokens=1000, output_tokens=100, service_tier="batch", inference_geo="us"
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="a router that answered with a model of its own is not billed as the one that was asked for",
        page=openai.PRICING,
        record=openai.chat("acme-router-1", openai.usage(1000, 100), sent="gpt-4o"),
        reason="no_price",
    ),
    Invoice(
        name="a chat of Cohere that searched has a fee that the list does not have",
        page=makers.COHERE,
        record=makers.cohere(
            "v1/chat",
            {"model": "command-r-08-2024", "message": "Hello", "connectors": [{"id": "web-search"}]},
            {
                "text": "Hi!",
                "meta": {"billed_units": {"input_tokens": 10, "output_tokens": 3, "search_units": 2}},
            },
        ),
        reason="no_price_for_part:search_unit",
    ),
    Invoice(
        name="tools that xAI ran have fees that the list does not have",
        page=makers.XAI,
        record=makers.chat(
            "xai",
            makers.GROK,
            "grok-4.3",
            makers.usage(
                1000, 100, server_side_tool_usage_details={"web_search_calls": 2, "x_search_calls": 0}
            ),
        ),
        reason="no_price_for_part:web_search",
    ),
)

STRANGERS = (
    Invoice(
        name="another seller's host is billed by that seller whatever the SDK is called",
        page=hosts.OWN,
        record=openai.chat(
            "openai/gpt-oss-120b",
            openai.usage(1000, 100),
            url="https://api.deepinfra.com/v1/openai/chat/completions",
        ),
        reason="no_price",
    ),
    Invoice(
        name="a platform that bills in yuan has no price in dollars",
        page=Page("Kimi platform pricing", "https://platform.moonshot.cn/docs/pricing/chat"),
        record=makers.chat(
            "moonshot", "https://api.moonshot.cn/v1", "kimi-k2-0905-preview", makers.usage(1000, 100)
        ),
        reason="no_price_for_region",
    ),
    Invoice(
        name="the same maker's international platform bills in dollars",
        page=Page("Kimi platform pricing", "https://platform.kimi.ai/docs/pricing/chat.md"),
        record=makers.chat(
            "moonshot", "https://api.moonshot.ai/v1", "kimi-k2-0905-preview", makers.usage(1000, 100)
        ),
        lines=(tokens("input", 1000, "0.60"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="a maker that sells in yuan alone has no price in dollars",
        page=Page("Zhipu AI pricing", "https://open.bigmodel.cn/pricing"),
        record=makers.chat(
            "zhipu", "https://open.bigmodel.cn/api/paas/v4", "glm-4.7", makers.usage(100_000, 1000)
        ),
        reason="other_currency",
        note="The list converts at a rate of its own, and has the price of the shortest prompts.",
    ),
    Invoice(
        name="a cost of 0 from a gateway that does not know is no price",
        page=openai.PRICING,
        record=openai.chat(
            "gpt-4o", openai.usage(1000, 100, cost=0), url="https://llm.example.com/v1/chat/completions"
        ),
        lines=(tokens("input", 1000, "2.50"), tokens("output", 100, "10")),
    ),
    Invoice(
        name="a cache that was asked for an hour and is counted without its lifetime has no known price",
        page=anthropic.PRICING,
        record=anthropic.call(
            anthropic.SONNET,
            ask={
                "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
            },
            input_tokens=10,
            cache_creation_input_tokens=1000,
            output_tokens=10,
        ),
        reason="no_price_for_part:cache_write_1h",
    ),
    Invoice(
        name="a cache that was asked for twelve hours costs more than the list says",
        page=openai.PRICING,
        record=openai.chat(
            "gpt-6.1-terra",
            openai.usage(5000, 100, prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 3000}),
            ask={"prompt_cache_retention": "12h"},
        ),
        reason="no_price_for_part:cache_write_1h",
        note="The list's comment says that it has the price of 30 minutes alone.",
    ),
    Invoice(
        name="a cache of the usual lifetime costs what the list says",
        page=openai.PRICING,
        record=openai.chat(
            "gpt-6.1-terra",
            openai.usage(5000, 100, prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 3000}),
        ),
        lines=(
            tokens("input", 2000, "1"),
            tokens("cache_write_5m", 3000, "1.25"),
            tokens("output", 100, "5"),
        ),
    ),
)

NAMES = (
    Invoice(
        name="a fine-tuned model without a price of its own does not have its base's",
        page=openai.PRICING,
        record=openai.chat("ft:gpt-4.1-mini-2025-04-14:acme::abc123", openai.usage(4000, 200)),
        reason="no_price",
        note="The page has $0.80 and $3.20 for it.",
    ),
    Invoice(
        name="a model of tomorrow has no price today",
        page=openai.PRICING,
        record=openai.chat("gpt-4o-nano", openai.usage(4000, 200)),
        reason="no_price",
    ),
    Invoice(
        name="a name that goes on is another model",
        page=anthropic.PRICING,
        record=anthropic.call("claude-3-5-sonnet-turbo", input_tokens=1000, output_tokens=100),
        reason="no_price",
    ),
    Invoice(
        name="another maker's model at a maker's name has no price",
        page=openai.PRICING,
        record=openai.chat("claude-sonnet-4-5", openai.usage(4000, 200), url=""),
        reason="no_price",
    ),
    Invoice(
        name="the snapshot of May 2024 costs twice the later ones",
        page=openai.PRICING,
        record=openai.chat("gpt-4o-2024-05-13", openai.usage(4000, 200), sent="gpt-4o"),
        lines=(tokens("input", 4000, "5"), tokens("output", 200, "15")),
    ),
    Invoice(
        name="Azure's fine-tuned models carry their tuning behind the date",
        page=openai.AZURE,
        record=openai.at_azure("gpt-4o-mini-2024-07-18.ft-0123456789abcdef", openai.usage(4000, 200)),
        lines=(tokens("input", 4000, "0.30"), tokens("output", 200, "1.20")),
    ),
    Invoice(
        name="Hugging Face's router without a provider's name has no price",
        page=hosts.HUGGING_FACE,
        record=hosts.chat(
            "huggingface",
            "https://router.huggingface.co/v1/chat/completions",
            "openai/gpt-oss-120b",
            hosts.usage(1000, 100),
        ),
        reason="no_price",
    ),
    Invoice(
        name="Hugging Face's router takes the provider behind a colon",
        page=hosts.HUGGING_FACE,
        record=record(
            "huggingface",
            "https://router.huggingface.co/v1/chat/completions",
            {"model": "openai/gpt-oss-120b:groq", "messages": []},
            hosts.completion("openai/gpt-oss-120b", hosts.usage(1000, 100)),
        ),
        lines=(tokens("input", 1000, "0.15"), tokens("output", 100, "0.75")),
    ),
)

COUNTS = (
    Invoice(
        name="more cached tokens than tokens is a contradiction",
        page=openai.PRICING,
        record=openai.chat("gpt-4o", openai.usage(1000, 100, prompt_tokens_details={"cached_tokens": 2000})),
        reason="usage_mismatch",
    ),
    Invoice(
        name="cache writes by lifetime that exceed their sum are a contradiction",
        page=anthropic.PRICING,
        record=anthropic.call(
            anthropic.SONNET,
            input_tokens=100,
            cache_creation_input_tokens=2000,
            cache_creation={"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 3000},
            output_tokens=10,
        ),
        reason="usage_mismatch",
    ),
    Invoice(
        name="a negative part is no part",
        page=openai.PRICING,
        record=openai.chat("gpt-4o", openai.usage(1000, 100, prompt_tokens_details={"cached_tokens": -5})),
        reason="usage_partial",
    ),
    Invoice(
        name="a count that is written as text is a count",
        page=anthropic.PRICING,
        record=anthropic.call(anthropic.SONNET, input_tokens="1200", output_tokens=100),
        lines=(tokens("input", 1200, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="a count beyond its column is not what the row shows",
        page=openai.PRICING,
        record=openai.chat("gpt-4o", openai.usage(5_000_000_000, 100)),
        reason="usage_out_of_range",
    ),
    Invoice(
        name="a message without its input is a lower bound",
        page=anthropic.PRICING,
        record=anthropic.call(anthropic.SONNET, output_tokens=100),
        reason="usage_partial",
    ),
    Invoice(
        name="speech costs its characters",
        page=openai.PRICING,
        record=record(
            "openai",
            f"{openai.HOST}/v1/audio/speech",
            {"model": "tts-1", "input": "é" * 1000, "voice": "alloy"},
        ),
        lines=(Line("character", Decimal(1000), Decimal(15), 1_000_000),),
    ),
    Invoice(
        name="a conversation by voice has cached audio beside cached text",
        page=openai.PRICING,
        record=record(
            "openai",
            "https://api.openai.com/v1/realtime",
            {"model": "gpt-realtime"},
            {
                "type": "response.done",
                "response": {
                    "object": "realtime.response",
                    "status": "completed",
                    "output": [],
                    "usage": {
                        "total_tokens": 1250,
                        "input_tokens": 1000,
                        "output_tokens": 250,
                        "input_token_details": {
                            "text_tokens": 300,
                            "audio_tokens": 700,
                            "cached_tokens": 500,
                            "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 300},
                        },
                        "output_token_details": {"text_tokens": 50, "audio_tokens": 200},
                    },
                },
            },
        ),
        lines=(
            tokens("input", 100, "4"),
            tokens("input_audio", 400, "32"),
            tokens("cache_read", 200, "0.40"),
            tokens("cache_audio_read", 300, "0.40"),
            tokens("output", 50, "16"),
            tokens("output_audio", 200, "64"),
        ),
    ),
    Invoice(
        name="speech of Gemini costs the audio that came out",
        page=google.PRICING,
        record=google.gemini(
            "gemini-2.5-flash-preview-tts",
            google.usage(20, 900, candidatesTokensDetails=google.by_kind(AUDIO=900)),
        ),
        lines=(tokens("input", 20, "0.50"), tokens("output_audio", 900, "10")),
    ),
    Invoice(
        name="a response that ended early costs what it reports",
        page=openai.PRICING,
        record=openai.responded("gpt-4.1", openai.used_by_response(500, 16)),
        lines=(tokens("input", 500, "2"), tokens("output", 16, "8")),
    ),
    Invoice(
        name="xAI's ticks of zero are no price",
        page=makers.XAI,
        record=makers.chat("xai", makers.GROK, "grok-4.3", makers.usage(1000, 100, cost_in_usd_ticks=0)),
        lines=(tokens("input", 1000, "1.25"), tokens("output", 100, "2.50")),
    ),
    Invoice(
        name="a cost object in lower-case dollars is in dollars",
        page=makers.PERPLEXITY,
        record=makers.chat(
            "perplexity",
            makers.SONAR,
            "sonar",
            makers.usage(14, 300, cost={"currency": "usd", "total_cost": 0.0053}),
            timestamp=PERPLEXED,
        ),
        lines=(billed("0.0053"),),
        source="provider",
    ),
    Invoice(
        name="a batch at Groq costs half",
        page=hosts.GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/files/file_1/content",
            None,
            {
                "id": "batch_req_1",
                "custom_id": "one",
                "response": {
                    "status_code": 200,
                    "body": hosts.completion("openai/gpt-oss-120b", hosts.usage(1000, 100)),
                },
                "error": None,
            },
        ),
        lines=(tokens("input", 1000, "0.075"), tokens("output", 100, "0.30")),
    ),
)

INVOICES = FREE_CALLS + HIDDEN_FEES + PLACES_AND_MOMENTS + ODD_PLACES + STRANGERS + NAMES + COUNTS
