"""Invoices of makers of models: Cohere, DeepSeek, MiniMax, Mistral, Perplexity, Voyage, xAI."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.unit.records.invoice import ONE, Invoice, Line, Page, calls, record, seconds, sse, tokens

COHERE = Page("Cohere Pricing", "https://cohere.com/pricing")
BILLED = Page("How Does Cohere's Pricing Work?", "https://docs.cohere.com/docs/how-does-cohere-pricing-work")
DEEPSEEK = Page("Models & Pricing | DeepSeek API Docs", "https://api-docs.deepseek.com/quick_start/pricing")
MISTRAL = Page("Mistral AI API pricing", "https://mistral.ai/pricing/api")
PERPLEXITY = Page("Pricing - Perplexity", "https://docs.perplexity.ai/docs/getting-started/pricing")
VOYAGE = Page("Pricing - Voyage AI", "https://docs.voyageai.com/docs/pricing")
XAI = Page("Models and Pricing | xAI Docs", "https://docs.x.ai/docs/models")
MINIMAX = Page("MiniMax API pricing", "https://platform.minimax.io/docs/pricing/overview")


def usage(prompt: int, completion: int, total: int | None = None, **more: object) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        **more,
    }


def chat(provider: str, host: str, model: str, used: object, **more: Any) -> dict[str, Any]:
    reply = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}
        ],
        "usage": used,
        **more.pop("reply", {}),
    }
    request = {"model": model, "messages": [], **more.pop("ask", {})}
    return record(provider, f"{host}/chat/completions", request, reply, **more)


def cohere(path: str, request: object, reply: object, **more: object) -> dict[str, Any]:
    return record("cohere", f"https://api.cohere.com/{path}", request, reply, **more)


COHERES = (
    Invoice(
        name="Cohere bills its billed units and not the tokens beside them",
        page=BILLED,
        record=cohere(
            "v2/chat",
            {"model": "command-a-03-2025", "messages": []},
            {
                "id": "c14c80c3",
                "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
                "usage": {
                    "billed_units": {"input_tokens": 100, "output_tokens": 50},
                    "tokens": {"input_tokens": 596, "output_tokens": 55},
                },
            },
        ),
        lines=(tokens("input", 100, "2.50"), tokens("output", 50, "10")),
        row={"prompt_tokens": 596},
    ),
    Invoice(
        name="Cohere's first version writes its billed units as floats",
        page=BILLED,
        record=cohere(
            "v1/chat",
            {"model": "command-r-08-2024", "message": "Hello"},
            {
                "text": "Hi!",
                "generation_id": "g",
                "meta": {
                    "api_version": {"version": "1"},
                    "billed_units": {"input_tokens": 400.0, "output_tokens": 120.0},
                    "tokens": {"input_tokens": 1400.0, "output_tokens": 130.0},
                },
            },
        ),
        lines=(tokens("input", 400, "0.15"), tokens("output", 120, "0.60")),
    ),
    Invoice(
        name="a stream of Cohere ends with its billed units",
        page=BILLED,
        record=cohere(
            "v2/chat",
            {"model": "command-r7b-12-2024", "messages": [], "stream": True},
            None,
            response_stream=sse(
                {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi!"}}}},
                {
                    "type": "message-end",
                    "delta": {
                        "finish_reason": "COMPLETE",
                        "usage": {
                            "billed_units": {"input_tokens": 9000, "output_tokens": 1000},
                            "tokens": {"input_tokens": 9500, "output_tokens": 1010},
                        },
                    },
                },
                done=False,
            ),
        ),
        lines=(tokens("input", 9000, "0.0375"), tokens("output", 1000, "0.15")),
    ),
    Invoice(
        name="a rerank costs a search, and the list has no price for searches",
        page=COHERE,
        record=cohere(
            "v2/rerank",
            {"model": "rerank-v3.5", "query": "Hello", "documents": ["a", "b"]},
            {
                "results": [{"index": 1, "relevance_score": 0.9}],
                "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
            },
        ),
        reason="no_price",
        note="The page has $2 per 1,000 searches; the list does not have the model.",
    ),
    Invoice(
        name="Cohere's embeddings bill their input",
        page=COHERE,
        record=cohere(
            "v2/embed",
            {"model": "embed-v4.0", "texts": ["Hello"], "input_type": "search_document"},
            {
                "id": "5807ee2e",
                "embeddings": {"float": [[0.1]]},
                "texts": ["Hello"],
                "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 800}},
            },
        ),
        lines=(tokens("input", 800, "0.12"),),
    ),
)

DEEP = "https://api.deepseek.com"


def deepseek(model: str, at: str) -> dict[str, Any]:
    used = usage(1500, 200, prompt_cache_hit_tokens=1000, prompt_cache_miss_tokens=500)
    return chat("deepseek", DEEP, model, used, timestamp=at)


DEEPSEEKS = (
    Invoice(
        name="DeepSeek at noon of a working day costs the off-peak price",
        page=DEEPSEEK,
        record=deepseek("deepseek-v4-flash", "2026-11-17T12:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.003"),
            tokens("input", 500, "0.15"),
            tokens("output", 200, "0.60"),
        ),
    ),
    Invoice(
        name="DeepSeek at two in the morning of a working day costs the peak price",
        page=DEEPSEEK,
        record=deepseek("deepseek-v4-flash", "2026-11-17T02:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.006"),
            tokens("input", 500, "0.30"),
            tokens("output", 200, "1.20"),
        ),
    ),
    Invoice(
        name="the last microsecond of DeepSeek's peak hours is peak and the next is not",
        page=DEEPSEEK,
        record=deepseek("deepseek-v4-flash", "2026-11-17T09:59:59.999999Z"),
        lines=(
            tokens("cache_read", 1000, "0.006"),
            tokens("input", 500, "0.30"),
            tokens("output", 200, "1.20"),
        ),
    ),
    Invoice(
        name="after DeepSeek's peak hours the price is the off-peak price again",
        page=DEEPSEEK,
        record=deepseek("deepseek-v4-flash", "2026-11-17T10:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.003"),
            tokens("input", 500, "0.15"),
            tokens("output", 200, "0.60"),
        ),
    ),
    Invoice(
        name="DeepSeek's older model costs the standard price in the day",
        page=DEEPSEEK,
        record=deepseek("deepseek-chat", "2025-07-01T12:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.07"),
            tokens("input", 500, "0.27"),
            tokens("output", 200, "1.10"),
        ),
    ),
    Invoice(
        name="DeepSeek's older model cost half at night",
        page=DEEPSEEK,
        record=deepseek("deepseek-chat", "2025-07-01T20:00:00Z"),
        lines=(
            tokens("cache_read", 1000, "0.035"),
            tokens("input", 500, "0.135"),
            tokens("output", 200, "0.55"),
        ),
    ),
)


def ocr(model: str, pages: int, **ask: object) -> dict[str, Any]:
    return record(
        "mistral",
        "https://api.mistral.ai/v1/ocr",
        {"model": model, "document": {"type": "document_url", "document_url": "https://e.x/1.pdf"}, **ask},
        {
            "pages": [{"index": 0, "markdown": "Hi!"}],
            "model": model,
            "document_annotation": None,
            "usage_info": {"pages_processed": pages, "doc_size_bytes": 3_002_783},
        },
    )


LA_PLATEFORME = "https://api.mistral.ai/v1"

MISTRALS = (
    Invoice(
        name="a recognized page costs a fifth of a cent",
        page=MISTRAL,
        record=ocr("mistral-ocr-2512", 12),
        lines=(calls("page", 12, "2"),),
    ),
    Invoice(
        name="a Mistral chat costs its tokens",
        page=MISTRAL,
        record=chat("mistral", LA_PLATEFORME, "mistral-small-latest", usage(2000, 300)),
        lines=(tokens("input", 2000, "0.15"), tokens("output", 300, "0.60")),
    ),
    Invoice(
        name="a price counts until the last microsecond of its day",
        page=MISTRAL,
        record=chat(
            "mistral",
            LA_PLATEFORME,
            "mistral-large-4",
            usage(100_000, 10_000),
            timestamp="2026-10-28T23:59:59.999999Z",
        ),
        lines=(tokens("input", 100_000, "1.36"), tokens("output", 10_000, "4.18")),
    ),
    Invoice(
        name="a new price counts from midnight UTC",
        page=MISTRAL,
        record=chat(
            "mistral",
            LA_PLATEFORME,
            "mistral-large-4",
            usage(100_000, 10_000),
            timestamp="2026-10-29T00:00:00Z",
        ),
        lines=(tokens("input", 100_000, "0.70"), tokens("output", 10_000, "2.10")),
    ),
    Invoice(
        name="a moment is the same moment in every zone",
        page=MISTRAL,
        record=chat(
            "mistral",
            LA_PLATEFORME,
            "mistral-large-4",
            usage(100_000, 10_000),
            timestamp="2026-10-29T01:30:00+02:00",
        ),
        lines=(tokens("input", 100_000, "1.36"), tokens("output", 10_000, "4.18")),
    ),
    Invoice(
        name="Voxtral's chat costs its seconds of audio and its text",
        page=MISTRAL,
        record=chat(
            "mistral",
            LA_PLATEFORME,
            "voxtral-small-2507",
            usage(
                20,
                50,
                445,
                prompt_audio_seconds=60,
                prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 375},
            ),
        ),
        lines=(
            tokens("input", 20, "0.10"),
            seconds("audio_second", "60", "0.24"),
            tokens("output", 50, "0.40"),
        ),
    ),
    Invoice(
        name="Voxtral's transcription costs its seconds alone",
        page=MISTRAL,
        record=record(
            "mistral",
            "https://api.mistral.ai/v1/audio/transcriptions",
            {"model": "voxtral-mini-latest"},
            {
                "model": "voxtral-mini-2602",
                "text": "Hello.",
                "language": "en",
                "segments": [],
                "usage": {
                    "prompt_audio_seconds": 203,
                    "prompt_tokens": 4,
                    "total_tokens": 3264,
                    "completion_tokens": 635,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 2625},
                },
            },
        ),
        lines=(seconds("audio_second", "203", "0.18"),),
    ),
)

SONAR = "https://api.perplexity.ai"
DEEP_RESEARCH = usage(33, 7163, citation_tokens=20_016, num_search_queries=28, reasoning_tokens=95_305)

PERPLEXITIES = (
    Invoice(
        name="Perplexity says itself what a call cost",
        page=PERPLEXITY,
        record=chat(
            "perplexity",
            SONAR,
            "sonar-pro",
            usage(
                26,
                832,
                search_context_size="low",
                cost={
                    "input_tokens_cost": 0.000078,
                    "output_tokens_cost": 0.01248,
                    "request_cost": 0.006,
                    "total_cost": 0.018558,
                },
            ),
            timestamp="2026-08-03T12:00:00Z",
        ),
        lines=(tokens("input", 26, "3"), tokens("output", 832, "15"), calls("request", 1, "6")),
        source="provider",
    ),
    Invoice(
        name="a Sonar request with a high search context costs the highest fee, which the list has",
        page=PERPLEXITY,
        record=chat(
            "perplexity",
            SONAR,
            "sonar",
            usage(14, 300, search_context_size="high"),
            timestamp="2026-08-03T12:00:00Z",
        ),
        lines=(tokens("input", 14, "1"), tokens("output", 300, "1"), calls("request", 1, "12")),
        note="The page has $12 per 1,000 such requests, and the list $12 for all, as its comment says.",
    ),
    Invoice(
        name="a Sonar request with a low search context costs less than the list says",
        page=PERPLEXITY,
        record=chat(
            "perplexity",
            SONAR,
            "sonar",
            usage(14, 300, search_context_size="low"),
            timestamp="2026-08-03T12:00:00Z",
        ),
        reason="no_price_for_part:request",
        note="The page has $5 per 1,000 requests; the list has the highest fee, $12, alone.",
    ),
    Invoice(
        name="deep research bills citations, reasoning and searches beside its tokens",
        page=PERPLEXITY,
        record=chat(
            "perplexity", SONAR, "sonar-deep-research", DEEP_RESEARCH, timestamp="2026-08-03T12:00:00Z"
        ),
        lines=(
            tokens("input", 33, "2"),
            tokens("output", 7163, "8"),
            tokens("citation", 20_016, "2"),
            tokens("reasoning", 95_305, "3"),
            calls("web_search", 28, "5"),
        ),
    ),
)

GROK = "https://api.x.ai/v1"

GROKS = (
    Invoice(
        name="xAI's ticks are ten-billionths of a dollar",
        page=XAI,
        record=chat("xai", GROK, "grok-4.5", usage(199, 9, cost_in_usd_ticks=37_756_000)),
        lines=(Line("cost", Decimal("37756000"), Decimal("0.0000000001"), ONE),),
        source="provider",
    ),
    Invoice(
        name="xAI's reasoning stands beside its completion",
        page=XAI,
        record=chat(
            "xai",
            GROK,
            "grok-3-mini",
            usage(100, 20, 420, completion_tokens_details={"reasoning_tokens": 300}),
        ),
        lines=(tokens("input", 100, "0.30"), tokens("output", 320, "0.50")),
    ),
    Invoice(
        name="xAI's long context begins at 200,000 tokens and not behind them",
        page=XAI,
        record=chat("xai", GROK, "grok-4.3", usage(200_000, 1000)),
        lines=(tokens("input", 200_000, "2.50"), tokens("output", 1000, "5")),
    ),
    Invoice(
        name="one token less is no long context",
        page=XAI,
        record=chat("xai", GROK, "grok-4.3", usage(199_999, 1000)),
        lines=(tokens("input", 199_999, "1.25"), tokens("output", 1000, "2.50")),
    ),
    Invoice(
        name="xAI's live search bills its sources, which the list does not have",
        page=XAI,
        record=chat(
            "xai", GROK, "grok-4-0709", usage(1000, 100, num_sources_used=5), ask={"search_parameters": {}}
        ),
        reason="no_price_for_part:search_source",
        note="The page had $25 per 1,000 sources.",
    ),
)


def embedded(model: str, total: int) -> dict[str, Any]:
    return record(
        "voyage",
        "https://api.voyageai.com/v1/embeddings",
        {"model": model, "input": ["Hello"]},
        {
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1], "index": 0}],
            "model": model,
            "usage": {"total_tokens": total},
        },
    )


OTHERS = (
    Invoice(
        name="Voyage's total is its input",
        page=VOYAGE,
        record=embedded("voyage-3.5", 12_000),
        lines=(tokens("input", 12_000, "0.06"),),
    ),
    Invoice(
        name="a reranker of Voyage is not in the list",
        page=VOYAGE,
        record=record(
            "voyage",
            "https://api.voyageai.com/v1/rerank",
            {"model": "rerank-2.5", "query": "Hello", "documents": ["a"]},
            {
                "object": "list",
                "data": [{"relevance_score": 0.4, "index": 0}],
                "model": "rerank-2.5",
                "usage": {"total_tokens": 26},
            },
        ),
        reason="no_price",
    ),
    Invoice(
        name="an error of MiniMax inside a 200 that counts nothing costs nothing",
        page=MINIMAX,
        record=record(
            "minimax",
            "https://api.minimax.io/v1/text/chatcompletion_v2",
            {"model": "MiniMax-M2", "messages": []},
            {
                "id": "04e",
                "choices": None,
                "created": 1,
                "model": "MiniMax-M2",
                "usage": {"total_tokens": 0, "total_characters": 0},
                "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"},
            },
        ),
        lines=(tokens("input", 0, "0.30"),),
        row={"is_error": 1},
    ),
    Invoice(
        name="an answer of MiniMax costs its tokens",
        page=MINIMAX,
        record=chat(
            "minimax",
            "https://api.minimax.io/v1/text",
            "MiniMax-M2",
            usage(1000, 100),
            reply={"base_resp": {"status_code": 0, "status_msg": ""}},
        ),
        lines=(tokens("input", 1000, "0.30"), tokens("output", 100, "1.20")),
        row={"is_error": 0},
    ),
    Invoice(
        name="an error of Baidu inside a 200 has served nothing",
        page=Page("Qianfan pricing", "https://cloud.baidu.com/doc/qianfan/s/wmh4sv6ya"),
        record=record(
            "baidu",
            "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions",
            {"messages": []},
            {"error_code": 336003, "error_msg": "the max length of current question is 2000", "id": "as"},
        ),
        reason="usage_unknown",
        row={"is_error": 1},
    ),
)

INVOICES = COHERES + DEEPSEEKS + MISTRALS + PERPLEXITIES + GROKS + OTHERS
