"""Why a call did not read from the provider's cache what an earlier call had left there. Pure.

Invariant: a cause is what the two calls' own bytes, times and counts show; where they show nothing, it is
``unknown``. A call that read what there was to read has no miss, however much of its prompt was new.

What one call can say alone is computed when its row is made (``left``); what takes two calls is compared by the
store, as the yes or no of ``Evidence``, and judged here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from llmledgerd.conversations.cache_rules import CacheRule

MODEL: Final = "model_changed"
TIER: Final = "tier_changed"
TOOLS: Final = "tools_changed"
SYSTEM: Final = "system_changed"
HISTORY: Final = "history_changed"
EXPIRED: Final = "expired"
SHORT: Final = "too_short"
MARK: Final = "mark_moved"
IN_FLIGHT: Final = "in_flight"
UNKNOWN: Final = "unknown"

CAUSES: Final = (MODEL, TIER, TOOLS, SYSTEM, HISTORY, EXPIRED, SHORT, MARK, IN_FLIGHT, UNKNOWN)

LEAST_LOST: Final = 256
"""Tokens below which a difference is rounding: two of OpenAI's steps of 128."""
LEAST_SHARE: Final = 0.03
"""Share of what could have been read that a loss has at least."""
LEAST_SHARE_ABOUT: Final = 0.15
"""The same where the provider's steps are not documented, so that an entry's size is known only about, and nothing has
changed that would keep the call from reading it."""
LEAST_SHARE_ELSEWHERE: Final = 0.5
"""The same of a conversation's first call: what it shares with another conversation is estimated by its size."""

EXACT: Final = "exact"
ABOUT: Final = "about"
TOO_SHORT: Final = "short"


class Left(NamedTuple):
    """What a call left in the provider's cache."""

    tokens: int = 0
    seconds: int = 0
    """How long it may be read after its last use; 0: not known."""
    state: str = ""
    """``exact``, ``about``, ``short`` (below the provider's minimum, so that nothing was kept), or empty: nothing."""


NOTHING_LEFT: Final = Left()


class Counts(NamedTuple):
    """A call's tokens as its provider reports them; None: not reported."""

    prompt: int
    cached: int | None
    written: int | None


def left(
    rule: CacheRule, counts: Counts, *, marked_tokens: int | None, seconds: int, is_named: bool = False
) -> Left:
    """Return what a call leaves in the cache, by its provider's rule.

    ``marked_tokens``: about how much of the prompt stands before its last mark; None: there is no mark.
    ``seconds``: the lifetime that the request asks for; 0 where it asks for none. ``is_named``: the request names the
    entry that it reads, so that nothing else is kept.
    """
    read, written = counts.cached or 0, counts.written or 0
    if counts.prompt <= 0 or (counts.cached is None and counts.written is None and not rule.omits_none):
        return NOTHING_LEFT
    lifetime = seconds or rule.seconds
    if is_named:
        return Left(read, lifetime, EXACT) if read else NOTHING_LEFT
    if written or (rule.is_marked and read):
        return Left(min(read + written, counts.prompt), lifetime, EXACT)
    if rule.is_marked:
        is_short = marked_tokens is not None and marked_tokens < rule.minimum
        return Left(marked_tokens or 0, lifetime, TOO_SHORT) if is_short else NOTHING_LEFT
    if not (read or rule.is_stated):
        return NOTHING_LEFT
    tokens = counts.prompt // rule.step * rule.step
    if counts.prompt < rule.minimum and not read:  # a prompt that has read was no shorter than what is cached
        return Left(tokens, lifetime, TOO_SHORT)
    return Left(tokens, lifetime, EXACT if rule.is_exact else ABOUT)


class Evidence(NamedTuple):
    """What two calls show, each with the name of the store's column."""

    model: bool
    """Another model answered."""
    tier: bool
    """Another tier or region served."""
    tools: bool
    system: bool
    history: bool
    """The messages of the earlier call are not all at the beginning of the later one's."""
    short: bool
    """The earlier call was too short to be cached."""
    running: bool
    """The earlier call had not ended, or its entry not settled, when the later one began."""
    late: bool
    """The later call began after the entry's lifetime."""
    mark: bool
    """No mark of the later call reaches the entry."""


_IN_ORDER: Final = (
    ("model", MODEL),
    ("tier", TIER),
    ("short", SHORT),  # nothing was kept, whatever else changed
    ("tools", TOOLS),  # in the order in which a prompt is built
    ("system", SYSTEM),
    ("history", HISTORY),
    ("running", IN_FLIGHT),
    ("late", EXPIRED),
    ("mark", MARK),
)


def cause(evidence: Evidence) -> str:
    """Return the first cause that the evidence shows, in the order in which one makes the next irrelevant.

    >>> cause(Evidence(False, False, True, False, False, False, False, True, False))
    'tools_changed'
    """
    return next((word for name, word in _IN_ORDER if getattr(evidence, name)), UNKNOWN)
