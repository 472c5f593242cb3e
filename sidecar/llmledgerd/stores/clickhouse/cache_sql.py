"""SQL of cache misses: each call beside the call that it continues, and the facts that two calls show. Pure.

Invariants:
- No payload and no description is read to find a miss: hashes, counts and times are enough. Descriptions are read of
  the calls that are listed.
- Only calls whose own row says that something may have been missed (``cache_gap``) are compared.
- Hashes are an organization's own, so that calls of two organizations never have one in common: only the calls that
  missed are compared with the organization's text, which takes five times what a number takes.
- What a fact means is decided in ``conversations.cache_misses``; here is no cause.
"""

from __future__ import annotations

from collections.abc import Iterable
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
_OWN: Final = (
    *_KEY, "agent_id", "provider", "priced_model", "request_model", "service_tier", "region",
    "prompt_tokens", "cached_input_tokens", "cache_write_tokens", "tools_hash", "system_hash",
    "history_hash", "parent_history_hash", "prefix_hash", "prefix_tokens", "prompt_estimate", "cache_marks", "lost_rate_fresh", "lost_rate_written",
    "parent_turn_hash", "moment",
)  # fmt: skip
_PARENT: Final = (
    *_KEY, "turn_hash", "priced_model", "request_model", "service_tier", "region", "settles", "latency_ms",
    "tools_hash", "system_hash", "history_hash", "prompt_estimate", "last_block", "cache_marks", "cache_left_tokens", "cache_left_seconds",
    "cache_left_state", "cached_input_tokens",
)  # fmt: skip
_ELSEWHERE: Final = (
    *_KEY, "moment", "prefix_hash", "history_hash", "priced_model", "service_tier", "region", "settles", "latency_ms", "cached_input_tokens", "cache_marks",
    "cache_left_tokens", "cache_left_seconds", "cache_left_state", "cache_gap",
)  # fmt: skip
"""Columns of the call that began last before a conversation's first one, with the same tools and system prompt."""

_SHOWN: Final = (
    "agent_id", "provider", "prompt_tokens", "cached_input_tokens", "cache_write_tokens", "prompt_estimate",
    "history_hash", "prefix_tokens", "lost_rate_fresh", "lost_rate_written",
)  # fmt: skip
_SHOWN_BEFORE: Final = {
    "p": ("cache_left_tokens", "cache_left_state", "cached_input_tokens", "prompt_estimate"),
    "e": (
        "priced_model", "history_hash", "cache_left_tokens", "cache_left_seconds", "cache_left_state",
        "cached_input_tokens",
    ),
}  # fmt: skip
"""What is computed with once the calls are joined."""

_PLAIN_TIERS: Final = "('', 'default', 'standard', 'auto', 'on_demand', 'on-demand')"
_COMPUTED: Final = {
    "service_tier": f"if(lower(t.service_tier) IN {_PLAIN_TIERS}, 0, cityHash64(lower(t.service_tier)))",
    "region": "if(t.region = '', 0, cityHash64(t.region))",
    "settles": "multiIf("
    + ", ".join(f"positionCaseInsensitive(t.priced_model, '{word}') > 0, {n}" for word, n in SETTLING.items())
    + ", 0)",
    "moment": "toUnixTimestamp64Micro(t.created_at) * 1024 + t.batch_row % 1024",
}
"""What is computed where a call is read, once for each text that a column has; joined rows are compared by numbers.
``moment``: when a call began; of calls that began at one moment, one is the first."""
KEPT_SHARE: Final = 0.95
"""Share of the prompt before that a history is below where messages were dropped; above it they were edited."""


def _is_tier(p: str) -> str:
    return (
        f"({p}.service_tier != c.service_tier"
        f" OR ({p}.region != c.region AND {p}.region != 0 AND c.region != 0))"
    )


FACTS: Final = {
    "model": "p.priced_model != c.priced_model AND (p.request_model != c.request_model OR NOT"
    " (startsWith(p.priced_model, c.priced_model) OR startsWith(c.priced_model, p.priced_model)))",
    "tier": _is_tier("p"),
    "tools": "p.tools_hash != c.tools_hash",
    "system": "p.system_hash != c.system_hash",
    "history": "c.parent_history_hash != 0 AND p.history_hash != c.parent_history_hash",
    "short": f"p.cache_left_state = '{TOO_SHORT}'",
    "running": "c.created_at < p.created_at + toIntervalMillisecond(p.latency_ms)"
    " + toIntervalSecond(p.settles)",
    "late": "p.cache_left_seconds > 0 AND c.created_at > p.created_at + toIntervalSecond(p.cache_left_seconds)",
    "mark": "notEmpty(p.cache_marks) AND NOT arrayExists("
    f"m -> m >= p.last_block AND m < p.last_block + {LOOKBACK_BLOCKS}, c.cache_marks)",
}
"""SQL of each field of ``Evidence``: of the call ``c`` and the call ``p`` that it continues."""
assert tuple(FACTS) == Evidence._fields  # noqa: S101 - both name the same facts, in one order

_RUNNING: Final = (
    "e.cache_gap > 0 AND c.created_at < e.created_at + toIntervalMillisecond(e.latency_ms)"
    " + toIntervalSecond(e.settles)"
)
_OF_OTHER: Final = {"tier": _is_tier("e"), "running": _RUNNING}
"""The facts of a conversation's first call, and the call ``e`` with the same prefix."""

_COULD_OF_OTHER: Final = (
    "multiIf("
    "NOT has_other OR e_priced_model != model, 0,"
    " fact_running, least(e_cache_left_tokens, prompt_tokens,"
    " if(e_history_hash = history_hash, prompt_tokens, prefix_tokens)),"
    " created_at > parent_created_at + toIntervalSecond(e_cache_left_seconds), 0,"
    # What the other one read was there; of what it has left, its own message is a part.
    " e_cached_input_tokens > 0, least(assumeNotNull(e_cached_input_tokens), prefix_tokens),"
    f" e_cache_left_state = '{EXACT}' AND is_unmarked, least(e_cache_left_tokens, prefix_tokens),"
    " 0)"
)
_OLD: Final = "prefix_tokens / prompt_tokens"
"""Share of the prompt that the call before had sent."""
_KEPT: Final = f"{_OLD} * prompt_estimate / greatest(p_prompt_estimate, 1)"
"""What is left of the prompt before, as a share of it: of equal texts the estimates are equal."""
_EXPLAINED: Final = " OR ".join(f"fact_{name}" for name in FACTS if name != "mark")
_COULD: Final = (
    "multiIf("
    # A response without reads says that nothing was read where its provider has reported reads before, or where this
    # side did what keeps it from reading.
    "cached_input_tokens IS NULL AND ifNull(p_cached_input_tokens, 0) = 0 AND ifNull(e_cached_input_tokens, 0) = 0"
    f" AND NOT if(has_before, {_EXPLAINED}, fact_running), 0,"
    " has_before, least(p_cache_left_tokens, prompt_tokens,"
    # Where messages were dropped, the smaller part is estimated: what was dropped, or what is new.
    f" multiIf(NOT fact_history OR {_KEPT} >= {KEPT_SHARE}, 4294967295,"
    f" {_KEPT} >= {_OLD}, toUInt32({_KEPT} * p_cache_left_tokens), prefix_tokens)),"
    f" {_COULD_OF_OTHER})"
)
_SHARE: Final = (
    f"multiIf(has_before, if(p_cache_left_state = '{ABOUT}', {LEAST_SHARE_ABOUT}, {LEAST_SHARE}),"
    f" fact_running, {LEAST_SHARE}, {LEAST_SHARE_ELSEWHERE})"
)


BY_LOSS: Final = "ORDER BY ifNull(lost_pico, 0) DESC, lost_tokens DESC, created_at, batch_id, batch_row LIMIT {limit:UInt32}"
"""Order of the calls that missed: the dearest first."""


def misses_sql(where: str, near: str, parents: str) -> str:
    """Return the statement whose rows are the calls that missed, with what they lost and what they show.

    ``where`` narrows the calls ``t``. ``near`` narrows them too, where more of them do no harm: they are the ones
    whose predecessors are looked for. ``parents`` narrows the calls that they may continue, or share a beginning with.
    Column ``facts`` has a bit for each field of ``Evidence`` (``evidence``).
    """
    facts = " + ".join(f"fact_{name} * {1 << number}" for number, name in enumerate(FACTS))
    keys = ", ".join(f"{name}, parent_{name}" for name in _KEY)
    # What is used several times is computed in a statement of its own: a statement is analyzed with all that its names
    # stand for, which took a third of the time.
    return (
        f"SELECT {keys}, agent_id, provider, model, has_parent, prompt_tokens, cached_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " toUInt32(could) AS could_tokens, toUInt32(could - cached_tokens) AS lost_tokens,"
        " least(lost_tokens, ifNull(cache_write_tokens, 0)) AS lost_written,"
        " toInt128(lost_tokens - lost_written) * lost_rate_fresh + toInt128(lost_written) * lost_rate_written"
        f" AS lost_pico, toUInt16({facts}) AS facts"
        f" FROM (SELECT *, {_COULD} AS could FROM ({_compared(where, near, parents)}))"
        f" WHERE could >= cached_tokens + {LEAST_LOST} AND could - cached_tokens >= {_SHARE} * could"
    )


def _compared(where: str, near: str, parents: str) -> str:
    """Return the statement of the calls that may have missed, each with what is to be known of the one before it."""
    own, parent, elsewhere = map(_columns, (_OWN, _PARENT, _ELSEWHERE))
    gapped = f"FROM llm_traces AS t WHERE {near} AND t.cache_gap > 0"
    facts = ", ".join(
        f"p.turn_hash != 0 AND ({sql})"
        + (f" OR e.prefix_hash != 0 AND ({_OF_OTHER[name]})" if name in _OF_OTHER else "")
        + f" AS fact_{name}"
        for name, sql in FACTS.items()
    )
    keys = ", ".join(
        f"c.{name} AS {name}, if(p.turn_hash != 0, p.{name}, e.{name}) AS parent_{name}" for name in _KEY
    )
    shown = ", ".join(f"c.{name} AS {name}" for name in _SHOWN)
    before = ", ".join(
        f"{one}.{name} AS {one}_{name}" for one, names in _SHOWN_BEFORE.items() for name in names
    )
    return (
        f"SELECT {keys}, {shown}, {before}, c.priced_model AS model, ifNull(c.cached_input_tokens, 0) AS cached_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " p.turn_hash != 0 AS has_before, e.prefix_hash != 0 AS has_other, has_before OR has_other AS has_parent,"
        f" empty(e.cache_marks) AS is_unmarked, {facts}"
        f" FROM (SELECT {own} FROM llm_traces AS t WHERE {where} AND t.cache_gap > 0) AS c"
        f" LEFT ANY JOIN (SELECT {parent} FROM llm_traces AS t WHERE {parents} AND t.turn_hash IN"
        f" (SELECT t.parent_turn_hash {gapped} AND t.parent_turn_hash != 0) AND t.cache_left_state != ''"
        " AND t.is_error = 0) AS p"
        " ON c.parent_turn_hash = p.turn_hash"
        f" ASOF LEFT JOIN (SELECT {elsewhere} FROM llm_traces AS t WHERE {parents} AND t.prefix_hash IN"
        f" (SELECT t.prefix_hash {gapped} AND t.parent_turn_hash = 0) AND t.cache_left_state IN"
        f" ('{EXACT}', '{ABOUT}') AND t.is_error = 0) AS e"
        " ON if(c.parent_turn_hash = 0, c.prefix_hash, 0) = e.prefix_hash AND c.moment > e.moment"
    )


def worst_sql(misses: str) -> str:
    """Return the statement of the keys of the calls that lost most, and of the times of those before them.

    It takes few columns of all that missed.
    """
    return f"SELECT {', '.join(_KEY)}, has_parent, parent_created_at FROM ({misses}) {BY_LOSS}"  # noqa: S608 - fixed fragments, values are bound


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"{_COMPUTED.get(name) or 't.' + name} AS {name}" for name in names)


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
