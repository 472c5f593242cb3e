"""SQL of attempts of calls: sums of those that came one after another, and the rows of the others. Pure.

Invariant: what is summed here is what ``query.retries`` makes of the same rows. It judges the attempts that overlap;
of those that do not, each one follows the one before or begins a call, so that the engine can cut them.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.query.retries import CLOCK_US, WINDOW_US

_FAILED: Final = (
    "SELECT t.request_hash FROM llm_traces AS t WHERE {where} AND t.is_error != 0 AND t.request_hash != 0"
)

# Of each attempt: start, number and line, end, whether it failed, provider, model, cost, whether its cost is unknown, outcome.
_APART: Final = f"b.1 >= a.3 - {CLOCK_US} AND b.1 > a.1"
_IS_NEW: Final = f"NOT (a.4 AND b.1 - a.3 <= {WINDOW_US})"
_GROUPS: Final = (
    "SELECT t.request_hash AS request_hash, arraySort(groupArray((toUnixTimestamp64Micro(t.created_at),"  # noqa: S608 - fixed fragments, values are bound
    " bitShiftLeft(toUInt64(t.attempt), 32) + t.batch_row,"
    " toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000, t.is_error != 0, t.provider,"
    " t.model, ifNull(t.cost_usd, 0), isNull(t.cost_usd), t.outcome))) AS tries,"
    " arrayPopBack(tries) AS heads, arrayPopFront(tries) AS tails,"
    f" arrayAll((a, b) -> {_APART}, heads, tails) AS is_apart,"
    f" arraySplit((_, is_new) -> is_new, tries, arrayPushFront(arrayMap((a, b) -> {_IS_NEW}, heads, tails), false))"
    " AS cut FROM llm_traces AS t WHERE {where} AND t.request_hash GLOBAL IN ({failed})"
    " GROUP BY t.request_hash HAVING count() > 1"
)

SUMS: Final = (
    "SELECT is_apart, one[-1].5 AS provider, one[-1].6 AS model, sum(length(one)) AS attempts,"  # noqa: S608 - fixed fragments, values are bound
    " sum(arrayCount(a -> a.4, one)) AS failed, countIf(one[-1].4) AS given_up,"
    " sum(arraySum(a -> if(a.4, a.7, 0), one)) AS failed_cost, sum(arrayCount(a -> a.4 AND a.8, one)) AS unknown_cost,"
    " groupArrayIf(if(one[-1].4, one[-1].3, one[-1].1) - one[1].1, is_apart) AS waits_us,"
    " groupArrayIf({most})((request_hash, one), NOT is_apart) AS requests"
    f" FROM ({_GROUPS.replace('{failed}', _FAILED)}) ARRAY JOIN if(is_apart, cut, [tries]) AS one WHERE length(one) > 1"
    " GROUP BY is_apart, provider, model"
)
"""By provider and model of the last attempt; of at most ``most`` requests with attempts that overlap, the attempts."""

NEWEST: Final = (
    "SELECT t.request_hash AS request_hash, count() AS attempts, toUnixTimestamp64Micro(min(t.created_at)) AS first_us,"  # noqa: S608 - fixed fragments, values are bound
    f" toUnixTimestamp64Micro(max(t.created_at)) AS last_us FROM llm_traces AS t WHERE {{where}}"
    f" AND t.request_hash GLOBAL IN ({_FAILED}) GROUP BY request_hash HAVING attempts > 1"
    " ORDER BY last_us DESC, request_hash LIMIT {{most:UInt32}}"
)
"""Requests that failed and were sent more than once, the one with the latest attempt first."""

# Hashes are an organization's own, so that they alone are compared. The columns are those of Attempt, in order.
ATTEMPTS: Final = (
    "SELECT t.organization_id AS organization_id, t.request_hash AS request_hash,"
    " toUnixTimestamp64Micro(t.created_at) AS start_us,"
    " toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000 AS end_us, t.is_error AS is_error,"
    " t.outcome AS outcome, t.attempt AS attempt, t.provider AS provider, t.model AS model,"
    " t.error_type AS error_type, t.cost_usd AS cost_usd, t.id AS id"
    " FROM llm_traces AS t WHERE {where} AND t.created_at >= fromUnixTimestamp64Micro({{since:Int64}})"
    " AND t.request_hash IN {{hashes:Array(UInt64)}} ORDER BY request_hash, start_us, attempt, t.batch_row"
)
"""The attempts of requests, with all that is told of each."""
