"""Tables of cache misses and of what prompts consist of.

Invariant: an amount that is not known is ``-``, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmledgerd.cli.fitting import Column
from llmledgerd.cli.tables import counts, ids, money, texts, times
from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses

PARTS: Final = ("system", "tools", "history", "tool_results", "files", "new", "other")


def cache_columns(found: Sequence[CacheMisses]) -> list[Column]:
    """Return the columns of misses by agent, model and cause."""
    return [
        texts("AGENT", [one.agent_id for one in found], 1, 8),
        texts("MODEL", [one.model for one in found], 2, 10),
        texts("CAUSE", [one.cause for one in found], 0, 9),
        counts("CALLS", [one.calls for one in found], 0),
        counts("LOST TOKENS", [one.lost_tokens for one in found], 1),
        money("LOST $", [one.lost_usd for one in found], 0),
        texts("WORST CALL", [one.worst_id for one in found], 3, 8),
    ]


def cache_calls_columns(found: Sequence[CacheMiss]) -> list[Column]:
    """Return the columns of single misses."""
    return [
        times("TIME", [one.created_at for one in found], 4),
        ids("ID", [one.id for one in found]),
        texts("AGENT", [one.agent_id for one in found], 3, 8),
        texts("CAUSE", [one.cause for one in found], 0, 9),
        texts("PLACE", [one.place_text for one in found], 1, 12),
        counts("LOST TOKENS", [one.lost_tokens for one in found], 2),
        money("LOST $", [one.lost_usd for one in found], 0),
    ]


def anatomy_columns(found: Sequence[Anatomy], group_by: Sequence[str]) -> list[Column]:
    """Return the columns of prompts' tokens by group; a part that no group has is left out."""
    shown = [part for part in PARTS if any(getattr(one, part) for one in found)]
    return [
        *(texts(name.upper(), [one.group[name] for one in found], 0, 8) for name in group_by),
        counts("CALLS", [one.calls for one in found], 2),
        counts("PROMPT", [one.prompt_tokens for one in found], 0),
        *(counts(part.upper().replace("_", " "), [getattr(one, part) for one in found], 1) for part in shown),
    ]


def tools_columns(found: Sequence[Anatomy], group_by: Sequence[str]) -> list[Column]:
    """Return the columns of tools' schemas by group, and of MCP servers' tools together."""
    rows = [
        (one, kind, name, tokens)
        for one in found
        for kind, by_name in (("server", one.by_server), ("tool", one.by_tool))
        for name, tokens in sorted(by_name.items(), key=lambda item: -item[1])
    ]
    return [
        *(texts(name.upper(), [one.group[name] for one, _, _, _ in rows], 1, 8) for name in group_by),
        texts("KIND", [kind for _, kind, _, _ in rows], 0, 4),
        texts("NAME", [name for _, _, name, _ in rows], 0, 8),
        counts("TOKENS", [tokens for _, _, _, tokens in rows], 0),
    ]


def miss_line(one: CacheMiss) -> str:
    """Return a miss as one line under a call's figures."""
    dollars = "" if one.lost_usd is None else f", ${one.lost_usd:.6f}"
    place = f": {one.place_text}" if one.place_text else ""
    return f"cache: {one.cause}{place}. {one.lost_tokens:,} of {one.could_read_tokens:,} tokens not read{dollars}"
