"""Invoices of gateways and hosts of others' models, of one's own servers, and of odd amounts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.unit.records.invoice import ONE, Invoice, Line, Page, record, seconds, sse, tokens

OPENROUTER = Page("Usage Accounting | OpenRouter", "https://openrouter.ai/docs/use-cases/usage-accounting")
OWN_KEY = Page("BYOK | OpenRouter", "https://openrouter.ai/docs/use-cases/byok")
GROQ = Page("Groq On-Demand Pricing for Tokens-as-a-Service", "https://groq.com/pricing")
TOGETHER = Page("Together AI Pricing", "https://www.together.ai/pricing")
FIREWORKS = Page("Fireworks Pricing", "https://fireworks.ai/pricing")
CLOUDFLARE = Page(
    "Pricing - Cloudflare Workers AI docs", "https://developers.cloudflare.com/workers-ai/platform/pricing/"
)
HUGGING_FACE = Page("Inference Providers - Hugging Face", "https://huggingface.co/inference/models")
OWN = Page(
    "No price page: the operator's own server",
    "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
)


def usage(prompt: int, completion: int, **more: object) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def completion(model: str, used: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi!"}
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": used,
    }


def chat(provider: str, url: str, model: str, used: object, **more: object) -> dict[str, Any]:
    request = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return record(provider, url, request, completion(model, used), **more)


def routed(model: str, used: object, **more: object) -> dict[str, Any]:
    return chat("openrouter", "https://openrouter.ai/api/v1/chat/completions", model, used, **more)


def amount(dollars: str) -> Line:
    return Line("cost", Decimal(1), Decimal(dollars), ONE)


GATEWAYS = (
    Invoice(
        name="OpenRouter's own cost is the cost",
        page=OPENROUTER,
        record=routed("openai/gpt-4o", usage(194, 2, cost=0.0014, is_byok=False)),
        lines=(amount("0.0014"),),
        source="provider",
        row={"is_byok": 0},
    ),
    Invoice(
        name="with an own key the gateway bills its fee and the maker the inference",
        page=OWN_KEY,
        record=routed(
            "openai/gpt-4o",
            usage(
                1000,
                200,
                cost=0.000225,
                is_byok=True,
                cost_details={"upstream_inference_cost": 0.0045},
            ),
        ),
        lines=(amount("0.000225"),),
        source="provider",
        row={"is_byok": 1, "upstream_cost_usd": Decimal("0.0045")},
    ),
    Invoice(
        name="a streamed own key says the same in its last chunk",
        page=OWN_KEY,
        record=record(
            "openrouter",
            "https://openrouter.ai/api/v1/chat/completions",
            {"model": "openai/gpt-4o", "messages": [], "stream": True},
            response_stream=sse(
                {
                    "object": "chat.completion.chunk",
                    "model": "openai/gpt-4o",
                    "choices": [{"index": 0, "delta": {"content": "Hi!"}, "finish_reason": "stop"}],
                },
                {
                    "object": "chat.completion.chunk",
                    "model": "openai/gpt-4o",
                    "choices": [],
                    "usage": usage(
                        1000,
                        200,
                        cost=0.000225,
                        is_byok=True,
                        cost_details={"upstream_inference_cost": 0.0045},
                    ),
                },
            ),
        ),
        lines=(amount("0.000225"),),
        source="provider",
        row={"is_byok": 1, "upstream_cost_usd": Decimal("0.0045")},
    ),
    Invoice(
        name="a free variant that says so costs nothing",
        page=OPENROUTER,
        record=routed("deepseek/deepseek-r1:free", usage(194, 200, cost=0, is_byok=False)),
        lines=(amount("0"),),
        source="provider",
    ),
    Invoice(
        name="a free variant that says nothing is free by the list",
        page=OPENROUTER,
        record=routed("deepseek/deepseek-r1:free", usage(194, 200)),
        lines=(amount("0"),),
    ),
    Invoice(
        name="a cost that is written as text is a cost",
        page=OPENROUTER,
        record=routed("openai/gpt-4o", usage(194, 2, cost="0.0021")),
        lines=(amount("0.0021"),),
        source="provider",
    ),
    Invoice(
        name="without the gateway's word its list price counts",
        page=OPENROUTER,
        record=routed("anthropic/claude-sonnet-4.5", usage(1000, 100)),
        lines=(tokens("input", 1000, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="a cost in yuan is no cost in dollars",
        page=Page("SiliconFlow pricing", "https://siliconflow.cn/pricing"),
        record=chat(
            "siliconflow",
            "https://api.siliconflow.cn/v1/chat/completions",
            "deepseek-ai/DeepSeek-V3",
            usage(1000, 100, cost=0.0021, currency="CNY"),
        ),
        reason="other_currency",
    ),
    Invoice(
        name="a cost object in euros is no cost in dollars",
        page=Page("Pricing - Perplexity", "https://docs.perplexity.ai/docs/getting-started/pricing"),
        record=chat(
            "acme-gateway",
            "https://gateway.example.com/v1/chat/completions",
            "acme-large",
            usage(1000, 100, cost={"currency": "EUR", "total_cost": 0.0021}),
        ),
        reason="other_currency",
    ),
    Invoice(
        name="a cost that a sender states is kept beside ours",
        page=OPENROUTER,
        record=routed("anthropic/claude-sonnet-4.5", usage(1000, 100), cost_usd=9.99, cost_source="contract"),
        lines=(tokens("input", 1000, "3"), tokens("output", 100, "15")),
        row={"sent_cost_usd": Decimal("9.99"), "sent_cost_source": "contract"},
    ),
)

HOSTS = (
    Invoice(
        name="Groq's Whisper costs the seconds that its verbose answer names",
        page=GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/audio/transcriptions",
            {"model": "whisper-large-v3-turbo", "response_format": "verbose_json"},
            {
                "task": "transcribe",
                "language": "English",
                "duration": 130.5,
                "text": "Hello.",
                "segments": [],
                "x_groq": {"id": "req_1"},
            },
        ),
        lines=(seconds("audio_second", "130.5", "0.04"),),
    ),
    Invoice(
        name="a transcription that names no seconds is unknown",
        page=GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/audio/transcriptions",
            {"model": "whisper-large-v3"},
            {"text": "Hello.", "x_groq": {"id": "req_1"}},
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="Groq's stream has its usage in a place of its own",
        page=GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/chat/completions",
            {"model": "llama-3.3-70b-versatile", "messages": [], "stream": True},
            response_stream=sse(
                {
                    "object": "chat.completion.chunk",
                    "model": "llama-3.3-70b-versatile",
                    "choices": [{"index": 0, "delta": {"content": "Hi!"}, "finish_reason": None}],
                },
                {
                    "object": "chat.completion.chunk",
                    "model": "llama-3.3-70b-versatile",
                    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                    "x_groq": {"id": "req_1", "usage": usage(1800, 73)},
                },
            ),
        ),
        lines=(tokens("input", 1800, "0.59"), tokens("output", 73, "0.79")),
    ),
    Invoice(
        name="Groq's on-demand tier is the list's",
        page=GROQ,
        record=record(
            "groq",
            "https://api.groq.com/openai/v1/chat/completions",
            {"model": "openai/gpt-oss-120b", "messages": []},
            completion("openai/gpt-oss-120b", usage(1800, 73, prompt_tokens_details={"cached_tokens": 1000}))
            | {"service_tier": "on_demand", "x_groq": {"id": "req_1"}},
        ),
        lines=(
            tokens("input", 800, "0.15"),
            tokens("cache_read", 1000, "0.075"),
            tokens("output", 73, "0.60"),
        ),
    ),
    Invoice(
        name="Together's names are whole paths",
        page=TOGETHER,
        record=chat(
            "together",
            "https://api.together.xyz/v1/chat/completions",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            usage(3000, 400),
        ),
        lines=(tokens("input", 3000, "0.88"), tokens("output", 400, "0.88")),
    ),
    Invoice(
        name="Fireworks' names begin with an account",
        page=FIREWORKS,
        record=chat(
            "fireworks",
            "https://api.fireworks.ai/inference/v1/chat/completions",
            "accounts/fireworks/models/gpt-oss-120b",
            usage(3000, 400, prompt_tokens_details={"cached_tokens": 1000}),
        ),
        lines=(
            tokens("input", 2000, "0.15"),
            tokens("cache_read", 1000, "0.015"),
            tokens("output", 400, "0.60"),
        ),
    ),
    Invoice(
        name="an account's own deployment at Fireworks is paid by the hour",
        page=FIREWORKS,
        record=chat(
            "fireworks",
            "https://api.fireworks.ai/inference/v1/chat/completions",
            "accounts/acme/deployedModels/gpt-oss-120b-abc",
            usage(3000, 400),
        ),
        reason="no_price",
    ),
    Invoice(
        name="Cloudflare's names stand in the address",
        page=CLOUDFLARE,
        record=record(
            "cloudflare",
            "https://api.cloudflare.com/client/v4/accounts/0123/ai/run/@cf/meta/llama-3.3-70b-instruct-fp8-fast",
            {"messages": []},
            {
                "result": {"response": "Hi!", "usage": usage(1000, 100)},
                "success": True,
                "errors": [],
                "messages": [],
            },
        ),
        lines=(tokens("input", 1000, "0.293"), tokens("output", 100, "2.253")),
    ),
    Invoice(
        name="Cloudflare's compatible address has the name in the body",
        page=CLOUDFLARE,
        record=chat(
            "cloudflare",
            "https://api.cloudflare.com/client/v4/accounts/0123/ai/v1/chat/completions",
            "@cf/openai/gpt-oss-20b",
            usage(1000, 100),
        ),
        lines=(tokens("input", 1000, "0.20"), tokens("output", 100, "0.30")),
    ),
    Invoice(
        name="Hugging Face's router at Groq has prices of its own",
        page=HUGGING_FACE,
        record=chat(
            "huggingface_groq",
            "https://router.huggingface.co/groq/openai/v1/chat/completions",
            "openai/gpt-oss-120b",
            usage(1000, 100),
        ),
        lines=(tokens("input", 1000, "0.15"), tokens("output", 100, "0.75")),
        note="The list's price for this router; Groq's own page has $0.60 for output.",
    ),
    Invoice(
        name="a model that no list has is unknown",
        page=TOGETHER,
        record=chat(
            "together", "https://api.together.xyz/v1/chat/completions", "acme/Secret-7B", usage(3000, 400)
        ),
        reason="no_price",
    ),
)

OWN_SERVERS = (
    Invoice(
        name="a server on this machine that speaks OpenAI's language is not billed by OpenAI",
        page=OWN,
        record=chat("openai", "http://localhost:8000/v1/chat/completions", "gpt-4o", usage(1000, 100)),
        reason="own_model",
    ),
    Invoice(
        name="a server in a private network is nobody's service",
        page=OWN,
        record=chat("openai", "http://10.1.2.3:8000/v1/chat/completions", "gpt-4o-mini", usage(1000, 100)),
        reason="own_model",
    ),
    Invoice(
        name="a service of the cluster is nobody's service",
        page=OWN,
        record=chat(
            "openai", "http://vllm.models.svc.cluster.local/v1/chat/completions", "gpt-4o", usage(1000, 100)
        ),
        reason="own_model",
    ),
    Invoice(
        name="a host without a domain is nobody's service",
        page=OWN,
        record=chat(
            "anthropic", "http://llm-gateway:4000/v1/messages", "claude-sonnet-4-5", usage(1000, 100)
        ),
        reason="own_model",
    ),
    Invoice(
        name="a private address of the sixth version is nobody's service",
        page=OWN,
        record=chat("openai", "http://[fd12:3456::1]:8000/v1/chat/completions", "gpt-4o", usage(1000, 100)),
        reason="own_model",
    ),
    Invoice(
        name="Ollama runs at home",
        page=OWN,
        record=record(
            "ollama",
            "http://127.0.0.1:11434/api/chat",
            {"model": "llama3.2", "messages": []},
            {
                "model": "llama3.2",
                "message": {"role": "assistant", "content": "Hi!"},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 26,
                "eval_count": 298,
            },
        ),
        reason="own_model",
    ),
    Invoice(
        name="an agent's configuration says where its model runs",
        page=OWN,
        record=chat(
            "",
            "",
            "gpt-4o",
            usage(1000, 100),
            llm_config={
                "model": "gpt-4o",
                "model_endpoint_type": "openai",
                "model_endpoint": "http://192.168.1.20:8000/v1",
            },
        ),
        reason="own_model",
    ),
    Invoice(
        name="an agent's configuration with the provider's own address is billed",
        page=Page("Pricing - OpenAI API", "https://developers.openai.com/api/docs/pricing"),
        record=chat(
            "",
            "",
            "gpt-4o",
            usage(1000, 100),
            llm_config={
                "model": "gpt-4o",
                "model_endpoint_type": "openai",
                "model_endpoint": "https://api.openai.com/v1",
            },
        ),
        lines=(tokens("input", 1000, "2.50"), tokens("output", 100, "10")),
    ),
)

INVOICES = GATEWAYS + HOSTS + OWN_SERVERS
