"""SQL of cache misses: each call beside the call before it, and the facts that two calls show. Pure.

Invariants:
- No payload, no description and no text but models, tiers and regions is read to find a miss: hashes, counts and times
  are enough. What else is shown is read of the calls that are listed.
- Only calls whose own row says that something may have been missed (``cache_gap``) are compared.
- Hashes are an organization's own, so that calls of two organizations never have one in common: only the calls that
  missed are narrowed to the organization, by its number (``organization_hash``).
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
_OWN: Final = (
    *_KEY, "cache_group", "priced_model", "request_model", "service_tier", "region", "prompt_tokens",
    "cached_input_tokens", "cache_write_tokens", "tools_hash", "system_hash", "history_hash", "parent_history_hash",
    "prefix_tokens", "prompt_estimate", "cache_marks", "lost_rate_fresh", "lost_rate_written", "parent_turn_hash",
)  # fmt: skip
_BEFORE: Final = (
    *_KEY, "priced_model", "request_model", "service_tier", "region", "latency_ms", "cached_input_tokens",
    "tools_hash", "system_hash", "history_hash", "prompt_estimate", "last_block", "cache_marks", "cache_left_tokens",
    "cache_left_seconds", "cache_left_state", "cache_gap",
)  # fmt: skip
"""Columns of the call before: the one that is continued, or, before a conversation's first call, the one that began
last with the same tools and system prompt. Their names begin with ``before_``."""

_MOMENT: Final = "toUnixTimestamp64Micro(t.created_at) * 1024 + t.batch_row % 1024"
"""When a call began; of calls that began at one moment, one is the first."""
CLOCKS_DIFFER: Final = 90
"""Seconds by which the clocks of two hosts that continue one conversation may disagree."""
_SKEW: Final = CLOCKS_DIFFER * 1_000_000 * 1024
_SOUGHT: Final = "if(t.parent_turn_hash != 0, t.parent_turn_hash, t.prefix_hash)"
"""What the call before has: this as its turn, or as its prefix (which is negative where it is a conversation that the
provider keeps: any call of it may be the one before)."""

KEPT_SHARE: Final = 0.95
"""Share of the prompt before that a history is below where messages were dropped; above it they were edited."""


def _tier(name: str) -> str:
    return f"if(lower({name}) IN ('', 'default', 'standard', 'auto', 'on_demand', 'on-demand'), '', lower({name}))"


_SETTLES: Final = (
    "multiIf("
    + ", ".join(
        f"positionCaseInsensitive(before_priced_model, '{word}') > 0, {n}" for word, n in SETTLING.items()
    )
    + ", 0)"
)
FACTS: Final = {
    "model": "before_priced_model != priced_model AND (before_request_model != request_model OR NOT"
    " (startsWith(before_priced_model, priced_model) OR startsWith(priced_model, before_priced_model)))",
    "tier": f"before_service_tier != service_tier AND {_tier('before_service_tier')} != {_tier('service_tier')}"
    " OR before_region != region AND before_region != '' AND region != ''",
    "tools": "before_tools_hash != tools_hash",
    "system": "before_system_hash != system_hash",
    "history": "parent_history_hash != 0 AND before_history_hash != parent_history_hash",
    "short": f"before_cache_left_state = '{TOO_SHORT}'",
    "running": "created_at < before_created_at + toIntervalMillisecond(before_latency_ms)"
    f" + toIntervalSecond({_SETTLES}) AND (parent_turn_hash != 0 OR before_cache_gap > 0)",
    "late": "before_cache_left_seconds > 0"
    " AND created_at > before_created_at + toIntervalSecond(before_cache_left_seconds)",
    "mark": "notEmpty(before_cache_marks) AND NOT arrayExists(m -> m >= before_last_block"
    f" AND m < before_last_block + {LOOKBACK_BLOCKS}, cache_marks)",
}
"""SQL of each field of ``Evidence``."""
assert tuple(FACTS) == Evidence._fields  # noqa: S101 - both name the same facts, in one order
_BITS: Final = {name: 1 << number for number, name in enumerate(FACTS)}
_ALL: Final = (1 << len(FACTS)) - 1
_CHANGES: Final = sum(_BITS[name] for name in ("model", "tier", "tools", "system", "history"))
"""The facts that keep what comes after the change from being read, whatever the provider's steps are."""
_OF_FIRST: Final = _BITS["tier"] | _BITS["running"]
"""The facts of a conversation's first call."""


def _is(name: str) -> str:
    return f"bitAnd(facts, {_BITS[name]}) != 0"


_OLD: Final = "prefix_tokens / prompt_tokens"
"""Share of the prompt that the call before had sent."""
_KEPT: Final = f"{_OLD} * prompt_estimate / greatest(before_prompt_estimate, 1)"
"""What is left of the prompt before, as a share of it: of equal texts the estimates are equal."""
_COULD: Final = (
    "multiIf("
    # A response without reads says that nothing was read where its provider has reported reads before, or where this
    # side did what keeps it from reading.
    "cached_input_tokens IS NULL AND ifNull(before_cached_input_tokens, 0) = 0"
    f" AND bitAnd(facts, if(is_first, {_BITS['running']}, {_ALL - _BITS['mark']})) = 0, 0,"
    " NOT is_first, least(before_cache_left_tokens, prompt_tokens,"
    # Where messages were dropped, the smaller part is estimated: what was dropped, or what is new.
    f" multiIf(NOT {_is('history')} OR {_KEPT} >= {KEPT_SHARE}, 4294967295,"
    f" {_KEPT} >= {_OLD}, toUInt32({_KEPT} * before_cache_left_tokens), prefix_tokens)),"
    " before_priced_model != priced_model, 0,"
    f" {_is('running')}, least(before_cache_left_tokens, prompt_tokens,"
    " if(before_history_hash = history_hash, prompt_tokens, prefix_tokens)),"
    " created_at > before_created_at + toIntervalSecond(before_cache_left_seconds), 0,"
    # What the other one read was there; of what it has left, its own message is a part.
    " before_cached_input_tokens > 0, least(assumeNotNull(before_cached_input_tokens), prefix_tokens),"
    # Both have a mark at one place of the shared beginning, so that what was written has an entry there.
    f" before_cache_left_state = '{EXACT}' AND (empty(before_cache_marks) OR hasAny(before_cache_marks, cache_marks)),"
    " least(before_cache_left_tokens, prefix_tokens),"
    " 0)"
)
_SHARE: Final = (
    f"multiIf(NOT is_first, if(before_cache_left_state = '{ABOUT}' AND bitAnd(facts, {_CHANGES}) = 0,"
    f" {LEAST_SHARE_ABOUT}, {LEAST_SHARE}),"
    f" {_is('running')}, {LEAST_SHARE}, {LEAST_SHARE_ELSEWHERE})"
)


def misses_sql(where: str, near: str, parents: str) -> str:
    """Return the statement whose rows are the calls that missed, with what they lost and what they show.

    ``where`` narrows the calls ``t``. ``near`` narrows them too, where more of them do no harm: they are the ones
    whose predecessors are looked for. ``parents`` narrows the calls that they may continue, or share a beginning with.
    Column ``facts`` has a bit for each field of ``Evidence`` (``evidence``).
    """
    keys = ", ".join(f"{name}, before_{name}" for name in _KEY)
    # What is used several times is computed in a statement of its own: a statement is analyzed with all that its names
    # stand for, which took a third of the time.
    return (
        f"SELECT {keys}, cache_group, prompt_tokens, ifNull(cached_input_tokens, 0) AS cached_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " toUInt32(could) AS could_tokens, toUInt32(could - cached_tokens) AS lost_tokens,"
        " least(lost_tokens, ifNull(cache_write_tokens, 0)) AS lost_written,"
        " toInt128(lost_tokens - lost_written) * lost_rate_fresh + toInt128(lost_written) * lost_rate_written"
        " AS lost_pico, facts"
        f" FROM (SELECT *, {_COULD} AS could FROM ({_compared(where, near, parents)}))"
        f" WHERE could >= cached_tokens + {LEAST_LOST} AND could - cached_tokens >= {_SHARE} * could"
    )


def _compared(where: str, near: str, parents: str) -> str:
    """Return the statement of the calls that may have missed, each with the call before it.

    Both kinds of calls before are found in one reading of the table: a row may be looked for by its turn, by its prefix,
    or by both. Of several with the same turn, which are equal questions with equal answers, the last one before the
    call is meant. One that is looked for by its turn counts as begun CLOCKS_DIFFER earlier, so that clocks that disagree
    do not hide it.
    PREWHERE: the engine's own choice reads further columns before the few rows are known.
    """
    own = ", ".join(f"t.{name} AS {name}" for name in _OWN)
    before = ", ".join(f"t.{name} AS before_{name}" for name in _BEFORE)
    sought = (
        f"(SELECT {_SOUGHT} AS sought FROM llm_traces AS t"  # noqa: S608 - fixed fragments, values are bound
        f" WHERE {near} AND t.cache_gap > 0 AND sought != 0)"
    )
    of_turn = f"t.turn_hash GLOBAL IN {sought}"
    of_prefix = f"t.prefix_hash GLOBAL IN {sought} AND t.cache_left_state != '{TOO_SHORT}'"
    facts = " + ".join(f"({sql}) * {_BITS[name]}" for name, sql in FACTS.items())
    return (
        "SELECT *, parent_turn_hash = 0 AND sought > 0 AS is_first,"  # noqa: S608 - fixed fragments, values are bound
        f" toUInt16(bitAnd({facts}, if(is_first, {_OF_FIRST}, {_ALL}))) AS facts"
        f" FROM (SELECT {own}, {_SOUGHT} AS sought, {_MOMENT} AS moment FROM llm_traces AS t"
        f" PREWHERE t.cache_gap > 0 WHERE {where}) AS c"
        f" ASOF JOIN (SELECT {before}, arrayJoin(multiIf(NOT {of_turn}, [1], {of_prefix}, [0, 1], [0])) AS is_by_prefix,"
        f" if(is_by_prefix, t.prefix_hash, t.turn_hash) AS found, {_MOMENT} - if(is_by_prefix, 0, {_SKEW}) AS found_moment"
        f" FROM llm_traces AS t PREWHERE ({of_turn} OR ({of_prefix})) AND t.cache_left_state != '' AND t.is_error = 0"
        f" WHERE {parents}) AS p"
        " ON c.sought = p.found AND c.moment > p.found_moment"
    )


BY_LOSS: Final = "ORDER BY ifNull(lost_pico, 0) DESC, lost_tokens DESC, created_at, batch_id, batch_row LIMIT {limit:UInt32}"
"""Order of the calls that missed: the dearest first."""


def evidence(facts: int) -> Evidence:
    """Return what column ``facts`` says."""
    return Evidence(*(bool(facts >> number & 1) for number in range(len(FACTS))))


def sums_sql(misses: str) -> str:
    """Return the statement that adds up misses that show the same."""
    return (
        "SELECT cache_group, facts, count() AS calls, sum(lost_tokens) AS all_tokens,"  # noqa: S608 - fixed fragments, values are bound
        " sum(lost_pico) AS all_pico, countIf(lost_pico IS NULL) AS unpriced,"
        " argMax((batch_id, batch_row, created_at), lost_tokens) AS worst, max(lost_tokens) AS most_tokens"
        f" FROM ({misses}) GROUP BY cache_group, facts"
    )
