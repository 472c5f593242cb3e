"""A prompt in bounded columns: what takes to compare it with another, and what its tokens are. Pure.

Invariant: a description has a bounded size, whatever the prompt's; nothing of the prompt's text is in it, and its
hashes are an organization's own. The parts of the tokens add up to ``prompt_tokens`` exactly.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from llmledgerd.conversations import token_weights as weights
from llmledgerd.conversations.cache_misses import LEAST_LOST, Counts, Left, left
from llmledgerd.conversations.cache_rules import CacheRule, asked_seconds, rule_for
from llmledgerd.conversations.parts import Part, Request
from llmledgerd.conversations.prompt_blocks import Blocks, begun, estimated, further
from llmledgerd.conversations.prompt_description import (
    described_blocks,
    described_system,
    described_tools,
    hash_of,
)
from llmledgerd.conversations.values import as_text, seed_of


class Prompt(msgspec.Struct, gc=False):
    """The columns that are computed from a request and its usage."""

    parts: bytes = b""
    tools_hash: int = 0
    system_hash: int = 0
    history_hash: int = 0
    """Of all messages."""
    parent_hash: int = 0
    """Of the messages before the last answer, which were the whole history of the call before; 0: no answer yet."""
    prefix_hash: int = 0
    """Of what parallel calls share: everything up to the last answer, else tools and system."""
    prefix_tokens: int = 0
    """About how many tokens the call before had sent of it; without an answer, how many it is."""
    last_block: int = 0
    """Number of the prompt's last block, from 0; of a marked prompt, of the block before the last mark."""
    marks: list[int] = []
    """Numbers of the blocks behind which the cache's marks stand."""
    left: Left = Left()
    gap: int = 0
    """Tokens, by the sizes and rather too many, that an earlier call has sent as well and that were not read;
    0 where they are too few to count."""
    tokens: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    """Of system, tools, history, tool results, files, new message."""


NO_PROMPT: Final = Prompt()
"""Of a call whose request has no prompt, or none that can be read."""


def number_of(turn_id: str) -> int:
    """Return 60 bits of a turn's id, which are compared faster than its text; 0 for none."""
    return int(turn_id[:15], 16) if turn_id else 0


class _Tools(msgspec.Struct, gc=False):
    """What follows from a set of tools alone. SDKs send the same set with every call of an agent."""

    schemas: tuple[Part, ...]
    packed: bytes
    digest: int
    tokens: float
    described: bytes
    marks: list[tuple[int, str]]


class _System(msgspec.Struct, gc=False):
    """What follows from a system prompt alone."""

    tokens: float
    described: bytes


class _Walk(msgspec.Struct, gc=False):
    """The messages, looked at once."""

    packed: bytes = b""
    short: bytes = b""
    letters: str = ""
    marks: list[tuple[int, str]] = []
    totals: list[float] = []
    """Estimated tokens of system, tools, history, tool results, files, new message."""
    answer: float = 0.0
    """Of the last answer, which the call before had not sent."""
    fresh: float = 0.0
    """Of all that comes after it."""
    head: float = 0.0
    """Of tools, system and, where those are small, the first block."""
    marked: float = 0.0
    """Before the last mark."""


class _Shape(msgspec.Struct, gc=False):
    """A request cut where calls are compared."""

    system: list[Part]
    """What stands beside the messages, and the system's messages at their beginning."""
    rest: list[Part]
    answer: int
    """Where in ``rest`` the last answer begins; its length where there is none."""
    fresh: int
    """Where in ``rest`` what is new begins: behind the last answer; 0 without one."""


_BIAS: Final = 0.8
"""Share of what seems new that is taken off what may have been read: an estimate that is 20 % too large hides
no miss."""
_LEAST_GAP: Final = 0.02
"""Share of the prompt below which nothing can have been lost that counts (``cache_misses.LEAST_SHARE``)."""
_SMALL_HEAD: Final = 256
"""Estimated tokens of tools and system below which calls that share more are looked for by their first block."""
_MOST_MARKS: Final = 8
"""Twice what Anthropic takes."""
_SETS: Final = 256
"""Sets of tools, and system prompts, that are remembered."""

_tools: dict[tuple[int, int, str], _Tools] = {}
"""By the identity of the tuple, which the entry keeps alive, the seed and the family."""
_systems: dict[tuple[bytes, int, str], _System] = {}


def prompt_of(request: Request, organization: str, counts: Counts, *, provider: str, model: str) -> Prompt:
    """Return the columns of a call's prompt."""
    if not (request.messages or request.tools or request.system):
        return NO_PROMPT
    seed, family = _seed(organization), _family(provider, model)
    tools = _tools_of(request.tools, seed, family)
    shape = _shape(request)
    packed_system = array("Q", [part.hash for part in shape.system]).tobytes()
    system = _system_of(shape.system, packed_system, seed, family)
    known = begun(request, shape.rest, shape.answer if shape.fresh else 0, seed, family)
    walk = _walked(shape, tools, system, known, seed, family)
    if request.mark:  # of the whole request: behind its last block
        walk.marks.append((len(request.tools) + len(shape.system) + len(shape.rest) - 1, request.mark))
        walk.marked = sum(walk.totals)
    found = _hashed(shape, tools, packed_system, walk, seed)
    _add_counts(found, request, walk, counts, rule_for(provider, model), has_answer=shape.fresh > 0)
    blocks = described_blocks(walk.short, walk.letters, shape.rest)
    found.parts = b"[%b,%b,%b]" % (tools.described, system.described, blocks)
    return found


def _add_counts(
    found: Prompt, request: Request, walk: _Walk, counts: Counts, rule: CacheRule, *, has_answer: bool
) -> None:
    """Add what follows from the provider's counts: the tokens' parts, what was left, and what may have been missed."""
    prompt, whole, marks = counts.prompt, sum(walk.totals), walk.marks
    is_kept = bool(request.previous or request.conversation)
    scale = prompt / max(1.0, whole)
    if is_kept and scale > 1.0:  # what the provider keeps by itself is history
        scale = 1.0
        walk.totals[2] += prompt - whole
    if rule.is_marked and marks:  # others read whatever is equal, wherever marks stand
        found.marks = [at for at, _ in marks[-_MOST_MARKS:]]
        found.last_block = marks[-1][0]
    marked = round(min(walk.marked * scale, prompt)) if marks else None
    asked = marks[-1][1] if marks else request.retention
    lifetime = asked_seconds(asked) if asked else 0
    is_named = bool(request.cached)
    found.left = left(rule, counts, marked_tokens=marked, seconds=lifetime, is_named=is_named)
    found.tokens = _rounded(walk.totals, prompt)
    new = (walk.fresh + walk.answer) * scale
    if has_answer:
        found.prefix_tokens = max(0, prompt - round(new))
    else:
        found.prefix_tokens = round(walk.head * scale) // rule.step * rule.step
    if counts.cached is not None or rule.omits_none:
        repeated = prompt - round(_BIAS * new) if has_answer or is_kept else found.prefix_tokens
        gap = repeated - (counts.cached or 0)
        found.gap = gap if gap >= LEAST_LOST and gap >= _LEAST_GAP * prompt else 0


@lru_cache(1024)
def _seed(organization: str) -> int:
    return seed_of(organization) | 1


@lru_cache(1024)
def _family(provider: str, model: str) -> str:
    name = f"{provider}/{model}".lower()
    if "claude" in name or "anthropic" in name:
        return "anthropic"
    return "gemini" if "gemini" in name else "openai"


def _shape(request: Request) -> _Shape:
    messages = request.messages
    at = 0
    while at < len(messages) and messages[at].role == "system":
        at += 1
    rest = messages[at:] if at else messages
    fresh = len(rest)
    while fresh and rest[fresh - 1].role != "assistant":
        fresh -= 1
    answer = fresh
    while answer and rest[answer - 1].role == "assistant":
        answer -= 1
    return _Shape(request.system + messages[:at], rest, answer if fresh else len(rest), fresh)


def _tools_of(schemas: tuple[Part, ...], seed: int, family: str) -> _Tools:
    key = (id(schemas), seed, family)
    found = _tools.get(key)
    if found is None or found.schemas is not schemas:
        if len(_tools) >= _SETS:
            _tools.clear()
        found = _tools[key] = _read_tools(schemas, seed, family)
    return found


def _read_tools(schemas: tuple[Part, ...], seed: int, family: str) -> _Tools:
    packed = array("Q", [tool.hash for tool in schemas]).tobytes()
    tokens = [weights.value_tokens(tool.value) for tool in schemas]
    return _Tools(
        schemas,
        packed,
        hash_of(packed, seed) if packed else 0,
        sum(tokens),
        described_tools(schemas, tokens, packed, seed),
        [(at, tool.mark) for at, tool in enumerate(schemas) if tool.mark],
    )


def _system_of(parts: list[Part], packed: bytes, seed: int, family: str) -> _System:
    key = (packed, seed, family)
    found = _systems.get(key)
    if found is None:
        if len(_systems) >= _SETS:
            _systems.clear()
        tokens = sum(estimated(part, family) for part in parts)
        text = "\n".join(as_text(part.value) for part in parts)
        found = _systems[key] = _System(tokens, described_system(text, seed))
    return found


def _walked(shape: _Shape, tools: _Tools, system: _System, known: Blocks, seed: int, family: str) -> _Walk:
    """Return the messages' hashes, speakers, marks and estimated tokens, in one pass."""
    rest = shape.rest
    whole = further(known, rest, seed, family, shape.answer, shape.fresh)
    asked, said, old = whole.cuts
    history, results, files = whole.totals
    before, head = len(tools.schemas), system.tokens + tools.tokens
    marks = tools.marks[:]
    if shape.system:
        marks += [(before + at, part.mark) for at, part in enumerate(shape.system) if part.mark]
        before += len(shape.system)
    marked = head if marks else 0.0
    if whole.marks:
        marks += [(before + at, mark) for at, mark, _ in whole.marks]
        marked = head + whole.marks[-1][2]
    totals = [system.tokens, tools.tokens, old, results, files, history - old]
    new = whole.tokens - said
    if not shape.fresh:
        asked, new = said, 0.0
        if rest and head < _SMALL_HEAD:
            head += estimated(rest[0], family)
    return _Walk(whole.packed, whole.short, whole.letters, marks, totals, said - asked, new, head, marked)


def _hashed(shape: _Shape, tools: _Tools, system: bytes, walk: _Walk, seed: int) -> Prompt:
    rest = walk.packed
    found = Prompt(history_hash=hash_of(rest, seed), tools_hash=tools.digest)
    found.system_hash = hash_of(system, seed) if system else 0
    shared = shape.fresh
    if shape.fresh:
        found.parent_hash = hash_of(rest[: 8 * shape.answer], seed)
    elif tools.tokens + walk.totals[0] < _SMALL_HEAD:
        shared = 1
    found.prefix_hash = hash_of(tools.packed + system + rest[: 8 * shared], seed)
    found.last_block = len(tools.schemas) + len(shape.system) + len(shape.rest) - 1
    return found


def _rounded(shares: Sequence[float], total: int) -> tuple[int, int, int, int, int, int]:
    """Return the six shares of ``total`` in whole numbers: each is the difference of two rounded sums."""
    scale = total / (sum(shares) or 1.0)
    one = shares[0] * scale
    two = one + shares[1] * scale
    three = two + shares[2] * scale
    four = three + shares[3] * scale
    five = four + shares[4] * scale
    a, b, c, d, e = int(one + 0.5), int(two + 0.5), int(three + 0.5), int(four + 0.5), int(five + 0.5)
    return a, b - a, c - b, d - c, e - d, total - e


def apportioned(shares: Sequence[float], total: int) -> list[int]:
    """Return whole numbers in these proportions that add up to ``total`` (the largest remainder method).

    >>> apportioned([1.0, 1.0, 1.0], 100)
    [34, 33, 33]
    """
    whole = sum(shares)
    if not shares or whole <= 0:
        return [0] * len(shares)
    exact = [share * total / whole for share in shares]
    found = [int(one) for one in exact]
    missing = total - sum(found)
    if missing:
        order = sorted(range(len(shares)), key=lambda at: found[at] - exact[at])
        for at in order[:missing]:
            found[at] += 1
    return found
