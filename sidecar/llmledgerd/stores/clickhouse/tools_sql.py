"""Tools as SQL: how often each was called, failed, and what its results cost. Pure.

Invariant: a call of a tool is counted once, as in the view ``llm_tool_calls``, for the call of the model that
asked for it: the question narrows to those, and results are looked for in whatever follows.
In ``error``, 4 is added where the provider ran the call itself (``conversations.tool_errors``).
"""

from __future__ import annotations

from typing import Final

from llmledgerd.stores.clickhouse.conditions import Where

_NEVER: Final = 1 << 60
"""Microseconds: later than any result."""

_ASKED_US: Final = "toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000"

# Numbers alone are kept for each key: a text or a condition for each of them takes twice the time. Members of the
# tuples are named one by one, so that their ids are not read.
_BY_KEY: Final = (
    "SELECT key, max(of) AS of, max(asked) AS asked_us, min(brought) AS brought_us, max(asked_bytes) AS asked_bytes,"
    " max(brought_bytes) AS brought_bytes, max(error) AS error, max(same) AS same FROM ("
    "SELECT key, cityHash64(name) AS of, t.asked_us AS asked, toInt64({never}) AS brought, bytes AS asked_bytes,"
    " 0::UInt32 AS brought_bytes, 0::UInt8 AS error, intHash64(bitXor(t.conversation, hash)) AS same FROM ("
    "SELECT t.tool_calls.key AS keys, t.tool_calls.name AS names, t.tool_calls.arguments_bytes AS sizes,"
    " t.tool_calls.arguments_hash AS hashes, cityHash64(t.conversation_id) AS conversation, {asked_us} AS asked_us"
    " FROM llm_traces AS t WHERE {asked}) AS t"
    " ARRAY JOIN t.keys AS key, t.names AS name, t.sizes AS bytes, t.hashes AS hash"
    " UNION ALL SELECT key, 0::UInt64, 0::Int64, t.at_us, 0::UInt32, bytes, error, 0::UInt64 FROM ("
    "SELECT t.tool_results.key AS keys, t.tool_results.bytes AS sizes, t.tool_results.error AS errors,"
    " toUnixTimestamp64Micro(t.created_at) AS at_us FROM llm_traces AS t WHERE {brought}) AS t"
    " ARRAY JOIN t.keys AS key, t.sizes AS bytes, t.errors AS error"
    ") GROUP BY key HAVING of != 0"
)
_CALLS: Final = (
    "SELECT of, count() AS calls, countIf(bitAnd(error, 3) = 1) AS api_errors, countIf(bitAnd(error, 3) = 2) AS text_errors,"
    " countIf(error >= 4) AS provider_runs,"
    " countIf(brought_us = {never}) AS unanswered, calls - uniqExact(same) AS repeated,"
    " sum(toUInt64(asked_bytes)) AS arguments_bytes, sum(toUInt64(brought_bytes)) AS result_bytes,"
    " quantilesBFloat16If(0.5, 0.95)(greatest(0, brought_us - asked_us) / 1e6, brought_us < {never} AND error < 4) AS seconds"
    " FROM ({by_key}) GROUP BY of"
)
_NAMES: Final = (
    "SELECT name, cityHash64(name) AS of FROM llm_traces AS t ARRAY JOIN t.tool_calls.name AS name"
    " WHERE {asked} GROUP BY name"
)
_TOKENS: Final = (
    "SELECT name, sum(toUInt64(tokens)) AS result_tokens FROM llm_traces AS t"
    " ARRAY JOIN t.tokens_by_tool.keys AS name, t.tokens_by_tool.values AS tokens"
    " WHERE {asked} GROUP BY name"
)


def tools_sql(asked: Where, brought: Where) -> str:
    """Return the statement: one row for each tool, most calls first.

    ``asked`` narrows the calls of models that asked, and those whose prompts had results; ``brought`` the calls
    that may have brought one.
    """
    by_key = _BY_KEY.format(asked=asked, brought=brought, never=_NEVER, asked_us=_ASKED_US)
    calls = _CALLS.format(by_key=by_key, never=_NEVER)
    names, tokens = _NAMES.format(asked=asked), _TOKENS.format(asked=asked)
    return (
        "SELECT n.name AS name, extract(n.name, '^mcp__(.+?)__.') AS mcp_server, c.calls AS calls,"  # noqa: S608 - fixed fragments, values are bound
        " c.api_errors + c.text_errors AS errors, c.api_errors AS api_errors, c.text_errors AS text_errors,"
        " c.provider_runs AS provider_runs, c.unanswered AS unanswered, toUInt64(c.repeated) AS repeated, c.seconds AS seconds,"
        " c.arguments_bytes AS arguments_bytes, c.result_bytes AS result_bytes, k.result_tokens AS result_tokens"
        f" FROM ({calls}) AS c INNER JOIN ({names}) AS n ON n.of = c.of LEFT JOIN ({tokens}) AS k ON k.name = n.name"
        " ORDER BY calls DESC, name LIMIT {limit:UInt32}"
    )


ASKED: Final = (
    "SELECT t.organization_id AS organization_id, t.conversation_id AS conversation_id, t.id AS id,"
    " call_id AS tool_call_id, call_name AS name, extract(call_name, '^mcp__(.+?)__.') AS mcp_server,"
    " t.agent_id AS agent_id, t.run_id AS run_id, t.provider AS provider, t.model AS model,"
    " t.created_at AS created_at, call_bytes AS arguments_bytes, call_key AS key,"
    " call_hash AS arguments_hash, place,"
    " toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000 AS asked_us FROM llm_traces AS t"
    " ARRAY JOIN t.tool_calls.key AS call_key, t.tool_calls.name AS call_name, t.tool_calls.id AS call_id,"
    " t.tool_calls.arguments_bytes AS call_bytes, t.tool_calls.arguments_hash AS call_hash,"
    " arrayEnumerate(t.tool_calls.key) AS place WHERE {where}"
    # The newest are found by their times alone, and the other columns are read of those.
    " AND t.created_at >= (SELECT min(at) FROM (SELECT t.created_at AS at FROM llm_traces AS t"
    " ARRAY JOIN t.tool_calls.key AS call_key, t.tool_calls.name AS call_name WHERE {where}"
    " ORDER BY at DESC LIMIT {{limit:UInt32}}))"
    " ORDER BY created_at DESC, id, place LIMIT {{limit:UInt32}}"
)
"""Calls that answers asked for, newest first. Conditions of one call name ``call_key`` and ``call_name``."""

FAILED: Final = (
    "SELECT key FROM llm_traces AS t ARRAY JOIN t.tool_results.key AS key, t.tool_results.error AS error"
    " WHERE {where} AND bitAnd(error, 3) != 0"
)
"""Keys of the calls that failed."""

BROUGHT: Final = (
    "SELECT key, min(toUnixTimestamp64Micro(t.created_at)) AS brought_us,"
    " argMin((t.id, bytes, error), t.created_at) AS result FROM llm_traces AS t"
    " ARRAY JOIN t.tool_results.key AS key, t.tool_results.bytes AS bytes, t.tool_results.error AS error"
    " WHERE {where} AND hasAny(t.tool_results.key, {{keys:Array(UInt64)}}) AND key IN {{keys:Array(UInt64)}}"
    " GROUP BY key"
)
"""The first result of each of some calls."""

FIRST: Final = (
    "SELECT t.conversation_id AS conversation_id, hash,"
    " min((toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000, place)) AS first"
    " FROM llm_traces AS t ARRAY JOIN t.tool_calls.arguments_hash AS hash,"
    " arrayEnumerate(t.tool_calls.arguments_hash) AS place WHERE {where}"
    " AND t.conversation_id IN {{conversations:Array(String)}} AND hash IN {{hashes:Array(UInt64)}}"
    " GROUP BY conversation_id, hash"
)
"""When calls with the same arguments were first asked for in their conversations."""
