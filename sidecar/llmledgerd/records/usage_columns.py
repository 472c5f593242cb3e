"""The columns of a call's outcome, its usage and its cost. Pure data."""

from __future__ import annotations

from typing import Final

from llmledgerd.records.column import Column

USAGE: Final[tuple[Column, ...]] = (
    Column(
        "outcome",
        "LowCardinality(String)",
        "text",
        'record.outcome or ("error" if is_error else "ok")',
        "`ok`, `error`, `cancelled` or `abandoned`",
        listed=True,
    ),
    Column(
        "finish_reason",
        "LowCardinality(String)",
        "text",
        "facts.finish_reason",
        "Why the answer ended, in the provider's word",
        listed=True,
    ),
    Column(
        "is_stream", "UInt8", "boolean", "1 if facts.is_stream else 0", "1: a streamed answer", listed=True
    ),
    Column("status_code", "UInt16", "integer", "status_code", "The HTTP status", listed=True),
    Column(
        "time_to_first_token_ms",
        "Nullable(UInt32)",
        "bigint",
        "time_to_first_token_ms",
        "Milliseconds to the first token; null: not sent",
        listed=True,
    ),
    Column("usage_json", "String", "text", "facts.usage_json", "The provider's own usage object"),
    Column(
        "usage_source",
        "LowCardinality(String)",
        "text",
        "facts.usage_source",
        "`reported`, `partial` or `unknown`",
        listed=True,
    ),
    Column(
        "usage_check",
        "LowCardinality(String)",
        "text",
        "facts.usage_check",
        "Whether the provider's sums hold: `ok`, `mismatch`, or empty where it gives no total",
    ),
    Column(
        "cost_usd",
        "Nullable(Decimal(18, 9))",
        "numeric(18, 9)",
        "cost.usd",
        "Cost in US dollars: the whole price of the call; null: unknown, and `cost_reason` says why",
        listed=True,
    ),
    Column(
        "cost_usd_source",
        "LowCardinality(String)",
        "text",
        "cost.source",
        "Where the cost comes from: `provider` (its own word), `list_price`, `own_price`, or empty",
    ),
    Column(
        "cost_reason",
        "LowCardinality(String)",
        "text",
        "cost.reason",
        "Why the cost is null: `no_price`, `no_price_for_tier`, `no_price_for_region`,"
        " `no_price_for_part:<part>`, `usage_unknown`, `usage_partial`, `usage_mismatch`, `own_model`, …;"
        " empty where there is a cost",
        listed=True,
    ),
    Column(
        "priced_model",
        "LowCardinality(String)",
        "text",
        "cost.model",
        "The model whose price was looked up: the reply's, else the one that was sent",
        listed=True,
    ),
    Column(
        "price_list",
        "LowCardinality(String)",
        "text",
        "cost.price_list",
        "The price list and its release or file and date; empty where the provider said the cost",
        listed=True,
    ),
    Column(
        "cost_parts",
        "Map(LowCardinality(String), Decimal(18, 9))",
        "jsonb",
        "cost.parts",
        "Dollars by part (`input`, `cache_read`, `cache_write_5m`, `output`, `web_search`, …); their sum is"
        " `cost_usd`",
        listed=True,
    ),
    Column(
        "usage_units",
        "Map(LowCardinality(String), Decimal(18, 6))",
        "jsonb",
        "facts.units",
        "What is billed beside tokens, by part: `web_search`, `file_search`, `search_unit`, `audio_second`, …",
        listed=True,
    ),
    Column(
        "region",
        "LowCardinality(String)",
        "text",
        "facts.region",
        "Where the call was served, as the reply or the endpoint says; empty where neither does",
    ),
    Column(
        "upstream_cost_usd",
        "Nullable(Decimal(18, 9))",
        "numeric(18, 9)",
        "upstream_cost_usd",
        "What a gateway says that the provider behind it billed to the customer's own key",
    ),
    Column(
        "sent_cost_usd",
        "Nullable(Decimal(18, 9))",
        "numeric(18, 9)",
        "sent_cost_usd",
        "The sender's own cost (`cost_usd` of the record), kept apart from `cost_usd`",
        listed=True,
    ),
    Column(
        "sent_cost_source",
        "LowCardinality(String)",
        "text",
        'record.cost_source or ""',
        "The sender's word for where its cost comes from (`cost_source` of the record)",
    ),
)
