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

from llmledgerd.conversations.cache_misses import LEAST_LOST, Counts, Left, left
from llmledgerd.conversations.cache_rules import CacheRule, asked_seconds, rule_for
from llmledgerd.conversations.parts import Part, Request
from llmledgerd.conversations.prompt_blocks import NOTHING, Blocks, begun, estimated, further
from llmledgerd.conversations.prompt_description import (
    described_blocks,
    described_system,
    described_tools,
    hash_of,
)
from llmledgerd.conversations.token_families import Family, family_of
from llmledgerd.conversations.token_weights import schema_tokens, system_tokens
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
    """Of what parallel calls share: everything up to the last answer, else tools and system; up to the first mark
    where only what is marked is kept and none stands before. Negative: of a conversation that the provider keeps, whose
    calls each send only what is new."""
    prefix_tokens: int = 0
    """About how many tokens the call before had sent of it; without an answer, how many it is, or 0 where the provider
    keeps nothing that short."""
    estimate: int = 0
    """Tokens of the whole prompt by sizes alone."""
    scale: float = 0.0
    """Tokens of the prompt for each estimated one."""
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

    packed: bytes
    digest: int
    tokens: float
    described: bytes


class _Sums(msgspec.Struct, gc=False):
    """Estimated tokens of the prompt."""

    parts: list[float]
    """Of system, tools, history, tool results, files, new message."""
    new: float
    """Of the last answer, which the call before had not sent, and of all that comes after it."""
    head: float
    """Of tools, system (up to their last mark, where only what is marked is kept) and the blocks of messages that first
    calls share (``_shared``)."""
    marked: float
    """Before the last mark."""
    marks: list[tuple[int, str]]
    """The block behind which each mark stands, and its lifetime."""


_BIAS: Final = 0.8
"""Share of what seems new that is taken off what may have been read: an estimate that is 20 % too large hides
no miss."""
_SURELY: Final = 1.15
"""How far an estimate of what first calls share has to be above the provider's minimum: below it nothing is kept."""
_LEAST_GAP: Final = 0.02
"""Share of the prompt below which nothing can have been lost that counts (``cache_misses.LEAST_SHARE``)."""
_UINT32: Final = (1 << 32) - 1
_SMALL_HEAD: Final = 256
"""Estimated tokens of tools and system below which calls that share more are looked for by their first block."""
_MOST_MARKS: Final = 8
"""Twice what Anthropic takes."""
_SETS: Final = 256
"""Sets of tools, and system prompts, that are remembered."""

_tools: dict[tuple[int, int, Family], _Tools] = {}
"""By the identity of the tuple, which the entry keeps alive, the seed and the family."""
_NO_SYSTEM: Final = _System(b"", 0, 0, described_system("", 0))
_systems: dict[tuple[bytes, int, Family], _System] = {}


def prompt_of(request: Request, organization: str, counts: Counts, *, provider: str, model: str) -> Prompt:
    """Return the columns of a call's prompt."""
    if not (request.messages or request.tools or request.system):
        return NO_PROMPT
    seed, family = _seed(organization), family_of(provider, model)
    tools = _tools_of(request.tools, seed, family)
    beside, rest, answer, fresh = _cut(request)
    system = _system_of(beside, seed, family) if beside else _NO_SYSTEM
    known = begun(request, rest, answer if fresh else 0, seed, family) if request.known else NOTHING
    blocks = further(known, rest, seed, family, answer, fresh)
    head, packed, rule = tools.tokens + system.tokens, blocks.packed, rule_for(provider, model)
    shared, begins = fresh, 0.0
    if not fresh:
        is_unmarked = rule.is_marked and not tools.marks and not any(part.mark for part in beside)
        shared, begins = _shared(request, rest, blocks, head, family, is_unmarked=is_unmarked)
        if rule.is_marked and not is_unmarked:
            head = _up_to_mark(tools, system, beside, family)
    described = described_blocks(blocks.short, blocks.letters, rest)
    found = Prompt(
        b"[%b,%b,%b]" % (tools.described, system.described, described),
        tools.digest,
        system.digest,
        hash_of(packed, seed),
        hash_of(packed[: 8 * answer], seed) if fresh else 0,
        hash_of(tools.packed + system.packed + packed[: 8 * shared], seed),
        last_block=len(tools.schemas) + len(beside) + len(rest) - 1,
    )
    if request.conversation and not fresh:
        found.prefix_hash = -hash_of(request.conversation.encode("utf-8", "surrogatepass"), seed)
    sums = _summed(tools, system, blocks, head + begins, has_answer=fresh > 0)
    if tools.marks or blocks.marks or beside or request.mark:
        _add_marks(sums, request, tools, beside, blocks, found.last_block)
    _add_counts(found, request, sums, counts, rule, has_answer=fresh > 0)
    return found


def _shared(
    request: Request, rest: list[Part], blocks: Blocks, head: float, family: Family, *, is_unmarked: bool
) -> tuple[int, float]:
    """Return how many blocks of messages a first call shares with others that begin alike, and their tokens.

    ``is_unmarked``: only what is marked is kept, and no mark stands in tools or system prompt, so that it is all up to
    the first mark.
    """
    if is_unmarked:
        if blocks.marks:
            at, _, tokens = blocks.marks[0]
            return at + 1, tokens
        if request.mark:
            return len(rest), blocks.tokens
    return (0, 0.0) if head >= _SMALL_HEAD or not rest else (1, estimated(rest[0], family))


def _up_to_mark(tools: _Tools, system: _System, beside: list[Part], family: Family) -> float:
    """Return the estimated tokens of tools and system prompt up to the last mark in them."""
    last = max((at for at, part in enumerate(beside) if part.mark), default=-1)
    if last < 0:
        return tools.tokens
    left_out = sum(estimated(part, family) for part in beside[last + 1 :])
    return tools.tokens + system.tokens - left_out


def _summed(tools: _Tools, system: _System, blocks: Blocks, head: float, *, has_answer: bool) -> _Sums:
    asked, said, old = blocks.cuts
    history, results, files = blocks.totals
    new = blocks.tokens - said + (said - asked) if has_answer else 0.0
    return _Sums([system.tokens, tools.tokens, old, results, files, history - old], new, head, 0.0, [])


def _add_marks(
    sums: _Sums, request: Request, tools: _Tools, system: list[Part], blocks: Blocks, last: int
) -> None:
    """Add the cache's marks, and the tokens before the last of them."""
    head, before = sums.parts[0] + sums.parts[1], len(tools.schemas)
    marks = tools.marks + [(before + at, part.mark) for at, part in enumerate(system) if part.mark]
    before += len(system)
    sums.marked = head if marks else 0.0
    if blocks.marks:
        marks += [(before + at, mark) for at, mark, _ in blocks.marks]
        sums.marked = head + blocks.marks[-1][2]
    if request.mark:  # of the whole request: behind its last block
        marks.append((last, request.mark))
        sums.marked = sum(sums.parts)
    sums.marks = marks


def _add_counts(
    found: Prompt, request: Request, sums: _Sums, counts: Counts, rule: CacheRule, *, has_answer: bool
) -> None:
    """Add what follows from the provider's counts: the tokens' parts, what was left, and what may have been missed."""
    prompt, cached, _ = counts
    parts, marks = sums.parts, sums.marks
    whole = sum(parts)
    found.estimate = min(round(whole), _UINT32)
    is_kept = bool(request.previous or request.conversation)
    scale = prompt / whole if whole > 1.0 else float(prompt)
    if is_kept and scale > 1.0:  # what the provider keeps by itself is history
        scale = 1.0
        parts[2] += prompt - whole
    found.scale = scale
    marked, lifetime = None, 0
    if marks:
        marked = round(min(sums.marked * scale, prompt))
        lifetime = asked_seconds(marks[-1][1])
        if rule.is_marked:  # others read whatever is equal, wherever marks stand
            found.marks = [at for at, _ in marks[-_MOST_MARKS:]]
            found.last_block = marks[-1][0]
    elif request.retention:
        lifetime = asked_seconds(request.retention)
    found.left = left(rule, counts, marked_tokens=marked, seconds=lifetime, is_named=bool(request.cached))
    found.tokens = _rounded(parts, prompt)
    new = sums.new * scale
    if has_answer:
        found.prefix_tokens = max(0, prompt - round(new))
    else:
        shared = round(sums.head * scale) // rule.step * rule.step
        found.prefix_tokens = shared if shared >= _SURELY * rule.minimum else 0
    if cached is not None or rule.omits_none:
        repeated = prompt - round(_BIAS * new) if has_answer or is_kept else found.prefix_tokens
        gap = repeated - (cached or 0)
        found.gap = gap if gap >= LEAST_LOST and gap >= _LEAST_GAP * prompt else 0


@lru_cache(1024)
def _seed(organization: str) -> int:
    return seed_of(organization) | 1


def _cut(request: Request) -> tuple[list[Part], list[Part], int, int]:
    """Return the prompt cut where calls are compared.

    What stands beside the messages with the system's messages at their beginning; the rest; where in it the last
    answer begins (its length where there is none), and where what is new begins (0 without an answer).
    """
    messages, beside = request.messages, request.system
    at, end = 0, len(messages)
    while at < end and messages[at].role == "system":
        at += 1
    fresh = end
    while fresh > at and messages[fresh - 1].role != "assistant":
        fresh -= 1
    answer = fresh
    while answer > at and messages[answer - 1].role == "assistant":
        answer -= 1
    if at:
        beside, messages = beside + messages[:at], messages[at:]
    return beside, messages, (answer if fresh > at else end) - at, fresh - at


def _tools_of(schemas: tuple[Part, ...], seed: int, family: Family) -> _Tools:
    key = (id(schemas), seed, family)
    found = _tools.get(key)
    if found is None or found.schemas is not schemas:
        if len(_tools) >= _SETS:
            _tools.clear()
        found = _tools[key] = _read_tools(schemas, seed, family)
    return found


def _read_tools(schemas: tuple[Part, ...], seed: int, family: Family) -> _Tools:
    packed = array("Q", [tool.spelling for tool in schemas]).tobytes()
    tokens = [schema_tokens(tool, family) for tool in schemas]
    return _Tools(
        schemas,
        packed,
        hash_of(packed, seed) if packed else 0,
        sum(tokens) + (family.preamble if tokens else 0.0),
        described_tools(schemas, tokens, packed, seed),
        [(at, tool.mark) for at, tool in enumerate(schemas) if tool.mark],
    )


def _system_of(parts: list[Part], seed: int, family: Family) -> _System:
    packed = array("Q", [part.hash for part in parts]).tobytes()
    key = (packed, seed, family)
    found = _systems.get(key)
    if found is None:
        if len(_systems) >= _SETS:
            _systems.clear()
        tokens = family.message + sum(system_tokens(part, family) for part in parts)
        text = "\n".join(as_text(part.value) for part in parts)
        found = _systems[key] = _System(packed, hash_of(packed, seed), tokens, described_system(text, seed))
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
