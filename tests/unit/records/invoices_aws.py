"""Invoices of Amazon Bedrock."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.unit.records.invoice import Invoice, Page, named_sse, record, tokens

PRICING = Page("Amazon Bedrock pricing", "https://aws.amazon.com/bedrock/pricing/")
PROFILES = Page(
    "Cross-Region inference - Amazon Bedrock",
    "https://docs.aws.amazon.com/bedrock/latest/userguide/cross-region-inference.html",
)

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def url(model: str, verb: str, region: str = "us-east-1") -> str:
    return f"https://bedrock-runtime.{region}.amazonaws.com/model/{quote(model, safe='')}/{verb}"


def usage(taken: int | None, given: int | None, **more: Any) -> dict[str, Any]:
    cached = more.get("cacheReadInputTokens", 0) + more.get("cacheWriteInputTokens", 0)
    total = None if taken is None or given is None else taken + given + cached
    return {"inputTokens": taken, "outputTokens": given, "totalTokens": total, **more}


def converse(
    model: str, used: object, *, region: str = "us-east-1", ask: dict[str, Any] | None = None, **reply: object
) -> dict[str, Any]:
    request = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}], **(ask or {})}
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi!"}]}},
        "stopReason": "end_turn",
        "metrics": {"latencyMs": 551},
        "usage": used,
        **reply,
    }
    return record("bedrock", url(model, "converse", region), request, answer)


def converse_stream(model: str, used: object, **metadata: object) -> dict[str, Any]:
    return record(
        "bedrock",
        url(model, "converse-stream"),
        {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        response_stream=named_sse(
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi!"}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": used, "metrics": {"latencyMs": 551}, **metadata}),
        ),
    )


def invoke(model: str, reply: object, region: str = "us-east-1") -> dict[str, Any]:
    return record("bedrock", url(model, "invoke", region), {"inputText": "Hello"}, reply)


INVOICES = (
    Invoice(
        name="Nova by Converse costs its tokens",
        page=PRICING,
        record=converse("amazon.nova-lite-v1:0", usage(3000, 400)),
        lines=(tokens("input", 3000, "0.06"), tokens("output", 400, "0.24")),
    ),
    Invoice(
        name="Nova's cache reads cost a quarter of its input",
        page=PRICING,
        record=converse(
            "amazon.nova-pro-v1:0", usage(500, 100, cacheReadInputTokens=2000, cacheWriteInputTokens=0)
        ),
        lines=(
            tokens("input", 500, "0.80"),
            tokens("cache_read", 2000, "0.20"),
            tokens("output", 100, "3.20"),
        ),
    ),
    Invoice(
        name="a geographic profile of Claude costs a tenth more than the global one",
        page=PROFILES,
        record=converse(
            f"us.{SONNET}", usage(100, 50, cacheReadInputTokens=2000, cacheWriteInputTokens=1000)
        ),
        lines=(
            tokens("input", 100, "3.30"),
            tokens("cache_read", 2000, "0.33"),
            tokens("cache_write_5m", 1000, "4.125"),
            tokens("output", 50, "16.50"),
        ),
    ),
    Invoice(
        name="the global profile of Claude costs Anthropic's price",
        page=PROFILES,
        record=converse(f"global.{SONNET}", usage(1000, 100), region="eu-central-1"),
        lines=(tokens("input", 1000, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="the profile in an ARN is the profile",
        page=PROFILES,
        record=converse(
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
            usage(1000, 100),
        ),
        lines=(tokens("input", 1000, "1.10"), tokens("output", 100, "5.50")),
    ),
    Invoice(
        name="an application's own profile hides its model",
        page=PROFILES,
        record=converse(
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
            usage(1000, 100),
        ),
        reason="no_price",
    ),
    Invoice(
        name="an hour of cache by Converse is billed as an hour",
        page=PRICING,
        record=converse(
            f"us.{SONNET}",
            usage(
                10,
                50,
                cacheReadInputTokens=0,
                cacheWriteInputTokens=3000,
                cacheDetails=[{"ttl": "1h", "inputTokens": 3000}],
            ),
        ),
        lines=(
            tokens("input", 10, "3.30"),
            tokens("cache_write_1h", 3000, "6.60"),
            tokens("output", 50, "16.50"),
        ),
    ),
    Invoice(
        name="the flex tier of Bedrock has a price that the list does not have",
        page=PRICING,
        record=converse(
            "amazon.nova-pro-v1:0",
            usage(1000, 100),
            ask={"serviceTier": {"type": "flex"}},
            serviceTier={"type": "flex"},
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="the default tier of Bedrock is the list's",
        page=PRICING,
        record=converse("amazon.nova-pro-v1:0", usage(1000, 100), serviceTier={"type": "default"}),
        lines=(tokens("input", 1000, "0.80"), tokens("output", 100, "3.20")),
    ),
    Invoice(
        name="a streamed priority tier stands in the metadata",
        page=PRICING,
        record=converse_stream("amazon.nova-pro-v1:0", usage(1000, 100), serviceTier={"type": "priority"}),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="optimized latency costs more than the list says",
        page=PRICING,
        record=converse(
            "us.amazon.nova-pro-v1:0", usage(1000, 100), performanceConfig={"latency": "optimized"}
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="streamed optimized latency costs more than the list says",
        page=PRICING,
        record=converse_stream(
            "us.amazon.nova-pro-v1:0", usage(1000, 100), performanceConfig={"latency": "optimized"}
        ),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="standard latency is the list's",
        page=PRICING,
        record=converse_stream(
            "us.amazon.nova-pro-v1:0", usage(1000, 100), performanceConfig={"latency": "standard"}
        ),
        lines=(tokens("input", 1000, "0.80"), tokens("output", 100, "3.20")),
    ),
    Invoice(
        name="a Converse total whose parts are null is unknown",
        page=PRICING,
        record=converse(
            "amazon.nova-lite-v1:0", {"inputTokens": None, "outputTokens": None, "totalTokens": 900}
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="Titan counts its output in each result",
        page=PRICING,
        record=invoke(
            "amazon.titan-text-express-v1",
            {
                "inputTextTokenCount": 1000,
                "results": [{"tokenCount": 500, "outputText": "Hi!", "completionReason": "FINISH"}],
            },
        ),
        lines=(tokens("input", 1000, "0.20"), tokens("output", 500, "0.60")),
    ),
    Invoice(
        name="Titan's stream counts all its output in its own name",
        page=PRICING,
        record=record(
            "bedrock",
            url("amazon.titan-text-express-v1", "invoke-with-response-stream"),
            {"inputText": "Hello"},
            response_stream=named_sse(
                (
                    "chunk",
                    {
                        "outputText": "Hi!",
                        "index": 0,
                        "totalOutputTextTokenCount": 300,
                        "completionReason": "FINISH",
                        "inputTextTokenCount": 700,
                    },
                ),
            ),
        ),
        lines=(tokens("input", 700, "0.20"), tokens("output", 300, "0.60")),
    ),
    Invoice(
        name="Titan's embeddings have input alone",
        page=PRICING,
        record=invoke("amazon.titan-embed-text-v2:0", {"embedding": [0.1], "inputTextTokenCount": 500}),
        lines=(tokens("input", 500, "0.02"),),
    ),
    Invoice(
        name="Claude by InvokeModel has Anthropic's own names",
        page=PRICING,
        record=invoke(
            "anthropic.claude-3-haiku-20240307-v1:0",
            {
                "id": "msg_bdrk_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-3-haiku-20240307",
                "content": [{"type": "text", "text": "Hi!"}],
                "usage": {"input_tokens": 1000, "output_tokens": 200},
            },
        ),
        lines=(tokens("input", 1000, "0.25"), tokens("output", 200, "1.25")),
    ),
)
