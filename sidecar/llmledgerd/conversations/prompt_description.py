"""A prompt's description: hashes of its tools, of pieces of its system prompt, and of its blocks. Pure.

Invariant: a description has a bounded size, whatever the prompt's; nothing of the prompt's text is in it but names of
tools, and its hashes are an organization's own.
"""

from __future__ import annotations

import re
from array import array
from binascii import hexlify
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import xxhash

from llmledgerd.conversations.parts import Part

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
_MASK64: Final = (1 << 64) - 1
_MASK32: Final = (1 << 32) - 1

_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_SUSPECT: Final = re.compile(
    r"(?P<u>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?P<t>[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?\b"
    r"|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}\b|1[6-9][0-9]{8}(?:[0-9]{3})?\b"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH})"
    r"|(?P<h>(?=[0-9_-]{0,64}[a-zA-Z])[0-9a-zA-Z_-]{12,256}\b)"
    r"|(?P<n>[0-9]+)"
)
"""What tends to change, from the beginning of a word that has a digit. Nothing that may fail looks further than some
characters: each digit of a word without letters would look at the whole word again."""
_DIGIT: Final = re.compile("[0-9]")
_OF_WORDS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"
_OF_DATE: Final = re.compile(
    r"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(?P<month>\b" + _MONTH + r"\.? )?\Z"
)
"""What of a date may stand before its number: the day of the week, the month."""
_LONGEST_WORD: Final = 64
_MOST_WORDS: Final = 4096
"""Words with digits of one system prompt that are looked at: each takes a microsecond or two."""
SUSPECTS: Final = {"t": "clock", "u": "uuid", "h": "id", "n": "number"}
"""What stands in a chunk of the system prompt that tends to change, by its letter; the first is named first."""


class Description(msgspec.Struct, array_like=True, gc=False):
    """What a row keeps of its prompt."""

    tools: list[tuple[str, str, int]] = []
    """Name, hash and estimated tokens of each tool's schema, in order; their shares in ``tools_tokens`` are theirs."""
    system_size: int = 0
    """Characters of the system prompt."""
    chunk: int = 0
    """Characters of each of its chunks."""
    chunks: str = ""
    """Eight hexadecimal digits and a letter of SUSPECTS (or ``-``) for each chunk. The digits are of everything up to
    the chunk's end, so that chunks of different sizes can be compared where they end."""
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


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Description).decode


def read_description(stored: bytes | str) -> Description:
    """Return a row's description; an empty one where there is none."""
    try:
        return _decode(stored) if stored else Description()
    except msgspec.MsgspecError:
        return Description()


def hash_of(packed: bytes, seed: int) -> int:
    """Return 63 bits, none of them the sign's, and never 0, which is "nothing"."""
    return (xxhash.xxh3_64_intdigest(packed, seed) >> 1) | 1


def described_tools(schemas: Sequence[Part], tokens: Sequence[float], packed: bytes, seed: int) -> bytes:
    """Return the field ``tools`` as JSON; ``packed`` are the schemas' hashes."""
    listed = [
        (tool.name[:MOST_NAME], f"{_short(tool.spelling, seed):08x}", max(1, round(count)))
        for tool, count in zip(schemas[:MOST_TOOLS], tokens, strict=False)
    ]
    if len(schemas) > MOST_TOOLS:
        others = hash_of(packed[8 * MOST_TOOLS :], seed) & _MASK32
        listed.append((OTHER_TOOLS, f"{others:08x}", round(sum(tokens[MOST_TOOLS:]))))
    return _encode(listed)


def described_system(text: str, seed: int) -> bytes:
    """Return the fields of the system prompt as JSON without brackets."""
    size, chunk, chunks = _chunked(text, seed) if text else (0, 0, "")
    return b'%d,%d,"%b"' % (size, chunk, chunks.encode())


def shortened(hashes: Sequence[int], seed: int) -> bytes:
    """Return 32 bits of each hash that are an organization's own."""
    return array("I", [(number * seed & _MASK64) >> 32 for number in hashes]).tobytes()


def described_blocks(short: bytes, letters: str, rest: Sequence[Part]) -> bytes:
    """Return the fields of a description from ``group`` on, as JSON without brackets.

    ``short``: the blocks' hashes, shortened. ``letters``: one for each.
    """
    if len(rest) <= MOST_BLOCKS:
        return b'0,"","%b","%b",%d' % (hexlify(short), letters.encode(), rest[0].message if rest else 0)
    group, first = _grouped(len(rest))
    starts = range(0, 4 * first, 4 * group)
    groups = "".join([f"{xxhash.xxh32_intdigest(short[at : at + 4 * group]):08x}" for at in starts])
    return b'%d,"%b","%b","%b",%d' % (
        group, groups.encode(), hexlify(short[4 * first :]), letters[first:].encode(), rest[first].message,
    )  # fmt: skip


def _short(number: int, seed: int) -> int:
    """Return 32 bits of a hash that are an organization's own."""
    return (number * seed & _MASK64) >> 32


def _chunked(text: str, seed: int) -> tuple[int, int, str]:
    """Return size, chunk and chunks of a system prompt."""
    chunk = LEAST_CHUNK
    while MOST_CHUNKS * chunk < len(text):
        chunk *= 2
    running, numbers = xxhash.xxh3_64(seed=seed), []
    for at in range(0, len(text), chunk):  # by characters: a place is one of the text's
        running.update(text[at : at + chunk].encode("utf-8", "surrogatepass"))
        numbers.append(running.intdigest() & _MASK32)
    letters = ["-"] * len(numbers)
    for start, end, letter in _suspects(text):
        for at in range(start // chunk, (end - 1) // chunk + 1):
            letters[at] = _suspicious(letter, letters[at])
    return (
        len(text),
        chunk,
        "".join(f"{number:08x}{letter}" for number, letter in zip(numbers, letters, strict=True)),
    )


def _suspects(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and letter of what tends to change. All of it has a digit, which is found fast."""
    end = 0
    for _ in range(_MOST_WORDS):
        digit = _DIGIT.search(text, end)
        if digit is None:
            return
        at = digit.start()
        before = text[max(end, at - _LONGEST_WORD) : at]
        start = at - len(before) + len(before.rstrip(_OF_WORDS))
        found = _SUSPECT.match(text, start) or _SUSPECT.match(text, at)
        if found is None:  # never: a digit is a number
            return
        letter, start = found.lastgroup or "-", found.start()
        if start == at and letter in "nt" and text[at - 1 : at] == " ":
            date = _OF_DATE.search(text, max(end, at - _LONGEST_WORD), at)
            if date is not None and (letter == "t" or date["month"]):
                letter, start = "t", date.start()
        end = found.end()
        yield start, end, letter


def coarser(numbers: Sequence[int], letters: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return chunks of twice the size, so that prompts of different sizes can be compared."""
    last = len(numbers) - 1
    ends = [min(at + 1, last) for at in range(0, len(numbers), 2)]
    return (
        [numbers[end] for end in ends],
        [_suspicious(letters[2 * at], letters[end]) for at, end in enumerate(ends)],
    )


_RANK: Final = {letter: rank for rank, letter in enumerate((*SUSPECTS, "-"))}


def _suspicious(one: str, other: str) -> str:
    """Return the letter that is named first."""
    return one if _RANK[one] <= _RANK[other] else other


def _grouped(blocks: int) -> tuple[int, int]:
    """Return the size of a group, and how many blocks are in groups: whole groups, a power of two."""
    group = 2
    while (blocks - GROUPED_TO) // group > GROUPED_TO:
        group *= 2
    return group, (blocks - GROUPED_TO) // group * group


def group_hash(short: Sequence[int]) -> int:
    """Return one hash of several blocks in their order."""
    return xxhash.xxh32_intdigest(array("I", short).tobytes())
