"""How families of models cut texts into tokens, and what they add around messages and tools. Pure.

Invariant: a family follows from provider and model alone, and every model has one.

The weights were fitted (bounded least squares over relative errors) to counts by the tokenizers that the providers have
published: o200k and cl100k (OpenAI), the one of Claude 2 (Anthropic; those of later models are not published), Gemma 3's
(Google: the one that Gemini's SDKs count with), Tekken (Mistral), Llama 3.1's, DeepSeek V3's and Qwen 2.5's.
``docs/anatomy.md`` says how far off the estimates are.

What stands around messages and tools: OpenAI docs, "Harmony response format" (tools as TypeScript); Anthropic docs,
"Pricing", section "Tool use" (346 tokens before the tools); the chat templates of Llama 3.1, Qwen 2.5, DeepSeek V3.1 and
Mistral's tokenizers. Google says nothing of it: tools are taken as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from llmledgerd.conversations.image_tokens import ImageRule, image_rule

NAMES: Final = ("openai", "openai_older", "anthropic", "gemini", "mistral", "llama", "deepseek", "qwen")
"""The families, in the order of the tables' columns; the first is that of unknown models."""


class Script(msgspec.Struct, frozen=True, gc=False):
    """What the characters of one script or several take that begin with the same bytes in UTF-8."""

    firsts: bytes
    """Their first bytes."""
    weight: float
    """For each character."""
    pairs: tuple[tuple[bytes, float], ...] = ()
    """What is added for characters by their first two bytes."""


class Family(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What the estimates of a model's tokens follow from. There is one object of each, so that its identity is its hash."""

    name: str
    images: ImageRule
    letters: tuple[float, ...]
    """For each word, letter or space, change of case within a word, capital letter, digit, and up to three digits."""
    marks: tuple[float, ...]
    """For each run of marks, mark other than ``._=`` (which join words into one token), line, vertical bar and
    backslash."""
    ends: tuple[tuple[bytes, float], ...]
    """For ends of words, and letters, of texts that are not English: they tell languages whose words are several
    tokens."""
    scripts: Mapping[int, Script]
    """By the first byte of a character in UTF-8."""
    kanji: float
    """For each Chinese character in Japanese."""
    traditional: float
    """For each Chinese character in a text with traditional ones."""
    hex_digit: float
    """For each digit in base64 and hexadecimal."""
    message: float
    """Around a message."""
    call: float
    """Around a call of a tool."""
    result: float
    """Around a tool's result, beside what is around a message."""
    tool: float
    """Around a tool's schema."""
    member: float
    """For each member of a tool's schema, compared with compact JSON."""
    preamble: float
    """Before all tools."""


_LETTERS: Final = (
    (0.77, 0.76, 0.87, 0.8, 0.77, 0.76, 0.82, 0.77),  # words
    (0.05, 0.05, 0.03, 0.04, 0.05, 0.05, 0.04, 0.05),  # small letters and spaces
    (0.0, 0.0, 0.68, 0.71, 0.33, 0.0, 0.47, 0.19),  # changes of case
    (0.17, 0.16, 0.13, 0.11, 0.19, 0.16, 0.18, 0.12),  # capital letters
    (0.0, 0.0, 0.0, 0.68, 0.64, 0.0, 0.0, 0.67),  # digits
    (1.35, 1.34, 1.13, 0.85, 1.08, 1.35, 1.21, 1.08),  # up to three digits
)
_MARKS: Final = (
    (0.57, 0.57, 0.96, 1.0, 0.69, 0.55, 0.85, 0.49),  # runs of marks
    (0.17, 0.17, 0.05, 0.0, 0.13, 0.17, 0.09, 0.2),  # marks that do not join words
    (0.89, 0.8, 0.95, 1.53, 0.78, 0.81, 0.91, 0.89),  # lines
    (0.27, 0.27, 0.0, 0.15, 0.13, 0.26, 0.14, 0.2),  # vertical bars
    (0.72, 0.77, -0.1, -0.03, -0.14, 0.78, -0.14, 0.72),  # backslashes
)
_ENDS: Final = {
    b"i ": (2.08, 2.69, 4.76, 0.97, 1.23, 2.71, 2.22, 2.63),
    b"en ": (0.0, 1.88, 3.14, 0.64, 1.33, 1.97, 1.58, 1.84),
    b"a ": (0.0, 0.68, 1.36, 0.01, 0.68, 0.83, 0.67, 0.76),
    b"k": (0.79, 1.43, 1.92, 0.72, 0.93, 1.38, 0.83, 1.46),
}
HAN: Final = bytes(range(0xE4, 0xEA))
LATIN: Final = bytes(range(0xC3, 0xCE))
"""First bytes of letters with accents."""
_FIRSTS: Final = {
    b"\xc2": (0.2, 0.26, 1.02, 0.2, 0.2, 0.39, 0.2, 0.83),  # marks and signs of Latin-1
    b"\xc3": (1.0, 1.41, 1.42, 1.02, 0.77, 1.18, 1.62, 1.34),  # letters of Latin-1
    b"\xc4\xc5": (1.8, 2.4, 2.84, 1.67, 1.91, 1.75, 1.74, 1.9),  # further Latin letters
    bytes(range(0xC6, 0xCE)): (0.5, 0.5, 0.5, 0.65, 0.5, 0.88, 1.48, 0.81),  # rare ones, and accents
    b"\xce\xcf": (0.42, 1.04, 1.36, 0.44, 0.44, 0.47, 0.54, 0.99),  # Greek
    bytes(range(0xD0, 0xD4)): (0.28, 0.51, 0.59, 0.26, 0.32, 0.34, 0.34, 0.36),  # Cyrillic
    b"\xd4\xd5": (0.24, 2.36, 2.42, 0.53, 0.27, 1.99, 0.57, 1.31),  # Armenian
    b"\xd6\xd7": (0.42, 1.19, 1.03, 0.51, 0.52, 1.19, 0.51, 0.41),  # Hebrew
    bytes(range(0xD8, 0xE0)): (0.36, 0.85, 1.11, 0.39, 0.34, 0.44, 0.44, 0.42),  # Arabic
    b"\xe0": (0.19, 0.59, 0.81, 0.16, 0.24, 0.3, 0.27, 0.38),  # Indic scripts, Thai and Lao
    b"\xe1": (0.17, 1.04, 0.74, 0.17, 0.25, 0.5, 0.5, 0.44),  # Georgian, Khmer, Burmese, Ethiopic, Vietnamese
    b"\xe2": (0.3, 0.3, 1.77, 0.3, 1.44, 0.3, 0.35, 0.33),  # quotation marks, dashes, arrows, lines of boxes
    b"\xe3": (0.51, 0.91, 0.96, 0.3, 0.32, 0.43, 0.38, 0.44),  # kana
    HAN: (0.73, 0.95, 0.98, 0.57, 1.0, 0.79, 0.59, 0.57),  # Chinese characters
    bytes(range(0xEA, 0xEE)): (0.74, 1.24, 1.39, 0.66, 0.64, 0.76, 0.88, 0.83),  # Hangul
    b"\xef": (0.36, 1.5, 1.5, 0.95, 0.3, 1.12, 1.5, 1.5),  # full-width marks
    bytes(range(0xF0, 0xF5)): (1.34, 1.76, 1.68, 1.04, 2.91, 1.73, 1.62, 1.14),  # emoji
}
VIETNAMESE: Final = (b"\xe1\xba", b"\xe1\xbb")
"""First two bytes of the letters that only Vietnamese has."""
TURKISH: Final = (b"\xc4\x9f", b"\xc4\xb1")
"""Letters that Turkish and its neighbors have, and whose texts no ends of words describe."""
TRADITIONAL: Final = tuple(one.encode() for one in "這個們來時會為說對與於後過還沒")
"""Frequent characters that simplified Chinese writes otherwise."""
_DEVANAGARI: Final = (0.16, 0.63, 0.52, 0.13, 0.18, 0.32, 0.4, 0.76)
_THAI: Final = (0.2, 0.36, 0.94, 0.16, 0.31, 0.18, 0.13, 0.15)
_BENGALI: Final = (0.17, 0.83, 1.26, 0.08, 0.21, 1.11, 0.18, 0.85)
_TAMIL: Final = (0.17, 0.94, 1.28, 0.09, 0.18, 1.23, 0.31, 0.83)
_TELUGU: Final = (0.3, 1.4, 1.54, 0.28, 0.3, 1.69, 0.53, 1.29)
_GUJARATI: Final = (0.19, 1.39, 2.36, 0.24, 0.42, 1.68, 0.66, 1.36)
_MALAYALAM: Final = (0.15, 1.2, 1.57, 0.13, 0.28, 1.47, 0.56, 1.09)
_KANNADA: Final = (0.22, 1.4, 1.52, 0.24, 0.25, 1.69, 0.52, 1.16)
_GURMUKHI: Final = (0.41, 1.41, 2.5, 0.47, 0.47, 1.68, 0.83, 1.51)
_SINHALA: Final = (0.42, 1.56, 1.06, 0.33, 2.92, 1.84, 0.81, 1.32)
_LAO: Final = (1.69, 1.57, 2.26, 0.39, 2.75, 1.71, 1.56, 0.93)
_GEORGIAN: Final = (0.02, 0.98, 0.49, 0.12, 0.12, 1.52, 0.18, 0.57)
_KHMER: Final = (0.42, 0.61, 2.26, 0.24, 2.7, 1.15, 0.69, 0.76)
_BURMESE: Final = (0.32, 1.0, 0.18, 0.18, 0.26, 1.53, 0.38, 1.11)
_ETHIOPIC: Final = (1.83, 1.77, 2.21, 0.29, 2.56, 2.31, 1.63, 0.82)
_OF_VIETNAMESE: Final = (0.25, 1.34, 3.74, 0.02, 0.23, -0.24, 1.24, -0.16)
_QUOTES: Final = (0.28, 0.25, -0.84, 0.54, -1.0, 0.25, 0.64, 0.24)
_BOXES: Final = (0.7, 0.55, -0.46, 0.26, -0.69, 0.5, 0.51, 0.43)
_CJK_MARKS: Final = (-0.27, 0.8, 0.8, 0.73, 0.8, -0.5, 0.11, -0.33)
_KATAKANA: Final = (0.12, -0.11, -0.25, -0.04, 0.27, 0.12, 0.09, 0.1)
_OF_TURKISH: Final = (-0.81, 0.27, 1.03, -0.94, -0.16, -0.8, 1.33, -0.46)
_UKRAINIAN: Final = (1.66, 2.28, 1.68, 1.2, 1.39, 0.17, 2.05, 2.96)
_SERBIAN: Final = (2.54, 3.67, 2.15, 2.58, 0.95, 3.69, 1.78, 4.02)
_PERSIAN: Final = (0.17, 0.42, 0.7, -0.29, 0.3, -0.34, 0.18, 2.05)
_FULL_WIDTH: Final = (-0.04, 0.5, -0.79, 0.5, -1.0, -0.66, -1.0, -0.2)
_PAIRS: Final = {
    b"\xe0\xa4": _DEVANAGARI, b"\xe0\xa5": _DEVANAGARI,
    b"\xe0\xb8": _THAI, b"\xe0\xb9": _THAI,
    b"\xe0\xa6": _BENGALI, b"\xe0\xa7": _BENGALI,
    b"\xe0\xae": _TAMIL, b"\xe0\xaf": _TAMIL,
    b"\xe0\xb0": _TELUGU, b"\xe0\xb1": _TELUGU,
    b"\xe0\xaa": _GUJARATI, b"\xe0\xab": _GUJARATI,
    b"\xe0\xb4": _MALAYALAM, b"\xe0\xb5": _MALAYALAM,
    b"\xe0\xb2": _KANNADA, b"\xe0\xb3": _KANNADA,
    b"\xe0\xa8": _GURMUKHI, b"\xe0\xa9": _GURMUKHI,
    b"\xe0\xb6": _SINHALA, b"\xe0\xb7": _SINHALA,
    b"\xe0\xba": _LAO, b"\xe0\xbb": _LAO,
    b"\xe1\xba": _OF_VIETNAMESE, b"\xe1\xbb": _OF_VIETNAMESE,
    b"\xe1\x88": _ETHIOPIC, b"\xe1\x89": _ETHIOPIC, b"\xe1\x8a": _ETHIOPIC, b"\xe1\x8b": _ETHIOPIC, b"\xe1\x8c": _ETHIOPIC, b"\xe1\x8d": _ETHIOPIC,
    b"\xe1\x83": _GEORGIAN, b"\xe1\x82": _GEORGIAN,
    b"\xe1\x9e": _KHMER, b"\xe1\x9f": _KHMER,
    b"\xe1\x80": _BURMESE, b"\xe1\x81": _BURMESE,
    b"\xe2\x80": _QUOTES,
    b"\xe2\x94": _BOXES, b"\xe2\x95": _BOXES,
    b"\xe3\x80": _CJK_MARKS,
    b"\xe3\x82": _KATAKANA, b"\xe3\x83": _KATAKANA,
    TURKISH[0]: _OF_TURKISH, TURKISH[1]: _OF_TURKISH, b"\xc5\x9f": _OF_TURKISH,
    b"\xd1\x96": _UKRAINIAN, b"\xd1\x97": _UKRAINIAN, b"\xd1\x94": _UKRAINIAN,
    b"\xd1\x98": _SERBIAN, b"\xd1\x99": _SERBIAN, b"\xd1\x9a": _SERBIAN,
    b"\xdb\x8c": _PERSIAN, b"\xda\xa9": _PERSIAN,
    b"\xef\xbc": _FULL_WIDTH,
}  # fmt: skip
_KANJI: Final = (1.25, 1.25, 1.31, 0.89, 1.43, 1.37, 1.29, 1.06)
_TRADITIONAL: Final = (0.95, 1.4, 1.3, 0.62, 1.14, 0.93, 0.67, 0.68)
_HEX_DIGIT: Final = (0.47, 0.47, 0.47, 1.0, 1.0, 0.47, 0.47, 1.0)
_MESSAGE: Final = (4.0, 4.0, 4.0, 1.0, 1.5, 5.0, 1.5, 5.0)
_CALL: Final = (9.0, 9.0, 12.0, 6.0, 3.0, 8.0, 10.0, 13.0)
_RESULT: Final = (8.0, 8.0, 8.0, 2.0, 3.0, 0.0, 4.0, 6.0)
_TOOL: Final = (5.1, 5.1, -0.8, 1.2, 9.8, 15.1, -7.9, 9.2)
_MEMBER: Final = (-2.25, -2.25, 1.5, 1.6, 1.55, 3.8, 1.55, 1.5)
_PREAMBLE: Final = (15.0, 15.0, 346.0, 0.0, 2.0, 60.0, 130.0, 100.0)

_OF_MODELS: Final = (
    ("anthropic", re.compile("claude|anthropic")),
    ("gemini", re.compile("gemini|gemma")),
    ("qwen", re.compile("qwen|qwq|qvq")),
    ("llama", re.compile("llama")),
    ("deepseek", re.compile("deepseek")),
    ("mistral", re.compile("mi[sx]tral|codestral|ministral|magistral|devstral|pixtral|voxtral")),
    ("openai_older", re.compile(r"gpt-?(3|4(?![o.\d]))")),
)
"""A model that was distilled into another's architecture has the other's tokenizer, and is named after both."""


@lru_cache(1024)
def family_of(provider: str, model: str) -> Family:
    """Return the family of a model: by its name, else by its provider."""
    model, provider = model.lower().replace("ollama", ""), provider.lower().replace("ollama", "")
    for said in (model, provider):
        for name, pattern in _OF_MODELS:
            if pattern.search(said):
                return _family(name, image_rule(name, model))
    return _family("openai", image_rule("openai", model))


@lru_cache(128)
def _family(name: str, images: ImageRule) -> Family:
    at = NAMES.index(name)
    return Family(
        name,
        images,
        tuple(row[at] for row in _LETTERS),
        tuple(row[at] for row in _MARKS),
        tuple((end, row[at]) for end, row in _ENDS.items() if row[at]),
        _scripts(at),
        _KANJI[at], _TRADITIONAL[at], _HEX_DIGIT[at], _MESSAGE[at], _CALL[at], _RESULT[at], _TOOL[at], _MEMBER[at],
        _PREAMBLE[at],
    )  # fmt: skip


def _scripts(at: int) -> Mapping[int, Script]:
    found: dict[int, Script] = {}
    for firsts, row in _FIRSTS.items():
        pairs = tuple((pair, more[at]) for pair, more in _PAIRS.items() if pair[0] in firsts)
        found.update(dict.fromkeys(firsts, Script(firsts, row[at], pairs)))
    return found
