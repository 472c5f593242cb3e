"""Tools as SQL: how often each was called, failed, and what its results cost. Pure.

Invariant: a call of a tool is counted once, as in the view ``llm_tool_calls``, for the call of the model that
asked for it: the question narrows to those, and results are looked for in whatever follows.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.stores.clickhouse.conditions import Where

CALLS: Final = (
    "SELECT name, count() AS calls, countIf(error = 1) AS api_errors, countIf(error = 2) AS text_errors,"
    " countIf(NOT is_answered) AS unanswered, sum(toUInt64(asked_bytes)) AS arguments_bytes,"
    " sum(toUInt64(result_bytes)) AS result_bytes,"
    " quantilesBFloat16If(0.5, 0.95)(greatest(0, brought_us - asked_us) / 1e6, is_answered) AS seconds FROM ("
    "SELECT key, anyIf(name, is_asked) AS name, minIf(us, is_asked) AS asked_us, minIf(us, NOT is_asked) AS brought_us,"
    " anyIf(bytes, is_asked) AS asked_bytes, anyIf(bytes, NOT is_asked) AS result_bytes, max(error) AS error,"
    " countIf(NOT is_asked) > 0 AS is_answered FROM ("
    "SELECT call.key AS key, call.name AS name, true AS is_asked, call.arguments_bytes AS bytes, 0::UInt8 AS error,"
    " toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000 AS us FROM llm_traces AS t"
    " ARRAY JOIN t.tool_calls AS call WHERE {asked}"
    " UNION ALL SELECT result.key, '', false, result.bytes, result.error, toUnixTimestamp64Micro(t.created_at)"
    " FROM llm_traces AS t ARRAY JOIN t.tool_results AS result WHERE {brought}"
    ") GROUP BY key HAVING countIf(is_asked) > 0) GROUP BY name"
)

REPEATED: Final = (
    "SELECT call.name AS name,"
    " uniqExact(call.key) - uniqExact(cityHash64(t.organization_id, t.conversation_id, call.arguments_hash)) AS repeated"
    " FROM llm_traces AS t ARRAY JOIN t.tool_calls AS call WHERE {asked} GROUP BY name"
)

TOKENS: Final = (
    "SELECT name, sum(toUInt64(tokens)) AS result_tokens FROM llm_traces AS t"
    " ARRAY JOIN mapKeys(t.tool_result_tokens) AS name, mapValues(t.tool_result_tokens) AS tokens"
    " WHERE {asked} GROUP BY name"
)


def tools_sql(asked: Where, brought: Where) -> str:
    """Return the statement: one row for each tool, most calls first.

    ``asked`` narrows the calls of models that asked, and those whose prompts had results; ``brought`` the calls
    that may have brought one.
    """
    parts = [text.format(asked=asked, brought=brought) for text in (CALLS, REPEATED, TOKENS)]
    calls, repeated, tokens = (f"({part})" for part in parts)
    return (
        "SELECT c.name AS name, extract(c.name, '^mcp__(.+?)__.') AS mcp_server, c.calls AS calls,"  # noqa: S608 - fixed fragments, values are bound
        " c.api_errors + c.text_errors AS errors, c.api_errors AS api_errors, c.text_errors AS text_errors,"
        " c.unanswered AS unanswered, toUInt64(r.repeated) AS repeated, c.seconds AS seconds,"
        " c.arguments_bytes AS arguments_bytes, c.result_bytes AS result_bytes, k.result_tokens AS result_tokens"
        f" FROM {calls} AS c LEFT JOIN {repeated} AS r ON r.name = c.name LEFT JOIN {tokens} AS k ON k.name = c.name"
        " ORDER BY calls DESC, name LIMIT {limit:UInt32}"
    )
