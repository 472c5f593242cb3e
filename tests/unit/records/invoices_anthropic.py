"""Invoices of Anthropic's own API."""

from __future__ import annotations

from typing import Any

from tests.unit.records.invoice import Invoice, Page, calls, named_sse, record, tokens

PRICING = Page("Pricing - Claude API Docs", "https://platform.claude.com/docs/en/about-claude/pricing")
RESIDENCY = Page(
    "Data residency - Claude API Docs", "https://platform.claude.com/docs/en/build-with-claude/data-residency"
)
ADVISOR = Page(
    "Advisor tool - Claude API Docs",
    "https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool",
)
FAST = Page("Fast mode - Claude API Docs", "https://platform.claude.com/docs/en/build-with-claude/fast-mode")

URL = "https://api.anthropic.com/v1/messages"
SONNET, HAIKU, OPUS = "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-8"


def message(model: str, **usage: object) -> dict[str, Any]:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hi!"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def asked(model: str, **more: object) -> dict[str, Any]:
    return {"model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}], **more}


def call(model: str, *, ask: dict[str, Any] | None = None, at: str = "", **usage: object) -> dict[str, Any]:
    more = {"timestamp": at} if at else {}
    return record("anthropic", URL, asked(model, **(ask or {})), message(model, **usage), **more)


def events(model: str, start: dict[str, Any], *deltas: dict[str, Any], stop: bool = True) -> str:
    opening = message(model, **start) | {"content": [], "stop_reason": None}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    found: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"type": "message_start", "message": opening}),
        ("content_block_start", block),
        ("content_block_delta", text),
    ]
    if stop:
        found.append(("content_block_stop", {"type": "content_block_stop", "index": 0}))
    found += [
        (
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        )
        for usage in deltas
    ]
    if stop:
        found.append(("message_stop", {"type": "message_stop"}))
    return named_sse(*found)


def streamed(model: str, text: str, **more: object) -> dict[str, Any]:
    return record("anthropic", URL, asked(model, stream=True), response_stream=text, **more)


INVOICES = (
    Invoice(
        name="a plain message costs its input and its output",
        page=PRICING,
        record=call(SONNET, input_tokens=1200, output_tokens=350),
        lines=(tokens("input", 1200, "3"), tokens("output", 350, "15")),
    ),
    Invoice(
        name="cache reads and five-minute cache writes stand beside Anthropic's input tokens",
        page=PRICING,
        record=call(
            SONNET,
            input_tokens=100,
            cache_creation_input_tokens=2000,
            cache_read_input_tokens=10_000,
            cache_creation={"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 0},
            output_tokens=200,
            service_tier="standard",
        ),
        lines=(
            tokens("input", 100, "3"),
            tokens("cache_write_5m", 2000, "3.75"),
            tokens("cache_read", 10_000, "0.30"),
            tokens("output", 200, "15"),
        ),
    ),
    Invoice(
        name="an hour of cache costs twice the input and five minutes a quarter more",
        page=PRICING,
        record=call(
            "claude-opus-4-5-20251101",
            input_tokens=50,
            cache_creation_input_tokens=3000,
            cache_read_input_tokens=0,
            cache_creation={"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
            output_tokens=100,
        ),
        lines=(
            tokens("input", 50, "5"),
            tokens("cache_write_5m", 1000, "6.25"),
            tokens("cache_write_1h", 2000, "10"),
            tokens("output", 100, "25"),
        ),
    ),
    Invoice(
        name="a stream's last message_delta replaces the counts of its message_start",
        page=PRICING,
        record=streamed(
            HAIKU,
            events(
                HAIKU,
                {"input_tokens": 25, "cache_read_input_tokens": 400, "output_tokens": 1},
                {"input_tokens": 25, "cache_read_input_tokens": 400, "output_tokens": 812},
            ),
        ),
        lines=(tokens("input", 25, "1"), tokens("cache_read", 400, "0.10"), tokens("output", 812, "5")),
    ),
    Invoice(
        name="a stream that was cut before its message_delta has a lower bound and no price",
        page=PRICING,
        record=streamed(HAIKU, events(HAIKU, {"input_tokens": 25, "output_tokens": 1}, stop=False)),
        reason="usage_partial",
    ),
    Invoice(
        name="a streamed hour of cache is billed as an hour",
        page=PRICING,
        record=streamed(
            SONNET,
            events(
                SONNET,
                {
                    "input_tokens": 10,
                    "cache_creation_input_tokens": 5000,
                    "cache_read_input_tokens": 0,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5000},
                    "output_tokens": 3,
                },
                {"output_tokens": 90},
            ),
        ),
        lines=(
            tokens("input", 10, "3"),
            tokens("cache_write_1h", 5000, "6"),
            tokens("output", 90, "15"),
        ),
    ),
    Invoice(
        name="fast mode that the reply confirms doubles every price",
        page=FAST,
        record=call(
            OPUS,
            ask={"speed": "fast"},
            input_tokens=800,
            cache_read_input_tokens=2000,
            output_tokens=400,
            speed="fast",
        ),
        lines=(tokens("input", 800, "10"), tokens("cache_read", 2000, "1"), tokens("output", 400, "50")),
    ),
    Invoice(
        name="fast mode that was asked for and not served costs the standard price",
        page=FAST,
        record=call(OPUS, ask={"speed": "fast"}, input_tokens=800, output_tokens=400, speed="standard"),
        lines=(tokens("input", 800, "5"), tokens("output", 400, "25")),
    ),
    Invoice(
        name="a stream in fast mode is priced as fast",
        page=FAST,
        record=streamed(
            OPUS,
            events(
                OPUS,
                {"input_tokens": 500, "output_tokens": 2, "speed": "fast"},
                {"output_tokens": 600},
            ),
        ),
        lines=(tokens("input", 500, "10"), tokens("output", 600, "50")),
    ),
    Invoice(
        name="fast mode of a model whose fast price the list does not have is unknown",
        page=FAST,
        record=call("claude-opus-4-6", input_tokens=800, output_tokens=400, speed="fast"),
        reason="no_price_for_tier",
        note="The page had $30 and $150 for this model during the preview; the list has no such price.",
    ),
    Invoice(
        name="inference kept in the United States costs a tenth more than the list says",
        page=RESIDENCY,
        record=call(
            "claude-opus-4-6",
            ask={"inference_geo": "us"},
            input_tokens=1000,
            output_tokens=200,
            inference_geo="us",
        ),
        reason="no_price_for_region",
        note="The page has 1.1 times all prices; the list does not have the factor.",
    ),
    Invoice(
        name="global inference costs the list price",
        page=RESIDENCY,
        record=call("claude-opus-4-6", input_tokens=1000, output_tokens=200, inference_geo="global"),
        lines=(tokens("input", 1000, "5"), tokens("output", 200, "25")),
    ),
    Invoice(
        name="a model without a choice of region says not_available and costs the list price",
        page=RESIDENCY,
        record=call(SONNET, input_tokens=1000, output_tokens=200, inference_geo="not_available"),
        lines=(tokens("input", 1000, "3"), tokens("output", 200, "15")),
    ),
    Invoice(
        name="a line of a batch's results costs half",
        page=PRICING,
        record=record(
            "anthropic",
            "https://api.anthropic.com/v1/messages/batches/msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d/results",
            None,
            {
                "custom_id": "first",
                "result": {
                    "type": "succeeded",
                    "message": message(HAIKU, input_tokens=1000, output_tokens=500, service_tier="batch"),
                },
            },
        ),
        lines=(tokens("input", 1000, "0.50"), tokens("output", 500, "2.50")),
    ),
    Invoice(
        name="a cache write in a batch costs half of a cache write",
        page=PRICING,
        record=call(
            SONNET,
            input_tokens=100,
            cache_creation_input_tokens=4000,
            cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4000},
            output_tokens=50,
            service_tier="batch",
        ),
        lines=(
            tokens("input", 100, "1.5"),
            tokens("cache_write_1h", 4000, "3"),
            tokens("output", 50, "7.5"),
        ),
    ),
    Invoice(
        name="a batch before the list knew batch prices is unknown",
        page=PRICING,
        record=call(
            HAIKU, at="2026-09-01T12:00:00Z", input_tokens=1000, output_tokens=500, service_tier="batch"
        ),
        reason="no_price_for_tier",
        note="The page has had half the price since 2024; the list begins on 2026-10-14.",
    ),
    Invoice(
        name="web searches cost a cent each beside the tokens",
        page=PRICING,
        record=call(
            SONNET,
            input_tokens=6000,
            output_tokens=931,
            server_tool_use={"web_search_requests": 3, "web_fetch_requests": 0},
        ),
        lines=(tokens("input", 6000, "3"), tokens("output", 931, "15"), calls("web_search", 3, "10")),
    ),
    Invoice(
        name="web searches in a batch cost what they cost elsewhere",
        page=PRICING,
        record=call(
            SONNET,
            input_tokens=6000,
            output_tokens=100,
            server_tool_use={"web_search_requests": 2},
            service_tier="batch",
        ),
        lines=(tokens("input", 6000, "1.5"), tokens("output", 100, "7.5"), calls("web_search", 2, "10")),
    ),
    Invoice(
        name="streamed web searches are counted in the last message_delta",
        page=PRICING,
        record=streamed(
            SONNET,
            events(
                SONNET,
                {"input_tokens": 2679, "output_tokens": 3},
                {"input_tokens": 10_682, "output_tokens": 510, "server_tool_use": {"web_search_requests": 1}},
            ),
        ),
        lines=(tokens("input", 10_682, "3"), tokens("output", 510, "15"), calls("web_search", 1, "10")),
    ),
    Invoice(
        name="fetching a page has no fee of its own",
        page=PRICING,
        record=call(
            SONNET,
            input_tokens=6000,
            output_tokens=100,
            server_tool_use={"web_search_requests": 0, "web_fetch_requests": 2},
        ),
        lines=(tokens("input", 6000, "3"), tokens("output", 100, "15")),
    ),
    Invoice(
        name="an advisor's iteration is billed at the advisor's price",
        page=ADVISOR,
        record=call(
            SONNET,
            input_tokens=900,
            output_tokens=300,
            iterations=[
                {"type": "message", "input_tokens": 400, "output_tokens": 80},
                {"type": "advisor_message", "model": OPUS, "input_tokens": 820, "output_tokens": 1600},
                {"type": "message", "input_tokens": 900, "output_tokens": 300},
            ],
        ),
        lines=(
            tokens("input", 400, "3"),
            tokens("output", 80, "15"),
            tokens("input", 820, "5"),
            tokens("output", 1600, "25"),
            tokens("input", 900, "3"),
            tokens("output", 300, "15"),
        ),
    ),
    Invoice(
        name="beyond 200,000 tokens of input the whole call had the long-context price",
        page=PRICING,
        record=call(SONNET, at="2026-02-02T12:00:00Z", input_tokens=250_000, output_tokens=1000),
        lines=(tokens("input", 250_000, "6"), tokens("output", 1000, "22.50")),
    ),
    Invoice(
        name="cache reads count toward the long context",
        page=PRICING,
        record=call(
            SONNET,
            at="2026-02-02T12:00:00Z",
            input_tokens=150_000,
            cache_read_input_tokens=60_000,
            output_tokens=100,
        ),
        lines=(
            tokens("input", 150_000, "6"),
            tokens("cache_read", 60_000, "0.60"),
            tokens("output", 100, "22.50"),
        ),
    ),
    Invoice(
        name="a long context of Opus 4.6 costs the flat price since March 2026",
        page=PRICING,
        record=call("claude-opus-4-6", input_tokens=250_000, output_tokens=1000),
        lines=(tokens("input", 250_000, "5"), tokens("output", 1000, "25")),
    ),
    Invoice(
        name="the priority tier is a commitment and has no price per token",
        page=PRICING,
        record=call(SONNET, input_tokens=1000, output_tokens=100, service_tier="priority"),
        reason="no_price_for_tier",
    ),
    Invoice(
        name="an overloaded server has served nothing",
        page=PRICING,
        record=record(
            "anthropic",
            URL,
            asked(SONNET),
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            status_code=529,
        ),
        reason="usage_unknown",
    ),
    Invoice(
        name="a fractional count is no count",
        page=PRICING,
        record=call(SONNET, input_tokens=1000.5, output_tokens=100),
        reason="usage_partial",
    ),
)
