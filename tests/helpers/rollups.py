"""The rollup beside the rows that it sums: equal, or the test says where not."""

from __future__ import annotations

from typing import Any

from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.rollup import Rollup

KEYS = "hour, organization_id, project_id, agent_id, provider, model, call_type, billing_plan_type, is_byok"
LEVELS = (0.5, 0.95, 0.99)

OF_ROLLUP = f"""
SELECT {KEYS}, sum(requests) AS requests, sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion,
    sum(total_tokens) AS total, sum(cached_input_tokens) AS cached, sum(cache_write_tokens) AS cache_write,
    sum(reasoning_tokens) AS reasoning, sum(cost_usd) AS cost, sum(request_bytes) AS sent, sum(response_bytes) AS got,
    sum(errors) AS errors, sum(cancelled) AS cancelled, sum(unknown_usage) AS unknown, sum(partial_usage) AS partial,
    sum(unknown_cost) AS unpriced, sum(latency_known) AS known, sum(latency_ms_sum) AS latency,
    quantilesBFloat16Merge(0.5, 0.95, 0.99)(latency_quantiles) AS latency_quantiles,
    quantilesBFloat16Merge(0.5, 0.95, 0.99)(first_token_quantiles) AS first_token_quantiles,
    quantilesBFloat16Merge(0.5, 0.95, 0.99)(speed_quantiles) AS speed_quantiles
FROM llm_usage_hourly GROUP BY {KEYS} ORDER BY {KEYS}
"""

OF_ROWS = f"""
SELECT toStartOfHour(created_at) AS hour, {KEYS.removeprefix("hour, ")}, count() AS requests,
    sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion, sum(total_tokens) AS total,
    ifNull(sum(cached_input_tokens), 0) AS cached, ifNull(sum(cache_write_tokens), 0) AS cache_write,
    ifNull(sum(reasoning_tokens), 0) AS reasoning, ifNull(sum(cost_usd), 0) AS cost,
    sum(request_size_bytes) AS sent, sum(response_size_bytes) AS got,
    sum(is_error) AS errors, countIf(outcome = 'cancelled') AS cancelled, countIf(usage_source = 'unknown') AS unknown,
    countIf(usage_source = 'partial') AS partial, countIf(isNull(cost_usd)) AS unpriced,
    countIf(latency_ms > 0) AS known, sum(latency_ms) AS latency,
    arraySort(groupArrayIf(latency_ms, latency_ms > 0)) AS latency_quantiles,
    arraySort(groupArrayIf(assumeNotNull(time_to_first_token_ms), isNotNull(time_to_first_token_ms)))
        AS first_token_quantiles,
    arraySort(groupArrayIf(
        completion_tokens * 1000. / if(ifNull(time_to_first_token_ms, 4294967295) <= latency_ms * 0.9,
            latency_ms - time_to_first_token_ms, latency_ms),
        is_error = 0 AND usage_source = 'reported' AND completion_tokens > 0 AND latency_ms > 0
    )) AS speed_quantiles
FROM llm_traces GROUP BY {KEYS} ORDER BY {KEYS}
"""


def differences(store: Store) -> list[str]:
    """Return every sum of the rollup that is not exactly that of the rows, and quantiles 1 % off."""
    rollup = {_key(row): row for row in store.query(OF_ROLLUP)}
    rows = {_key(row): row for row in store.query(OF_ROWS)}
    found = [f"{key}: only in one" for key in rollup.keys() ^ rows.keys()]
    for key in rollup.keys() & rows.keys():
        for name in ("latency_quantiles", "first_token_quantiles", "speed_quantiles"):
            found += _apart(rollup[key].pop(name), rows[key].pop(name))
        if rollup[key] != rows[key]:
            found.append(f"{rollup[key]} is not {rows[key]}")
    return found


def doubted(store: Store) -> int:
    """Return how many hours are in doubt."""
    return int(store.query("SELECT uniqExact(hour) AS n FROM llm_usage_doubts")[0]["n"])


def mend(store: Store) -> None:
    """Mend until no hour that is over is in doubt, as the daemon does in the course of some hours."""
    over = "SELECT count() AS n FROM llm_usage_doubts WHERE hour < toStartOfHour(now('UTC'))"
    for _ in range(5):
        Rollup(store).reconcile(quiet_seconds=0)
        if not store.query(over)[0]["n"]:
            return
    raise AssertionError(store.query("SELECT * FROM llm_usage_doubts"))


def _key(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name.strip()] for name in KEYS.split(","))


def _apart(quantiles: list[float], values: list[float]) -> list[str]:
    """Compare with the nearest rank, which is a value that was measured."""
    if not values:
        return []
    exact = [values[max(0, -int(-len(values) * level // 1) - 1)] for level in LEVELS]
    return [
        f"{got} is not {want}"
        for got, want in zip(quantiles, exact, strict=True)
        if abs(got - want) > want / 100
    ]
