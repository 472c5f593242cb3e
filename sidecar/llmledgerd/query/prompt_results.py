"""Results of questions about prompts: what was not read from caches, and what prompts consist of.

Invariant: an unknown amount is None, and not 0.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec


class CacheMisses(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one agent and model that did not read from the provider's cache what they could have, for one cause."""

    agent_id: str
    provider: str
    model: str
    cause: str
    """`tools_changed`, `system_changed`, `history_changed`, `model_changed`, `tier_changed`, `expired`, `too_short`,
    `mark_moved`, `in_flight` or `unknown`."""
    calls: int
    lost_tokens: int
    lost_usd: Decimal | None
    """What these tokens cost more than if they had been read; None where no price is known."""
    unknown_cost: int
    """Calls without a price, which are not in ``lost_usd``."""
    worst_id: str
    """The call that lost most tokens."""


class CacheMiss(msgspec.Struct, frozen=True, kw_only=True):
    """One call that did not read from the provider's cache what it could have."""

    id: str
    parent_id: str
    """The call that it continues; empty where it only shares a prefix with another."""
    agent_id: str
    provider: str
    model: str
    created_at: datetime
    cause: str
    """As in ``CacheMisses``."""
    place: dict[str, Any]
    """Where the prompts differ: `part` (`tools`, `system`, `messages`) and what identifies the place in it."""
    place_text: str
    """The same as a phrase."""
    prompt_tokens: int
    could_read_tokens: int
    read_tokens: int
    lost_tokens: int
    lost_usd: Decimal | None
    provider_says: str
    """The provider's own diagnostics as JSON, where the request asked for them."""


class Anatomy(msgspec.Struct, kw_only=True):
    """What the tokens of the prompts of one group of calls are; the parts add up to ``prompt_tokens``."""

    group: dict[str, str]
    calls: int = 0
    prompt_tokens: int = 0
    system: int = 0
    tools: int = 0
    history: int = 0
    tool_results: int = 0
    files: int = 0
    new: int = 0
    other: int = 0
    """Of calls whose request was not stored as parts, such as embeddings."""
    by_tool: dict[str, int] = {}
    """Tokens of ``tools`` by the tool's name."""
    by_server: dict[str, int] = {}
    """Tokens of ``tools`` by the MCP server that names of the form `mcp__server__tool` say."""
