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
    EXACT,
    LEAST_LOST,
    LEAST_SHARE,
    LEAST_SHARE_ABOUT,
    LEAST_SHARE_ELSEWHERE,
    TOO_SHORT,
    Evidence,
)
from llmledgerd.conversations.cache_rules import LOOKBACK_BLOCKS, SETTLING

PARENT_DAYS: Final = 32
"""How long before the time that is asked for a call's predecessor is looked for."""

_KEY: Final = ("batch_id", "batch_row", "created_at")
"""What identifies a row, in less than its id takes."""
_PLAIN_TIERS: Final = "('', 'default', 'standard', 'auto', 'on_demand', 'on-demand')"
_SETTLES: Final = (
    "multiIf("
    + ", ".join(f"positionCaseInsensitive(t.priced_model, '{word}') > 0, {n}" for word, n in SETTLING.items())
    + ", 0)"
)
# Texts of few values become numbers before the join, by which the engine does that once for each value.
_BOTH: Final = (
    "t.batch_id AS batch_id, t.batch_row AS batch_row, t.created_at AS created_at,"
    " toUnixTimestamp64Micro(t.created_at) AS started_us, t.priced_model AS priced_model,"
    " t.request_model AS request_model,"
    f" if(lower(t.service_tier) IN {_PLAIN_TIERS}, 0, cityHash64(lower(t.service_tier))) AS tier,"
    " if(t.region = '', 0, cityHash64(t.region)) AS region, t.tools_hash AS tools_hash, t.system_hash AS system_hash,"
    " t.cached_input_tokens AS cached_input_tokens"
)
_OWN: Final = (
    f"{_BOTH}, t.agent_id AS agent_id, t.provider AS provider, t.prompt_tokens AS prompt_tokens,"
    " ifNull(t.cache_write_tokens, 0) AS written_tokens, t.parent_history_hash AS parent_history_hash,"
    " t.prefix_tokens AS prefix_tokens, t.cache_marks AS cache_marks, t.lost_rate_fresh AS lost_rate_fresh,"
    " t.lost_rate_written AS lost_rate_written, t.parent_turn_hash != 0 AS is_later,"
    " if(is_later, t.parent_turn_hash, t.prefix_hash) AS begun_by"
)
_ALWAYS: Final = -(1 << 62)
"""Microseconds: before the start of any call. Clocks of two hosts differ, and a call follows its parent all the same."""
_EARLIER: Final = (
    f"{_BOTH}, toInt64(t.latency_ms) * 1000 + {_SETTLES} * 1000000 AS running_us, t.history_hash AS history_hash,"
    " t.last_block AS last_block, notEmpty(t.cache_marks) AS is_marked, t.cache_left_tokens AS left_tokens,"
    " t.cache_left_seconds AS left_seconds, t.cache_left_state AS left_state, t.cache_gap > 0 AS has_missed,"
    # What is too short to be kept is of interest to the call that continues it alone.
    f" arrayJoin([(t.turn_hash, toInt64({_ALWAYS})), (if(left_state = '{TOO_SHORT}', 0, t.prefix_hash), started_us)])"
    " AS beginning, beginning.1 AS name, beginning.2 AS since_us"
)
"""Columns of a call that others may continue by its turn, or share the beginning of their prompts with."""


CERTAIN_SHARE: Final = 0.95
"""Share of an entry that a prompt is below where it has certainly become shorter."""

_IS_RUNNING: Final = "c.started_us < p.started_us + p.running_us"

FACTS: Final = {
    "model": "p.priced_model != c.priced_model AND (p.request_model != c.request_model OR NOT"
    " (startsWith(p.priced_model, c.priced_model) OR startsWith(c.priced_model, p.priced_model)))",
    "tier": "p.tier != c.tier OR (p.region != c.region AND p.region != 0 AND c.region != 0)",
    "tools": "p.tools_hash != c.tools_hash",
    "system": "p.system_hash != c.system_hash",
    "history": "c.parent_history_hash != 0 AND p.history_hash != c.parent_history_hash",
    "short": f"p.left_state = '{TOO_SHORT}'",
    "running": _IS_RUNNING,
    "late": "p.left_seconds > 0 AND c.started_us > p.started_us + toInt64(p.left_seconds) * 1000000",
    "mark": "p.is_marked AND NOT arrayExists("
    f"m -> m >= p.last_block AND m < p.last_block + {LOOKBACK_BLOCKS}, c.cache_marks)",
}
"""SQL of each field of ``Evidence``: of the call ``c`` and the call ``p`` that it continues."""
assert tuple(FACTS) == Evidence._fields  # noqa: S101 - both name the same facts, in one order

_HAS_PARENT: Final = "c.is_later AND p.name != 0"
_HAS_OTHER: Final = "NOT c.is_later AND p.name != 0"
_IS_OTHER_RUNNING: Final = f"({_HAS_OTHER} AND p.has_missed AND {_IS_RUNNING})"

_OF_OTHER: Final = {"tier": FACTS["tier"], "running": _IS_OTHER_RUNNING}
"""The facts of a conversation's first call, where ``p`` is the call before it with the same prefix."""

_COULD_OF_OTHER: Final = (
    "multiIf("
    f"NOT ({_HAS_OTHER}) OR p.priced_model != c.priced_model, 0,"
    f" {_IS_OTHER_RUNNING}, least(p.left_tokens, c.prompt_tokens, c.prefix_tokens),"
    " c.started_us > p.started_us + toInt64(p.left_seconds) * 1000000, 0,"
    # What the other one read was there; of what it has left, its own message is a part.
    " p.cached_input_tokens > 0, least(assumeNotNull(p.cached_input_tokens), c.prefix_tokens),"
    f" p.left_state = '{EXACT}' AND NOT p.is_marked, least(p.left_tokens, c.prefix_tokens),"
    " 0)"
)
_COULD: Final = (
    "multiIf("
    # A response without reads says that nothing was read where its provider has reported reads before.
    "c.cached_input_tokens IS NULL AND ifNull(p.cached_input_tokens, 0) = 0, 0,"
    f" {_HAS_PARENT}, least(p.left_tokens, c.prompt_tokens,"
    # Messages were dropped, by more than what sizes may be wrong by.
    f" if(({FACTS['history']}) AND c.prefix_tokens < {CERTAIN_SHARE} * p.left_tokens, c.prefix_tokens, 4294967295)),"
    f" {_COULD_OF_OTHER})"
)
_SHARE: Final = (
    f"multiIf({_HAS_PARENT}, if(p.left_state = '{ABOUT}', {LEAST_SHARE_ABOUT}, {LEAST_SHARE}),"
    f" {_IS_OTHER_RUNNING}, {LEAST_SHARE}, {LEAST_SHARE_ELSEWHERE})"
)
_FACTS: Final = " + ".join(
    f"({_HAS_PARENT} AND ({sql})"
    + (f" OR {_HAS_OTHER} AND ({_OF_OTHER[name]})" if name in _OF_OTHER else "")
    + f") * {1 << number}"
    for number, (name, sql) in enumerate(FACTS.items())
)


def misses_sql(where: str, parents: str) -> str:
    """Return the statement whose rows are the calls that missed, with what they lost and what they show.

    ``where`` narrows the calls ``t``; ``parents`` the calls that they may continue, or share a beginning with.
    Column ``facts`` has a bit for each field of ``Evidence`` (``evidence``).
    """
    gapped = f"FROM llm_traces AS t WHERE {where} AND t.cache_gap > 0"
    # The same text twice, so that the engine makes the set once.
    names = f"(SELECT if(t.parent_turn_hash != 0, t.parent_turn_hash, t.prefix_hash) AS begun_by {gapped} AND begun_by != 0)"
    keys = ", ".join(f"c.{name} AS {name}, p.{name} AS parent_{name}" for name in _KEY)
    return (
        f"SELECT {keys}, c.agent_id AS agent_id, c.provider AS provider, c.priced_model AS model,"  # noqa: S608 - fixed fragments, values are bound
        " p.name != 0 AS has_parent, p.priced_model AS parent_model, p.left_seconds AS left_seconds,"
        " c.prompt_tokens AS prompt_tokens, ifNull(c.cached_input_tokens, 0) AS cached_tokens,"
        " toUInt32(could) AS could_tokens, toUInt32(could - cached_tokens) AS lost_tokens,"
        " least(lost_tokens, c.written_tokens) AS lost_written,"
        " toInt128(lost_tokens - lost_written) * c.lost_rate_fresh + toInt128(lost_written) * c.lost_rate_written"
        f" AS lost_pico, toUInt16({_FACTS}) AS facts, {_COULD} AS could"
        f" FROM (SELECT {_OWN} {gapped}) AS c"
        f" ASOF LEFT JOIN (SELECT {_EARLIER} FROM llm_traces AS t WHERE {parents}"
        f" AND (t.turn_hash IN {names} OR t.prefix_hash IN {names}) AND t.cache_left_state != '' AND t.is_error = 0)"
        " AS p ON c.begun_by = p.name AND c.started_us > p.since_us"
        f" WHERE could >= cached_tokens + {LEAST_LOST} AND could - cached_tokens >= {_SHARE} * could"
    )


def evidence(facts: int) -> Evidence:
    """Return what column ``facts`` says."""
    return Evidence(*(bool(facts >> number & 1) for number in range(len(FACTS))))


def sums_sql(misses: str) -> str:
    """Return the statement that adds up misses that show the same."""
    return (
        "SELECT agent_id, provider, model, facts, count() AS calls, sum(lost_tokens) AS all_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " sum(lost_pico) AS all_pico, countIf(lost_pico IS NULL) AS unpriced,"
        " argMax((batch_id, batch_row, created_at), lost_tokens) AS worst, max(lost_tokens) AS most_tokens"
        f" FROM ({misses}) GROUP BY agent_id, provider, model, facts"
    )
