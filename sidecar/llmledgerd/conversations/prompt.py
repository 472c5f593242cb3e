"""A prompt in bounded columns: what takes to compare it with another, and what its tokens are. Pure.

Invariant: a description has a bounded size, whatever the prompt's; nothing of the prompt's text is in it, and its
hashes are an organization's own. The parts of the tokens add up to ``prompt_tokens`` exactly.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
import xxhash

from llmledgerd.conversations import parts as kinds
from llmledgerd.conversations import token_weights as weights
from llmledgerd.conversations.cache_misses import LEAST_LOST, Counts, Left, left
from llmledgerd.conversations.cache_rules import asked_seconds, rule_for
from llmledgerd.conversations.parts import Part, Request
from llmledgerd.conversations.values import as_text, seed_of

MOST_TOOLS: Final = 256
"""Tools that are told apart; what the rest take is counted under OTHER_TOOLS."""
MOST_NAME: Final = 64
OTHER_TOOLS: Final = "(other tools)"
MOST_BLOCKS: Final = 1024
"""Blocks of messages with a hash of their own. Of longer histories the first ones are hashed in groups."""
GROUPED_TO: Final = 512
"""Blocks at the end of a long history that keep a hash of their own."""
MOST_CHUNKS: Final = 256
LEAST_CHUNK: Final = 32
"""Characters of the system prompt that have one hash: the place of a difference is exact to so many."""
LONGEST_SYSTEM: Final = 256 << 10
_REMEMBERED: Final = 8192
_MASK64: Final = (1 << 64) - 1
_MASK32: Final = (1 << 32) - 1
_ROLES: Final = {"user": "u", "assistant": "a", "tool": "t", "system": "s"}

_SUSPECTS: Final = re.compile(
    r"(?P<u>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?P<t>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\b\d{1,2}:\d\d(?::\d\d)?\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.? \d{1,2}\b|\b1[6-9]\d{8}(?:\d{3})?\b)"
    r"|(?P<h>\b(?=[0-9a-zA-Z_-]*\d)(?=[0-9a-zA-Z_-]*[a-zA-Z])[0-9a-zA-Z_-]{12,}\b)"
    r"|(?P<n>\d+)"
)
SUSPECTS: Final = {"t": "clock", "u": "uuid", "h": "id", "n": "number"}
"""What stands in a chunk of the system prompt that tends to change, by its letter; the first is named first."""


class Description(msgspec.Struct, array_like=True, gc=False):
    """What a row keeps of its prompt."""

    tools: list[tuple[str, str, int]] = []
    """Name, hash and tokens of each tool's schema, in order."""
    system_size: int = 0
    """Characters of the system prompt."""
    chunk: int = 0
    """Characters of each of its chunks."""
    chunks: str = ""
    """Eight hexadecimal digits and a letter of SUSPECTS (or ``-``) for each chunk."""
    group: int = 0
    """Blocks in each group at the beginning of a long history."""
    groups: str = ""
    """Eight hexadecimal digits for each group."""
    blocks: str = ""
    """Eight hexadecimal digits for each block after the groups."""
    roles: str = ""
    """A letter for each of those blocks: who speaks; upper case where a message begins."""
    first: int = 0
    """Number of the message in which the first of those blocks stands."""


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
    """About how many tokens that is."""
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
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Description).decode


def number_of(turn_id: str) -> int:
    """Return 60 bits of a turn's id, which are compared faster than its text; 0 for none."""
    return int(turn_id[:15], 16) if turn_id else 0


def read_description(stored: bytes | str) -> Description:
    """Return a row's description; an empty one where there is none."""
    try:
        return _decode(stored) if stored else Description()
    except msgspec.MsgspecError:
        return Description()


class _Sizes(msgspec.Struct, gc=False):
    """Estimated tokens by kind, and of what was sent before."""

    system: float = 0.0
    tools: float = 0.0
    history: float = 0.0
    results: float = 0.0
    files: float = 0.0
    new: float = 0.0
    answer: float = 0.0
    """Of the last answer, which the call before had not sent."""
    fresh: float = 0.0
    """Of all that comes after it."""
    head: float = 0.0
    """Of tools, system and, where those are small, the first block."""
    marked: float | None = None
    """Before the last mark."""

    @property
    def whole(self) -> float:
        return self.system + self.tools + self.history + self.results + self.files + self.new


class _Shape(msgspec.Struct, gc=False):
    """A request cut where calls are compared."""

    tools: tuple[Part, ...]
    system: list[Part]
    """What stands beside the messages, and the system's messages at their beginning."""
    rest: list[Part]
    answer: int
    """Where in ``rest`` the last answer begins; its length where there is none."""
    fresh: int
    """Where in ``rest`` what is new begins: behind the last answer; 0 without one."""

    @property
    def has_answer(self) -> bool:
        return self.fresh > 0


def prompt_of(request: Request, organization: str, counts: Counts, *, provider: str, model: str) -> Prompt:
    """Return the columns of a call's prompt. Never raises."""
    try:
        return describe(request, organization, counts, provider=provider, model=model)
    except Exception:  # noqa: BLE001 - the outer edge: a payload may cost its description, never its row
        return NO_PROMPT


def describe(request: Request, organization: str, counts: Counts, *, provider: str, model: str) -> Prompt:
    """Return the columns of a call's prompt."""
    if not (request.messages or request.tools or request.system):
        return NO_PROMPT
    seed = seed_of(organization) | 1
    rule = rule_for(provider, model)
    shape = _shape(request)
    marks = _marks(request, shape)
    sizes, of_tools = _sizes(shape, _family(provider, model), marks[-1][0] if marks else None)
    is_kept = bool(request.previous or request.conversation)
    scale = counts.prompt / max(1.0, sizes.whole)
    scale = min(scale, 1.0) if is_kept else scale
    lifetime = asked_seconds(marks[-1][1]) if marks else asked_seconds(request.retention)
    found = _hashed(shape, seed)
    last = len(shape.tools) + len(shape.system) + len(shape.rest) - 1
    if rule.is_marked:  # others read whatever is equal, wherever their marks stand
        found.marks = [at for at, _ in marks]
    found.last_block = marks[-1][0] if marks else last
    marked = None if sizes.marked is None else round(min(sizes.marked * scale, counts.prompt))
    found.left = left(rule, counts, marked_tokens=marked, seconds=lifetime)
    found.tokens = _tokens(sizes, counts.prompt, is_kept=is_kept)
    new = sizes.fresh * scale
    found.prefix_tokens = (
        max(0, counts.prompt - round(new)) if shape.has_answer else round(sizes.head * scale)
    )
    if counts.cached is not None:
        repeated = counts.prompt - round(_BIAS * (new + sizes.answer * scale))
        gap = (repeated if shape.has_answer or is_kept else found.prefix_tokens) - counts.cached
        found.gap = gap if gap >= LEAST_LOST and gap >= _LEAST_GAP * counts.prompt else 0
    found.parts = _encode(_description(shape, apportioned(of_tools, found.tokens[1]), seed))
    return found


_BIAS: Final = 0.8
"""Share of what seems new that is taken off what may have been read: an estimate that is 20 % too large hides
no miss."""
_LEAST_GAP: Final = 0.02
"""Share of the prompt below which nothing can have been lost that counts (``cache_misses.LEAST_SHARE``)."""
_SMALL_HEAD: Final = 256
"""Estimated tokens of tools and system below which calls that share more are looked for by their first block."""


def _shape(request: Request) -> _Shape:
    messages = request.messages
    at = 0
    while at < len(messages) and messages[at].role == "system":
        at += 1
    rest = messages[at:] if at else messages
    fresh = next((i for i in range(len(rest), 0, -1) if rest[i - 1].role == "assistant"), 0)
    answer = fresh
    while answer and rest[answer - 1].role == "assistant":
        answer -= 1
    return _Shape(request.tools, request.system + messages[:at], rest, answer if fresh else len(rest), fresh)


def _hashed(shape: _Shape, seed: int) -> Prompt:
    tools = _packed(shape.tools)
    system = _packed(shape.system)
    rest = _packed(shape.rest)
    found = Prompt(history_hash=_hash(rest, seed))
    found.tools_hash = _hash(tools, seed) if tools else 0
    found.system_hash = _hash(system, seed) if system else 0
    shared = shape.fresh
    if shape.has_answer:
        found.parent_hash = _hash(rest[: 8 * shape.answer], seed)
    elif _is_small(shape):
        shared = 1
    found.prefix_hash = _hash(tools + system + rest[: 8 * shared], seed)
    return found


def _is_small(shape: _Shape) -> bool:
    return not shape.tools and sum(part.size for part in shape.system) < 4 * _SMALL_HEAD


def _packed(found: Sequence[Part]) -> bytes:
    return array("Q", [part.hash for part in found]).tobytes()


def _hash(packed: bytes, seed: int) -> int:
    """Return 63 bits, none of them the sign's, and never 0, which is "nothing"."""
    return (xxhash.xxh3_64_intdigest(packed, seed) >> 1) | 1


def _family(provider: str, model: str) -> str:
    name = f"{provider}/{model}".lower()
    if "claude" in name or "anthropic" in name:
        return "anthropic"
    return "gemini" if "gemini" in name else "openai"


def _marks(request: Request, shape: _Shape) -> list[tuple[int, str]]:
    """Return the blocks behind which marks stand, and their lifetimes."""
    found = [
        (at, part.mark) for at, part in enumerate((*shape.tools, *shape.system, *shape.rest)) if part.mark
    ][-_MOST_MARKS:]
    if request.mark:  # of the whole request: behind its last block
        found.append((len(shape.tools) + len(shape.system) + len(shape.rest) - 1, request.mark))
    return found


_MOST_MARKS: Final = 8
"""Twice what Anthropic takes."""

_estimates: dict[tuple[int, str], float] = {}
"""Tokens of parts by hash and family: what was sent once is sent again with every step."""


def _estimate(part: Part, family: str) -> float:
    key = (part.hash, family)
    found = _estimates.get(key)
    if found is None:
        if len(_estimates) >= _REMEMBERED:
            _estimates.clear()
        found = _estimates[key] = _judged(part, family)
    return found


def _judged(part: Part, family: str) -> float:
    if part.kind == kinds.IMAGE:
        return weights.image_tokens(part.value, family)
    if part.kind in (kinds.FILE, kinds.AUDIO):
        return weights.file_tokens(part.value)
    if part.kind == kinds.TOOL:
        return weights.tool_tokens(part.value, family)
    named = 3.0 if part.name else 0.0
    return weights.value_tokens(part.value) + named


def _sizes(shape: _Shape, family: str, last_mark: int | None) -> tuple[_Sizes, list[float]]:
    """Return the estimates by kind, and of each tool."""
    found = _Sizes()
    of_tools = [_estimate(tool, family) for tool in shape.tools]
    found.tools = sum(of_tools)
    found.system = sum(_estimate(part, family) for part in shape.system)
    message = -1
    running = found.tools + found.system
    mark = -1 if last_mark is None else last_mark - len(shape.tools) - len(shape.system)
    if last_mark is not None and mark < 0:
        found.marked = sum([*of_tools, *(_estimate(part, family) for part in shape.system)][: last_mark + 1])
    found.head = running
    if not shape.has_answer and _is_small(shape) and shape.rest:
        found.head += _estimate(shape.rest[0], family)
    for at, part in enumerate(shape.rest):
        tokens = _estimate(part, family)
        if part.message != message:
            message = part.message
            tokens += weights.MESSAGE_OVERHEAD
        running += tokens
        if at == mark:
            found.marked = running
        if at >= shape.fresh and shape.has_answer:
            found.fresh += tokens
        elif at >= shape.answer:
            found.answer += tokens
        _add(found, part, tokens, is_new=at >= shape.fresh)
    return found, of_tools


def _add(found: _Sizes, part: Part, tokens: float, *, is_new: bool) -> None:
    if part.kind in (kinds.RESULT, kinds.SERVER_RESULT):
        found.results += tokens
    elif part.kind in (kinds.IMAGE, kinds.FILE, kinds.AUDIO):
        found.files += tokens
    elif is_new:
        found.new += tokens
    else:
        found.history += tokens


def _tokens(sizes: _Sizes, prompt: int, *, is_kept: bool) -> tuple[int, int, int, int, int, int]:
    """Return the parts of ``prompt``; what a provider keeps by itself is history."""
    shares = [sizes.system, sizes.tools, sizes.history, sizes.results, sizes.files, sizes.new]
    if is_kept and sizes.whole < prompt:
        shares[2] += prompt - sizes.whole
    found = apportioned(shares, prompt)
    return found[0], found[1], found[2], found[3], found[4], found[5]


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


def _description(shape: _Shape, tokens: list[int], seed: int) -> Description:
    found = Description()
    found.tools = [
        (tool.name[:MOST_NAME], f"{_short(tool.hash, seed):08x}", count)
        for tool, count in zip(shape.tools[:MOST_TOOLS], tokens, strict=False)
    ]
    if len(shape.tools) > MOST_TOOLS:
        others = _hash(_packed(shape.tools[MOST_TOOLS:]), seed) & _MASK32
        found.tools.append((OTHER_TOOLS, f"{others:08x}", sum(tokens[MOST_TOOLS:])))
    if shape.system:
        text = "\n".join(as_text(part.value) for part in shape.system)
        found.system_size, found.chunk, found.chunks = _chunked(text, seed)
    _add_blocks(found, shape.rest, seed)
    return found


def _short(number: int, seed: int) -> int:
    """Return 32 bits of a hash that are an organization's own."""
    return (number * seed & _MASK64) >> 32


@lru_cache(64)
def _chunked_once(text: str, seed: int) -> tuple[int, int, str]:
    chunk = LEAST_CHUNK
    while len(text) > chunk * MOST_CHUNKS:
        chunk *= 2
    letters = ["-"] * (len(text) // chunk + 1)
    for found in _SUSPECTS.finditer(text):
        letter = found.lastgroup or "-"
        for at in range(found.start() // chunk, (found.end() - 1) // chunk + 1):
            if letters[at] == "-" or _RANK[letter] < _RANK[letters[at]]:
                letters[at] = letter
    return (
        len(text),
        chunk,
        "".join(
            f"{xxhash.xxh3_64_intdigest(text[at : at + chunk].encode('utf-8', 'surrogatepass'), seed) & _MASK32:08x}"
            f"{letters[at // chunk]}"
            for at in range(0, len(text), chunk)
        ),
    )


_RANK: Final = {letter: rank for rank, letter in enumerate(SUSPECTS)}


def _chunked(text: str, seed: int) -> tuple[int, int, str]:
    """Return size, chunk and chunks of a system prompt; of a very long one, of its beginning."""
    size, chunk, chunks = _chunked_once(text[:LONGEST_SYSTEM], seed)
    return max(size, len(text)), chunk, chunks


def _add_blocks(found: Description, rest: list[Part], seed: int) -> None:
    short = [_short(part.hash, seed) for part in rest]
    first = 0
    if len(short) > MOST_BLOCKS:
        found.group, first = _grouped(len(short))
        found.groups = "".join(
            f"{group_hash(short[at : at + found.group]):08x}" for at in range(0, first, found.group)
        )
    found.blocks = array("I", short[first:]).tobytes().hex()
    letters = []
    message = -1 if not first else rest[first - 1].message
    for part in rest[first:]:
        letter = _ROLES.get(part.role, "o")
        if part.message != message:
            message, letter = part.message, letter.upper()
        letters.append(letter)
    found.roles = "".join(letters)
    found.first = rest[first].message if rest else 0


def _grouped(blocks: int) -> tuple[int, int]:
    """Return the size of a group, and how many blocks are in groups: whole groups, a power of two."""
    group = 2
    while (blocks - GROUPED_TO) // group > GROUPED_TO:
        group *= 2
    return group, (blocks - GROUPED_TO) // group * group


def group_hash(short: Sequence[int]) -> int:
    """Return one hash of several blocks in their order."""
    return xxhash.xxh32_intdigest(array("I", short).tobytes())
