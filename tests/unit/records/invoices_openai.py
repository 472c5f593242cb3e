"""Invoices of OpenAI's and Azure's APIs."""

from __future__ import annotations

from typing import Any

from tests.unit.records.invoice import Invoice, Page, calls, named_sse, record, seconds, sse, tokens

PRICING = Page("Pricing - OpenAI API", "https://developers.openai.com/api/docs/pricing")
WHISPER = Page("Whisper - OpenAI API", "https://developers.openai.com/api/docs/models/whisper-1")
AZURE = Page(
    "Azure OpenAI Service - Pricing",
    "https://azure.microsoft.com/en-us/pricing/details/cognitive-services/openai-service/",
)
LITELLM = Page("Pricing - Claude API Docs", "https://platform.claude.com/docs/en/about-claude/pricing")

HOST = "https://api.openai.com"
CHAT, RESPONSES = f"{HOST}/v1/chat/completions", f"{HOST}/v1/responses"
ASK = {"messages": [{"role": "user", "content": "Hello"}]}


def usage(prompt: object, completion: object, total: object = None, **more: object) -> dict[str, Any]:
    if total is None and isinstance(prompt, int) and isinstance(completion, int):
        total = prompt + completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def completion(model: str, used: object, **more: object) -> dict[str, Any]:
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1_741_569_952,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}
        ],
        "usage": used,
        **more,
    }


def chat(
    model: str,
    used: object,
    *,
    ask: dict[str, Any] | None = None,
    reply: dict[str, Any] | None = None,
    sent: str = "",
    url: str = CHAT,
    **more: object,
) -> dict[str, Any]:
    request = {"model": sent or model, **ASK, **(ask or {})}
    return record("openai", url, request, completion(model, used, **(reply or {})), **more)


def chunk(model: str, index: int | None, text: str = "", finish: str | None = None, **more: object) -> object:
    choices = [] if index is None else [{"index": index, "delta": {"content": text}, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model, "choices": choices}
    return head | more


def response(model: str, used: object, output: list[object] | None = None, **more: object) -> dict[str, Any]:
    text = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi!"}]}
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "status": "completed",
        "model": model,
        "output": [*(output or []), text],
        "usage": used,
        **more,
    }


def used_by_response(taken: object, given: object, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": taken + given if isinstance(taken, int) and isinstance(given, int) else None,
    }


SEARCHED = {
    "type": "web_search_call",
    "id": "ws_67c9fa0502748190b7dd390736892e100be649c1a5ff9609",
    "status": "completed",
    "action": {"type": "search", "query": "positive news today"},
}
LOOKED_UP = {
    "type": "file_search_call",
    "id": "fs_67c09ccea8c48191ade9367e3ba71515",
    "status": "completed",
    "queries": ["deep research"],
    "results": None,
}
COMPUTED = {
    "type": "code_interpreter_call",
    "id": "ci_67c09ccea8c48191ade9367e3ba71515",
    "status": "completed",
    "code": "1+1",
    "container_id": "cntr_1",
    "outputs": None,
}
DRAWN = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}


def responded(
    model: str, used: object, output: list[object] | None = None, *, tool: str = "", **more: object
) -> dict[str, Any]:
    request = {"model": model, "input": "Hello", "tools": [{"type": tool}] if tool else []}
    reply = response(model, used, output, tools=request["tools"])
    return record("openai", RESPONSES, request, reply, **more)


CHATS = (
    Invoice(
        name="cached input of gpt-4o costs half and is inside the prompt",
        page=PRICING,
        record=chat(
            "gpt-4o-2024-08-06",
            usage(2000, 300, prompt_tokens_details={"cached_tokens": 1024, "audio_tokens": 0}),
            sent="gpt-4o",
            reply={"service_tier": "default"},
        ),
        lines=(tokens("input", 976, "2.50"), tokens("cache_read", 1024, "1.25"), tokens("output", 300, "10")),
    ),
    Invoice(
        name="the model that replied is billed and not the one that was sent",
        page=PRICING,
        record=chat("gpt-4o-mini-2024-07-18", usage(2000, 250), sent="gpt-4o") | {"model": "gpt-4o"},
        lines=(tokens("input", 2000, "0.15"), tokens("output", 250, "0.60")),
        row={"model": "gpt-4o"},
    ),
    Invoice(
        name="reasoning tokens are output and cost what output costs",
        page=PRICING,
        record=chat(
            "o3-2025-04-16", usage(500, 1500, completion_tokens_details={"reasoning_tokens": 1200}), sent="o3"
        ),
        lines=(tokens("input", 500, "2"), tokens("output", 1500, "8")),
    ),
    Invoice(
        name="a stream's last chunk has the usage",
        page=PRICING,
        record=record(
            "openai",
            CHAT,
            {"model": "gpt-4.1-mini", **ASK, "stream": True, "stream_options": {"include_usage": True}},
            response_stream=sse(
                chunk("gpt-4.1-mini-2025-04-14", 0, "Hi"),
                chunk("gpt-4.1-mini-2025-04-14", 0, "", "stop"),
                chunk("gpt-4.1-mini-2025-04-14", None, usage=usage(900, 77)),
            ),
        ),
        lines=(tokens("input", 900, "0.40"), tokens("output", 77, "1.60")),
    ),
    Invoice(
        name="a stream that was not asked for its usage has no price",
        page=PRICING,
        record=record(
            "openai",
            CHAT,
            {"model": "gpt-4.1-mini", **ASK, "stream": True},
            response_stream=sse(chunk("gpt-4.1-mini", 0, "Hi"), chunk("gpt-4.1-mini", 0, "", "stop")),
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="a stream of two choices that was cut after the first has a lower bound and no price",
        page=PRICING,
        record=record(
            "openai",
            CHAT,
            {"model": "gpt-4.1-mini", **ASK, "n": 2, "stream": True},
            response_stream=sse(
                chunk("gpt-4.1-mini", 0, "Hi", usage=usage(900, 1)),
                chunk("gpt-4.1-mini", 0, "", "stop", usage=usage(900, 2)),
                chunk("gpt-4.1-mini", 1, "Ho", usage=usage(900, 3)),
                done=False,
            ),
        ),
        reason="usage_partial",
    ),
    Invoice(
        name="audio costs its own price in both directions",
        page=PRICING,
        record=chat(
            "gpt-audio-2025-08-28",
            usage(
                600,
                350,
                prompt_tokens_details={"cached_tokens": 0, "text_tokens": 100, "audio_tokens": 500},
                completion_tokens_details={"text_tokens": 50, "audio_tokens": 300, "reasoning_tokens": 0},
            ),
            sent="gpt-audio",
        ),
        lines=(
            tokens("input", 100, "2.50"),
            tokens("input_audio", 500, "32"),
            tokens("output", 50, "10"),
            tokens("output_audio", 300, "64"),
        ),
    ),
    Invoice(
        name="audio of a model whose audio price the list does not have is unknown",
        page=PRICING,
        record=chat(
            "gpt-4o-audio-preview-2024-12-17",
            usage(
                600,
                350,
                prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 500},
                completion_tokens_details={"audio_tokens": 300},
            ),
        ),
        reason="no_price_for_part:input_audio",
        note="The page had $40 and $80 per million; the list has the text prices alone.",
    ),
    Invoice(
        name="text alone of an audio model costs the text price",
        page=PRICING,
        record=chat(
            "gpt-4o-audio-preview-2024-12-17",
            usage(
                600,
                50,
                prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 0},
                completion_tokens_details={"audio_tokens": 0},
            ),
        ),
        lines=(tokens("input", 600, "2.50"), tokens("output", 50, "10")),
    ),
    Invoice(
        name="the flex tier that the reply names costs half",
        page=PRICING,
        record=chat(
            "gpt-5-2025-08-07",
            usage(4000, 900, prompt_tokens_details={"cached_tokens": 1000}),
            sent="gpt-5",
            reply={"service_tier": "flex"},
        ),
        lines=(
            tokens("input", 3000, "0.625"),
            tokens("cache_read", 1000, "0.0625"),
            tokens("output", 900, "5"),
        ),
    ),
    Invoice(
        name="the priority tier has prices of its own for cached input too",
        page=PRICING,
        record=chat(
            "gpt-5-mini-2025-08-07",
            usage(3000, 500, prompt_tokens_details={"cached_tokens": 2000}),
            reply={"service_tier": "priority"},
        ),
        lines=(
            tokens("input", 1000, "0.45"),
            tokens("cache_read", 2000, "0.045"),
            tokens("output", 500, "3.60"),
        ),
    ),
    Invoice(
        name="priority that was asked for and served as default costs the standard price",
        page=PRICING,
        record=chat(
            "gpt-5-mini",
            usage(3000, 500),
            ask={"service_tier": "priority"},
            reply={"service_tier": "default"},
        ),
        lines=(tokens("input", 3000, "0.25"), tokens("output", 500, "2")),
    ),
    Invoice(
        name="a tier that stands in the request alone is the tier that is billed",
        page=PRICING,
        record=chat("o3", usage(3000, 500), ask={"service_tier": "flex"}),
        lines=(tokens("input", 3000, "1"), tokens("output", 500, "4")),
    ),
    Invoice(
        name="the tier auto in a request says nothing",
        page=PRICING,
        record=chat("gpt-4o", usage(1000, 100), ask={"service_tier": "auto"}),
        lines=(tokens("input", 1000, "2.50"), tokens("output", 100, "10")),
    ),
    Invoice(
        name="the scale tier is bought by the unit and has no price per token",
        page=PRICING,
        record=chat("gpt-4o", usage(1000, 100), reply={"service_tier": "scale"}),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="a tier that no list knows is not the standard tier",
        page=PRICING,
        record=chat("gpt-4o", usage(1000, 100), reply={"service_tier": "ultra"}),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="a batch's line costs half",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/files/file-xyz123/content",
            None,
            {
                "id": "batch_req_123",
                "custom_id": "request-2",
                "response": {
                    "status_code": 200,
                    "request_id": "req_123",
                    "body": completion("gpt-4o-2024-08-06", usage(2000, 400)),
                },
                "error": None,
            },
        ),
        lines=(tokens("input", 2000, "1.25"), tokens("output", 400, "5")),
    ),
    Invoice(
        name="beyond 272,000 tokens of input the whole call has the long-context price",
        page=PRICING,
        record=chat("gpt-5.4-2026-03-05", usage(300_000, 1000)),
        lines=(tokens("input", 300_000, "5"), tokens("output", 1000, "22.50")),
    ),
    Invoice(
        name="cache writes of the newest models cost a quarter more than input",
        page=PRICING,
        record=chat(
            "gpt-5.6-sol",
            usage(5000, 100, prompt_tokens_details={"cached_tokens": 1000, "cache_write_tokens": 2000}),
        ),
        lines=(
            tokens("input", 2000, "4"),
            tokens("cache_read", 1000, "0.40"),
            tokens("cache_write_5m", 2000, "5"),
            tokens("output", 100, "20"),
        ),
    ),
    Invoice(
        name="a fine-tuned model costs its own price and not its base's",
        page=PRICING,
        record=chat("ft:gpt-4o-mini-2024-07-18:acme::abc123", usage(4000, 200)),
        lines=(tokens("input", 4000, "0.30"), tokens("output", 200, "1.20")),
    ),
    Invoice(
        name="a European host has no price in the list of the global one",
        page=PRICING,
        record=chat("gpt-5.4", usage(1000, 100), url="https://eu.api.openai.com/v1/chat/completions"),
        reason="no_price_for_region",
        note="The page adds a tenth for this model in a region; the list has global prices.",
    ),
    Invoice(
        name="a search model has a fee per call that no count of the reply shows",
        page=PRICING,
        record=chat("gpt-4o-search-preview-2025-03-11", usage(1000, 100), ask={"web_search_options": {}}),
        reason="no_price_for_part:web_search_preview",
        note="The page has $25 per 1,000 calls for this model; the list has its tokens alone.",
    ),
    Invoice(
        name="a negative count is no count",
        page=PRICING,
        record=chat("gpt-4o", usage(-1000, 100, 100)),
        reason="usage_partial",
    ),
    Invoice(
        name="a boolean is no count",
        page=PRICING,
        record=chat("gpt-4o", usage(True, 100, 101)),
        reason="usage_partial",
    ),
    Invoice(
        name="a total above its parts means that some are missing",
        page=PRICING,
        record=chat("gpt-4o", usage(1000, 100, 5000)),
        reason="usage_mismatch",
    ),
    Invoice(
        name="LiteLLM's hour of cache in OpenAI's dress is billed as an hour",
        page=LITELLM,
        record=record(
            "anthropic",
            "",
            {"model": "claude-sonnet-4-5-20250929", **ASK},
            completion(
                "claude-sonnet-4-5-20250929",
                usage(
                    5000,
                    100,
                    prompt_tokens_details={
                        "cached_tokens": 0,
                        "cache_creation_tokens": 4000,
                        "cache_creation_token_details": {
                            "ephemeral_5m_input_tokens": 1000,
                            "ephemeral_1h_input_tokens": 3000,
                        },
                    },
                    cache_creation_input_tokens=4000,
                    cache_read_input_tokens=0,
                ),
            ),
        ),
        lines=(
            tokens("input", 1000, "3"),
            tokens("cache_write_5m", 1000, "3.75"),
            tokens("cache_write_1h", 3000, "6"),
            tokens("output", 100, "15"),
        ),
    ),
)

OTHERS = (
    Invoice(
        name="two web searches of a response cost two cents beside the tokens",
        page=PRICING,
        record=responded(
            "gpt-5-2025-08-07",
            used_by_response(9000, 700, reasoning=300),
            [SEARCHED, SEARCHED | {"id": "ws_2"}],
            tool="web_search",
        ),
        lines=(tokens("input", 9000, "1.25"), tokens("output", 700, "10"), calls("web_search", 2, "10")),
    ),
    Invoice(
        name="the preview of web search with a model that does not reason costs more than the list says",
        page=PRICING,
        record=responded(
            "gpt-4o-2024-08-06", used_by_response(300, 400), [SEARCHED], tool="web_search_preview"
        ),
        reason="no_price_for_part:web_search_preview",
        note="The page has $25 per 1,000 such calls; the list has $10.",
    ),
    Invoice(
        name="a streamed file search has its fee",
        page=PRICING,
        record=record(
            "openai",
            RESPONSES,
            {"model": "gpt-4.1", "input": "Hello", "stream": True, "tools": [{"type": "file_search"}]},
            response_stream=named_sse(
                (
                    "response.created",
                    {"type": "response.created", "response": response("gpt-4.1", None, status="in_progress")},
                ),
                (
                    "response.completed",
                    {
                        "type": "response.completed",
                        "response": response(
                            "gpt-4.1-2025-04-14", used_by_response(18_307, 948), [LOOKED_UP]
                        ),
                    },
                ),
            ),
        ),
        lines=(tokens("input", 18_307, "2"), tokens("output", 948, "8"), calls("file_search", 1, "2.50")),
    ),
    Invoice(
        name="a code interpreter's container has a price that the list does not have",
        page=PRICING,
        record=responded(
            "gpt-4.1-2025-04-14", used_by_response(500, 100), [COMPUTED], tool="code_interpreter"
        ),
        reason="no_price_for_part:code_interpreter",
    ),
    Invoice(
        name="an image that a response drew is billed beside its tokens",
        page=PRICING,
        record=responded("gpt-4.1-2025-04-14", used_by_response(500, 100), [DRAWN], tool="image_generation"),
        reason="no_price_for_part:image_generation",
    ),
    Invoice(
        name="a response with its cache and reasoning costs cached input and output",
        page=PRICING,
        record=responded("gpt-5.1-2025-11-13", used_by_response(6000, 2000, cached=4096, reasoning=1500)),
        lines=(
            tokens("input", 1904, "1.25"),
            tokens("cache_read", 4096, "0.125"),
            tokens("output", 2000, "10"),
        ),
    ),
    Invoice(
        name="a total without its parts is unknown and not free",
        page=PRICING,
        record=responded("gpt-5.1", {"input_tokens": None, "output_tokens": None, "total_tokens": 1234}),
        reason="usage_unknown",
    ),
    Invoice(
        name="a response's stream that was cut has no usage",
        page=PRICING,
        record=record(
            "openai",
            RESPONSES,
            {"model": "gpt-4.1", "input": "Hello", "stream": True},
            response_stream=named_sse(
                (
                    "response.created",
                    {"type": "response.created", "response": response("gpt-4.1", None, status="in_progress")},
                ),
                ("response.output_text.delta", {"type": "response.output_text.delta", "delta": "Hi"}),
            ),
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="Whisper costs its seconds",
        page=WHISPER,
        record=record(
            "openai",
            f"{HOST}/v1/audio/transcriptions",
            {"model": "whisper-1", "response_format": "json"},
            {"text": "Hello.", "usage": {"type": "duration", "seconds": 126}},
        ),
        lines=(seconds("audio_second", "126", "0.36"),),
    ),
    Invoice(
        name="a transcription by tokens has prices for audio and text",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/audio/transcriptions",
            {"model": "gpt-4o-transcribe"},
            {
                "text": "Hello.",
                "usage": {
                    "type": "tokens",
                    "input_tokens": 140,
                    "input_token_details": {"text_tokens": 14, "audio_tokens": 126},
                    "output_tokens": 45,
                    "total_tokens": 185,
                },
            },
        ),
        lines=(tokens("input", 14, "2.50"), tokens("input_audio", 126, "6"), tokens("output", 45, "10")),
    ),
    Invoice(
        name="an image costs the tokens of the picture that came out",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/images/generations",
            {"model": "gpt-image-1.5", "prompt": "A cat", "size": "1024x1024"},
            {
                "created": 1_713_833_628,
                "data": [{"b64_json": "aGk="}],
                "size": "1024x1024",
                "usage": {
                    "input_tokens": 50,
                    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
                    "output_tokens": 1100,
                    "output_tokens_details": {"text_tokens": 44, "image_tokens": 1056},
                    "total_tokens": 1150,
                },
            },
        ),
        lines=(tokens("input", 50, "5"), tokens("output", 44, "10"), tokens("output_image", 1056, "32")),
    ),
    Invoice(
        name="an edited image costs the picture that went in as well",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/images/edits",
            {"model": "gpt-image-1", "prompt": "A hat"},
            {
                "created": 1_713_833_628,
                "data": [{"b64_json": "aGk="}],
                "usage": {
                    "input_tokens": 363,
                    "input_tokens_details": {"text_tokens": 40, "image_tokens": 323},
                    "output_tokens": 1056,
                    "total_tokens": 1419,
                },
            },
        ),
        lines=(
            tokens("input", 40, "5"),
            tokens("input_image", 323, "10"),
            tokens("output_image", 1056, "40"),
        ),
    ),
    Invoice(
        name="an image that is sold by the piece is in no list",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/images/generations",
            {"model": "dall-e-3", "prompt": "A cat", "size": "1024x1024"},
            {"created": 1_589_478_378, "data": [{"url": "https://example.com/1.png"}]},
        ),
        reason="no_price",
        note="The page has $0.04 for a picture of this size.",
    ),
    Invoice(
        name="embeddings have input alone",
        page=PRICING,
        record=record(
            "openai",
            f"{HOST}/v1/embeddings",
            {"model": "text-embedding-3-small", "input": "Hello"},
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
                "model": "text-embedding-3-small",
                "usage": {"prompt_tokens": 8000, "total_tokens": 8000},
            },
        ),
        lines=(tokens("input", 8000, "0.02"),),
    ),
    Invoice(
        name="the reasoning of a response in the flex tier costs half",
        page=PRICING,
        record=record(
            "openai",
            RESPONSES,
            {"model": "o4-mini", "input": "Hello", "service_tier": "flex"},
            response("o4-mini-2025-04-16", used_by_response(1000, 800, reasoning=640), service_tier="flex"),
        ),
        lines=(tokens("input", 1000, "0.55"), tokens("output", 800, "2.20")),
    ),
)

DEPLOYMENT = "https://acme.openai.azure.com/openai/deployments/prod-chat"


def at_azure(model: str, used: object, path: str = "/chat/completions", **reply: object) -> dict[str, Any]:
    return record("azure", DEPLOYMENT + path, dict(ASK), completion(model, used, **reply))


AZURES = (
    Invoice(
        name="a deployment of any name costs what its model costs",
        page=AZURE,
        record=at_azure("gpt-4o-2024-11-20", usage(1500, 200)),
        lines=(tokens("input", 1500, "2.50"), tokens("output", 200, "10")),
        note="The global deployment's price; a regional one may cost more and cannot be told from the reply.",
    ),
    Invoice(
        name="embeddings at Azure cost what they cost at OpenAI",
        page=AZURE,
        record=record(
            "azure",
            DEPLOYMENT + "/embeddings",
            {"input": "Hello"},
            {
                "object": "list",
                "data": [],
                "model": "text-embedding-3-large",
                "usage": {"prompt_tokens": 700, "total_tokens": 700},
            },
        ),
        lines=(tokens("input", 700, "0.13"),),
    ),
    Invoice(
        name="the priority tier of Azure is not in the list",
        page=AZURE,
        record=at_azure("gpt-4o-2024-11-20", usage(1500, 200), service_tier="priority"),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="a batch at Azure has no price in the list",
        page=AZURE,
        record=record(
            "azure",
            "https://acme.openai.azure.com/openai/files/file-1/content",
            None,
            {
                "custom_id": "task-0",
                "response": {
                    "status_code": 200,
                    "body": completion("gpt-4o-2024-11-20", usage(1500, 200)),
                },
                "error": None,
            },
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="a deployment whose name alone is known has no price",
        page=AZURE,
        record=record(
            "azure",
            DEPLOYMENT + "/chat/completions",
            dict(ASK),
            {key: value for key, value in completion("", usage(1500, 200)).items() if key != "model"},
        ),
        reason="no_price",
    ),
    Invoice(
        name="what the content filter refused was not served",
        page=AZURE,
        record=record(
            "azure",
            DEPLOYMENT + "/chat/completions",
            dict(ASK),
            {"error": {"code": "content_filter", "message": "The response was filtered.", "status": 400}},
            status_code=400,
        ),
        reason="usage_unknown",
    ),
)

INVOICES = CHATS + OTHERS + AZURES
