"""The columns of ``llm_traces``, each listed once.

Invariant: the row tuple, the readers' results, the check of migrations, the demo data and docs/table.md
are derived from this list or tested equal to it. A new column is one entry here and one migration in
each store's DDL.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

TRACES: Final = "llm_traces"
LOSSES: Final = "llm_trace_losses"

Row = tuple[Any, ...]


class Column(NamedTuple):
    """One column."""

    name: str
    clickhouse: str
    """ClickHouse type, without codec."""
    postgres: str
    """PostgreSQL type, without ``NOT NULL``."""
    value: str
    """The Python expression that gives its value, of ``record``, ``facts`` and the names that
    ``rows.RowBuilder.row`` computes."""
    meaning: str
    listed: bool = False
    """Whether readers return it as a field of ``query.results.Call``."""


TABLE: Final[tuple[Column, ...]] = (
    Column(
        "id",
        "String",
        "text",
        "id",
        "`provider_trace_id` without the prefix `provider_trace-`; without one, a UUID derived from the line's bytes",
        listed=True,
    ),
    Column("organization_id", "String", "text", 'record.org_id or ""', "`org_id`", listed=True),
    Column("project_id", "String", "text", 'record.project_id or ""', "As sent", listed=True),
    Column("agent_id", "String", "text", 'record.agent_id or ""', "As sent", listed=True),
    Column("run_id", "String", "text", 'record.run_id or ""', "As sent", listed=True),
    Column("step_id", "String", "text", 'record.step_id or ""', "As sent", listed=True),
    Column(
        "trace_id",
        "String",
        "text",
        'record.trace_id or ""',
        "As sent, or the active OpenTelemetry span's",
        listed=True,
    ),
    Column("agent_tags", "Array(String)", "text[]", "record.tags or []", "`tags`", listed=True),
    Column(
        "call_type",
        "LowCardinality(String)",
        "text",
        "call_type",
        "`type`: `agent_step`, `summarization`, `embedding`, …",
        listed=True,
    ),
    Column(
        "provider",
        "LowCardinality(String)",
        "text",
        "provider",
        "As sent, else by URL and payload shape, else `unknown`",
        listed=True,
    ),
    Column(
        "model",
        "LowCardinality(String)",
        "text",
        "model",
        "As sent, else the reply's, the request's or the URL's, else `unknown`",
        listed=True,
    ),
    Column(
        "is_byok",
        "UInt8",
        "boolean",
        "1 if is_byok else 0",
        "1: called with the customer's own key",
        listed=True,
    ),
    Column(
        "request_size_bytes",
        "UInt64",
        "bigint",
        "len(request)",
        "Bytes of the request, before redaction and offload",
        listed=True,
    ),
    Column(
        "response_size_bytes",
        "UInt64",
        "bigint",
        "len(answer)",
        "Bytes of the response, before redaction and offload",
        listed=True,
    ),
    Column(
        "prompt_tokens",
        "UInt32",
        "bigint",
        "facts.prompt_tokens or 0",
        "All input, cache reads and writes included; 0 where unknown",
        listed=True,
    ),
    Column(
        "completion_tokens",
        "UInt32",
        "bigint",
        "facts.completion_tokens or 0",
        "All output, reasoning included; 0 where unknown",
        listed=True,
    ),
    Column(
        "total_tokens",
        "UInt32",
        "bigint",
        "facts.total_tokens or 0",
        "The provider's own total, else the sum; 0 where unknown",
        listed=True,
    ),
    Column(
        "cached_input_tokens",
        "Nullable(UInt32)",
        "bigint",
        "facts.cached_input_tokens",
        "Tokens read from the provider's cache; null: not reported",
        listed=True,
    ),
    Column(
        "cache_write_tokens",
        "Nullable(UInt32)",
        "bigint",
        "facts.cache_write_tokens",
        "Tokens written to the provider's cache; null: not reported",
        listed=True,
    ),
    Column(
        "reasoning_tokens",
        "Nullable(UInt32)",
        "bigint",
        "facts.reasoning_tokens",
        "Reasoning tokens; null: not reported",
        listed=True,
    ),
    Column(
        "latency_ms",
        "UInt32",
        "bigint",
        "latency_ms",
        "Milliseconds from the start of the request to the last byte",
        listed=True,
    ),
    Column(
        "is_error",
        "UInt8",
        "boolean",
        "is_error",
        "1: error, status 400 or above, or an outcome that is not `ok`",
        listed=True,
    ),
    Column(
        "error_type",
        "LowCardinality(String)",
        "text",
        "error_type",
        "The error's type, else the outcome",
        listed=True,
    ),
    Column(
        "error_message",
        "String",
        "text",
        "error_message",
        "The first 1,000 characters of the error's message",
        listed=True,
    ),
    Column("request_json", "String", "text", "request", "The request as received"),
    Column(
        "response_json",
        "String",
        "text",
        "answer",
        "The response as received; of a stream, the object that its events make up",
    ),
    Column("llm_config_json", "String", "text", "llm_config", "`llm_config`"),
    Column(
        "billing_plan_type",
        "LowCardinality(String)",
        "text",
        'billing.plan_type or ""',
        "`billing.plan_type`",
        listed=True,
    ),
    Column(
        "billing_cost_source",
        "LowCardinality(String)",
        "text",
        'billing.cost_source or ""',
        "`billing.cost_source`: `quota` or `credits`",
    ),
    Column(
        "billing_customer_id",
        "String",
        "text",
        'billing.customer_id or ""',
        "`billing.customer_id`",
        listed=True,
    ),
    Column(
        "created_at",
        "DateTime64(6, 'UTC')",
        "timestamptz",
        "started_us",
        "Start of the call (`timestamp`), else the time of receipt",
        listed=True,
    ),
    Column("user_id", "String", "text", 'record.user_id or ""', "As sent", listed=True),
    Column("source", "LowCardinality(String)", "text", 'record.source or ""', "As sent"),
    Column(
        "service",
        "LowCardinality(String)",
        "text",
        "record.service or service",
        "As sent, else what the session's hello says",
        listed=True,
    ),
    Column("span_id", "String", "text", 'record.span_id or ""', "As sent"),
    Column("url", "String", "text", "url", "The provider's endpoint, without query and credentials"),
    Column("attempt", "UInt16", "integer", "attempt", "Number of the attempt", listed=True),
    Column(
        "request_model",
        "LowCardinality(String)",
        "text",
        "facts.request_model",
        "The model that the request names",
    ),
    Column("provider_request_id", "String", "text", "facts.provider_request_id", "The provider's id"),
    Column("service_tier", "LowCardinality(String)", "text", "facts.service_tier", "The tier that served"),
    Column("is_batch", "UInt8", "boolean", "1 if facts.is_batch else 0", "1: a batch call"),
    Column("compaction_settings_json", "String", "text", "compaction_settings", "`compaction_settings`"),
    Column(
        "conversation_id",
        "String",
        "text",
        "identity.conversation_id",
        "The earliest turn that the call's bytes name, else its own; all that was said until it was told from others,"
        " where the first turn is a greeting. Where that is the `turn_id` (or one of the"
        " `turn_names`) of a call of another conversation, this one is a part of that: readers follow it, bounded."
        " Empty: no part of a conversation (embeddings, …)",
        listed=True,
    ),
    Column(
        "turn_id",
        "String",
        "text",
        "identity.turn_id",
        "The name of the call's own turn, under which later calls continue it. Attempts of one call may share it",
        listed=True,
    ),
    Column(
        "parent_turn_id",
        "String",
        "text",
        "identity.parent_turn_id",
        "The turn that the call continues: a `turn_id`, or one of `turn_names`, of the same organization; empty where"
        " it continues none",
        listed=True,
    ),
    Column(
        "turn_names",
        "Array(String)",
        "text[]",
        "identity.turn_names",
        "The turn's other names, at most 12: the response's id, further calls of tools and alternatives, and the texts"
        " that it hands on",
    ),
    Column(
        "opening_names",
        "Array(String)",
        "text[]",
        "identity.opening_names",
        "Of a call that continues no turn, what it was asked, at most 7 names. One of an earlier call's `turn_names`"
        " among them: that call started this sub-agent, or was compacted into it",
    ),
    Column(
        "request_hash",
        "UInt64",
        "bigint",
        "request_hash",
        "A hash of the request's bytes, an organization's own: attempts of one call have the same; 0 without a request",
    ),
    Column(
        "tool_calls",
        "Array(Tuple(key UInt64, id String, name LowCardinality(String), arguments_hash UInt64,"
        " arguments_bytes UInt32))",
        "jsonb",
        "tools.asked",
        "The calls of tools that the answer asks for, at most 256 (`llm_tool_calls` has a row for each)",
    ),
    Column(
        "tool_results",
        "Array(Tuple(key UInt64, bytes UInt32, error UInt8))",
        "jsonb",
        "tools.brought",
        "The results of tools that are new in the request, and those of the answer's own calls that the provider ran, at"
        " most 256, by the `key` of their call; `error` is 1 where the API says that the tool failed, 2 where the text"
        " does; 4 is added where the provider ran it",
    ),
    Column(
        "tokens_by_tool",
        "Map(LowCardinality(String), UInt32)",
        "jsonb",
        "tools.tokens",
        "About how many of `prompt_tokens` are results of tools, new and old, by tool: `result_tokens`, and those of"
        " results that stand within a call which the provider ran",
    ),
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
    Column(
        "turn_hash",
        "Int64",
        "bigint",
        "number_of(identity.turn_id)",
        "`turn_id` as a number, which is compared faster; 0: none",
    ),
    Column(
        "parent_turn_hash",
        "Int64",
        "bigint",
        "number_of(identity.parent_turn_id)",
        "The same of `parent_turn_id`",
    ),
    Column(
        "prompt_parts",
        "String",
        "text",
        "prompt.parts",
        "Names, short hashes and tokens of tools, and short hashes of the chunks of the system prompt and of the blocks of messages, as JSON; no text",
    ),
    Column(
        "tools_hash",
        "Int64",
        "bigint",
        "prompt.tools_hash",
        "Of the tools' schemas, scoped to the organization; 0: none",
    ),
    Column(
        "system_hash",
        "Int64",
        "bigint",
        "prompt.system_hash",
        "Of the system prompt",
    ),
    Column(
        "history_hash",
        "Int64",
        "bigint",
        "prompt.history_hash",
        "Of all messages",
    ),
    Column(
        "parent_history_hash",
        "Int64",
        "bigint",
        "prompt.parent_hash",
        "Of the messages before the last answer, which are those of the call before; 0: there is no answer",
    ),
    Column(
        "prefix_hash",
        "Int64",
        "bigint",
        "prompt.prefix_hash",
        "Of everything up to the last answer; without one, of tools and system prompt, or up to the first cache mark where only marked prefixes are kept; negative: of the conversation that the provider keeps, where the request names one",
    ),
    Column(
        "prefix_tokens",
        "UInt32",
        "bigint",
        "prompt.prefix_tokens",
        "About how many tokens of the prompt the call before had sent; without an answer, how many tools and system prompt are",
    ),
    Column(
        "prompt_estimate",
        "UInt32",
        "bigint",
        "prompt.estimate",
        "The prompt's tokens by sizes alone, so that equal texts have equal numbers in all calls",
    ),
    Column(
        "last_block",
        "UInt32",
        "bigint",
        "prompt.last_block",
        "Number of the block, from 0, where what this call left in the provider's cache ends",
    ),
    Column(
        "cache_marks",
        "Array(UInt32)",
        "bigint[]",
        "prompt.marks",
        "Numbers of the blocks that have a cache mark",
    ),
    Column(
        "cache_left_tokens",
        "UInt32",
        "bigint",
        "prompt.left.tokens",
        "Tokens that this call left in the provider's cache, by the provider's rules",
    ),
    Column(
        "cache_left_seconds",
        "UInt32",
        "bigint",
        "prompt.left.seconds",
        "How long they may be read after the last use; 0: not documented",
    ),
    Column(
        "cache_left_state",
        "LowCardinality(String)",
        "text",
        "prompt.left.state",
        "`exact`, `about`, `short` (below the provider's minimum), or empty: nothing",
    ),
    Column(
        "cache_gap",
        "UInt32",
        "bigint",
        "prompt.gap",
        "Tokens, by the sizes and rather too many, that were sent before and not read from the cache",
    ),
    Column(
        "lost_rate_fresh",
        "Nullable(UInt64)",
        "bigint",
        "cost.lost_rates[0]",
        "Trillionths of a dollar that a token costs more when it is sent than when it is read from the cache; null: unknown",
    ),
    Column(
        "lost_rate_written",
        "Nullable(UInt64)",
        "bigint",
        "cost.lost_rates[1]",
        "The same when it is written to the cache",
    ),
    Column(
        "system_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[0]",
        "Of `prompt_tokens`: the system prompt. The six parts add up to it",
    ),
    Column(
        "tools_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[1]",
        "Of `prompt_tokens`: the tools' schemas",
    ),
    Column(
        "history_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[2]",
        "Of `prompt_tokens`: earlier messages and answers",
    ),
    Column(
        "result_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[3]",
        "Of `prompt_tokens`: tools' results",
    ),
    Column(
        "file_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[4]",
        "Of `prompt_tokens`: images and files",
    ),
    Column(
        "new_tokens",
        "UInt32",
        "bigint",
        "prompt.tokens[5]",
        "Of `prompt_tokens`: the new message",
    ),
    Column(
        "cache_diagnostics",
        "String",
        "text",
        "facts.cache_diagnostics",
        "What the provider itself says of a cache miss (Anthropic's `diagnostics`, OpenAI's `prompt_cache_diagnostics`), as JSON",
    ),
    Column("payload_uri", "String", "text", '""', "Where the payloads are in object storage", listed=True),
    Column("protocol_version", "UInt8", "smallint", "record.protocol_version", "Version of the wire"),
    Column("batch_id", "UUID", "uuid", "batch_id", "UUID of the segment", listed=True),
    Column("batch_row", "UInt32", "bigint", "batch_row", "Number of the line in the segment", listed=True),
    Column("ingested_at", "DateTime64(6, 'UTC')", "timestamptz", "received_us", "Receipt", listed=True),
)
"""Columns in the table's order. Deployed readers depend on names and types of the first 31."""

COLUMNS: Final[tuple[str, ...]] = tuple(column.name for column in TABLE)


class Computed(NamedTuple):
    """A column that ClickHouse computes of others when a row is stored or one of them changes."""

    name: str
    clickhouse: str
    expression: str
    meaning: str


COMPUTED: Final[tuple[Computed, ...]] = (
    Computed(
        "organization_hash",
        "UInt64",
        "sipHash64(organization_id)",
        "`organization_id` as a number, which is compared faster",
    ),
    Computed(
        "cache_group",
        "UInt64",
        "sipHash64(agent_id, provider, priced_model)",
        "What `llmledger cache` adds up by, as a number",
    ),
)
"""Columns that no row of ours has and ``SELECT *`` leaves out."""

CLICKHOUSE_COLUMNS: Final = (*COLUMNS, *(one.name for one in COMPUTED))
"""All columns of the table in ClickHouse, in its order."""
BYTES_COLUMNS: Final = frozenset(
    {
        "request_json",
        "response_json",
        "llm_config_json",
        "compaction_settings_json",
        "usage_json",
        "prompt_parts",
        "cache_diagnostics",
    }
)
"""Columns whose values are bytes; every other text is ``str``."""

LOSS_COLUMNS: Final = (
    "at", "host", "service", "session", "stage", "reason", "count", "batch_id", "batch_row", "ingested_at",
)  # fmt: skip
"""Columns of ``llm_trace_losses``; a count of None is a loss of unknown size."""


def reference() -> str:
    """Return the table of docs/table.md."""
    lines = ["| column | ClickHouse | PostgreSQL | meaning |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | `{one.clickhouse}` | `{one.postgres}` | {one.meaning} |" for one in TABLE]
    lines += ["", "ClickHouse computes these itself (`MATERIALIZED`); `SELECT *` leaves them out:", ""]
    lines += ["| column | ClickHouse | computed as | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | `{one.clickhouse}` | `{one.expression}` | {one.meaning} |" for one in COMPUTED
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
