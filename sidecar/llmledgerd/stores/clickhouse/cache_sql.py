"""SQL of cache misses: each call beside the call that it continues, and the facts that two calls show. Pure.

Invariants:
- No payload and no description is read to find a miss: hashes, counts and times are enough. Descriptions are read of
  the calls that are listed.
- Only calls whose own row says that something may have been missed (``cache_gap``) are compared.
- Hashes are an organization's own, so that calls of two organizations never have one in common.
- What a fact means is decided in ``conversations.cache_misses``; here is no cause.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.conversations.cache_misses import (
    ABOUT,
    LEAST_LOST,
    LEAST_SHARE,
    LEAST_SHARE_ABOUT,
    TOO_SHORT,
    Evidence,
)
from llmledgerd.conversations.cache_rules import LOOKBACK_BLOCKS, SETTLING

PARENT_DAYS: Final = 32
"""How long before the time that is asked for a call's predecessor is looked for."""

_KEY: Final = ("batch_id", "batch_row", "created_at")
"""What identifies a row, in less than its id takes."""
_OWN: Final = (
    *_KEY, "agent_id", "provider", "priced_model", "request_model", "service_tier", "region",
    "latency_ms", "prompt_tokens", "cached_input_tokens", "cache_write_tokens", "tools_hash", "system_hash",
    "history_hash", "parent_history_hash", "prefix_tokens", "cache_marks", "lost_rate_fresh", "lost_rate_written",
    "parent_turn_hash",
)  # fmt: skip
_BEFORE: Final = (
    "created_at",
    "latency_ms",
    "cache_left_tokens",
    "cache_left_state",
    "priced_model",
    "history_hash",
)
"""Columns of the call that began right before with the same prefix. It has missed as well, or the entry was there."""
_PARENT: Final = (
    *_KEY, "turn_hash", "priced_model", "request_model", "service_tier", "region", "latency_ms",
    "tools_hash", "system_hash", "history_hash", "last_block", "cache_marks", "cache_left_tokens", "cache_left_seconds",
    "cache_left_state",
)  # fmt: skip

_PLAIN_TIERS: Final = "('', 'default', 'standard', 'auto', 'on_demand', 'on-demand')"
_SETTLES: Final = (
    "multiIf("
    + ", ".join(f"positionCaseInsensitive(p.priced_model, '{word}') > 0, {n}" for word, n in SETTLING.items())
    + ", 0)"
)
_HAS_PARENT: Final = "p.turn_hash != 0"
_IS_BEFORE_RUNNING: Final = (
    "(c.before_cache_left_state IN ('exact', 'about') AND c.before_priced_model = c.priced_model"
    " AND c.created_at < c.before_created_at + toIntervalMillisecond(c.before_latency_ms))"
)

FACTS: Final = {
    "model": "p.priced_model != c.priced_model AND (p.request_model != c.request_model OR NOT"
    " (startsWith(p.priced_model, c.priced_model) OR startsWith(c.priced_model, p.priced_model)))",
    "tier": f"if(lower(p.service_tier) IN {_PLAIN_TIERS}, '', lower(p.service_tier)) !="
    f" if(lower(c.service_tier) IN {_PLAIN_TIERS}, '', lower(c.service_tier))"
    " OR (p.region != c.region AND p.region != '' AND c.region != '')",
    "tools": "p.tools_hash != c.tools_hash",
    "system": "p.system_hash != c.system_hash",
    "history": "c.parent_history_hash != 0 AND p.history_hash != c.parent_history_hash",
    "short": f"p.cache_left_state = '{TOO_SHORT}'",
    "running": f"c.created_at < p.created_at + toIntervalMillisecond(p.latency_ms) + toIntervalSecond({_SETTLES})",
    "late": "p.cache_left_seconds > 0 AND c.created_at > p.created_at + toIntervalSecond(p.cache_left_seconds)",
    "mark": "notEmpty(p.cache_marks) AND NOT arrayExists("
    f"m -> m >= p.last_block AND m < p.last_block + {LOOKBACK_BLOCKS}, c.cache_marks)",
}
"""SQL of each field of ``Evidence``: of the call ``c`` and the call ``p`` that it continues."""
assert tuple(FACTS) == Evidence._fields  # noqa: S101 - both name the same facts, in one order

_COULD: Final = (
    "multiIf("
    f"{_HAS_PARENT}, least(p.cache_left_tokens, c.prompt_tokens, if({FACTS['history']}, c.prefix_tokens, 4294967295)),"
    f" {_IS_BEFORE_RUNNING}, least(c.before_cache_left_tokens, c.prompt_tokens,"
    " if(c.before_history_hash = c.history_hash, 4294967295, c.prefix_tokens)),"
    " 0)"
)
_SHARE: Final = f"if(p.cache_left_state = '{ABOUT}', {LEAST_SHARE_ABOUT}, {LEAST_SHARE})"


def misses_sql(where: str, parents: str) -> str:
    """Return the statement whose rows are the calls that missed, with what they lost and what they show.

    ``where`` narrows the calls ``t``; ``parents`` the calls that they may continue.
    """
    own = ", ".join(f"t.{name} AS {name}" for name in _OWN)
    before = ", ".join(f"t.{name}" for name in _BEFORE)
    named = ", ".join(f"before.{at} AS before_{name}" for at, name in enumerate(_BEFORE, 1))
    parent = ", ".join(f"t.{name} AS {name}" for name in _PARENT)
    gapped = f"FROM llm_traces AS t WHERE {where} AND t.cache_gap > 0"
    facts = ", ".join(
        f"{_HAS_PARENT} AND ({sql}) AS is_{name}" for name, sql in FACTS.items() if name != "running"
    )
    keys = ", ".join(f"c.{name} AS {name}, p.{name} AS parent_{name}" for name in _KEY)
    return (
        f"SELECT {keys}, c.agent_id AS agent_id, c.provider AS provider, c.priced_model AS model,"  # noqa: S608 - fixed fragments, values are bound
        f" {_HAS_PARENT} AS has_parent, p.priced_model AS parent_model, p.cache_left_seconds AS left_seconds,"
        " c.prompt_tokens AS prompt_tokens, ifNull(c.cached_input_tokens, 0) AS cached_tokens,"
        " toUInt32(could) AS could_tokens, toUInt32(could - cached_tokens) AS lost_tokens,"
        " least(lost_tokens, ifNull(c.cache_write_tokens, 0)) AS lost_written,"
        " toInt128(lost_tokens - lost_written) * c.lost_rate_fresh + toInt128(lost_written) * c.lost_rate_written"
        f" AS lost_pico, {facts}, ({_HAS_PARENT} AND ({FACTS['running']})) OR {_IS_BEFORE_RUNNING} AS is_running,"
        f" {_COULD} AS could"
        f" FROM (SELECT *, {named} FROM (SELECT {own}, lagInFrame(({before}), 1) OVER"
        f" (PARTITION BY t.prefix_hash ORDER BY t.created_at, t.batch_row"
        f" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before {gapped})) AS c"
        f" LEFT ANY JOIN (SELECT {parent} FROM llm_traces AS t WHERE {parents} AND t.turn_hash IN"
        f" (SELECT t.parent_turn_hash {gapped} AND t.parent_turn_hash != 0) AND t.cache_left_state != ''"
        " AND t.is_error = 0) AS p"
        " ON c.parent_turn_hash = p.turn_hash"
        f" WHERE could >= cached_tokens + {LEAST_LOST} AND could - cached_tokens >= {_SHARE} * could"
    )


def sums_sql(misses: str) -> str:
    """Return the statement that adds up misses that show the same."""
    facts = ", ".join(f"is_{name}" for name in FACTS)
    return (
        f"SELECT agent_id, provider, model, {facts}, count() AS calls, sum(lost_tokens) AS all_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " sum(lost_pico) AS all_pico, countIf(lost_pico IS NULL) AS unpriced,"
        " argMax((batch_id, batch_row, created_at), lost_tokens) AS worst, max(lost_tokens) AS most_tokens"
        f" FROM ({misses}) GROUP BY agent_id, provider, model, {facts}"
    )
