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
from functools import lru_cache
from typing import Final

import msgspec

from llmledgerd.conversations.image_tokens import ImageRule, image_rule

NAMES: Final = ("openai", "openai_older", "anthropic", "gemini", "mistral", "llama", "deepseek", "qwen")
"""The families, in the order of the tables' columns; the first is that of unknown models."""


class Family(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What the estimates of a model's tokens follow from. There is one object of each, so that its identity is its hash."""

    name: str
    images: ImageRule
    weights: tuple[float, ...]
    """For each word, letter or space, change of case within a word, capital letter, digit, up to three digits,
    run of marks, mark and line."""
    ends: tuple[float, ...]
    """For each word that ends with i, en and a, and each k and z: they tell English from languages whose words are
    several tokens."""
    firsts: tuple[tuple[bytes, float], ...]
    """For each character by its first byte in UTF-8."""
    pairs: tuple[tuple[bytes, float], ...]
    """What is added for characters by their first two bytes."""
    accent: float
    """For each letter with an accent, but in Vietnamese, whose words are one token however they are written."""
    kanji: float
    """What is added for a Chinese character in Japanese."""
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


_WEIGHTS: Final = (
    (0.54, 0.5, 0.96, 0.66, 0.54, 0.49, 0.63, 0.47),  # words
    (0.09, 0.09, 0.0, 0.06, 0.08, 0.09, 0.07, 0.09),  # small letters and spaces
    (0.0, 0.02, 0.97, 0.67, 0.24, 0.02, 0.36, 0.17),  # changes of case
    (0.19, 0.2, 0.12, 0.13, 0.23, 0.2, 0.21, 0.15),  # capital letters
    (0.0, 0.0, 0.0, 0.63, 0.41, 0.0, 0.0, 0.34),  # digits
    (1.4, 1.4, 1.11, 0.98, 1.59, 1.39, 1.27, 1.8),  # up to three digits
    (0.39, 0.41, 0.79, 0.94, 0.54, 0.43, 0.72, 0.42),  # runs of marks
    (0.26, 0.23, 0.15, 0.04, 0.22, 0.22, 0.13, 0.24),  # marks
    (0.79, 0.78, 1.11, 1.53, 0.73, 0.75, 0.79, 0.64),  # lines
)
_ENDS: Final = (
    (1.71, 2.84, 4.46, 1.43, 1.92, 2.84, 2.71, 2.82),  # words that end with i
    (1.08, 3.12, 4.11, 1.64, 2.09, 3.46, 2.69, 3.27),  # with en
    (0.46, 1.32, 1.13, 0.39, 0.87, 1.66, 1.07, 1.38),  # with a
    (0.61, 0.89, 1.3, 0.72, 0.92, 0.68, 0.7, 0.94),  # k
    (1.0, 0.86, 1.29, 0.6, 0.57, 1.25, 0.57, 0.67),  # z
)
HAN: Final = bytes(range(0xE4, 0xEA))
_FIRSTS: Final = {
    bytes(range(0xD0, 0xD4)): (0.3, 0.51, 0.59, 0.28, 0.31, 0.35, 0.35, 0.39),  # Cyrillic
    b"\xce\xcf": (0.38, 1.03, 1.31, 0.38, 0.4, 0.41, 0.51, 1.0),  # Greek
    b"\xd6\xd7": (0.43, 1.15, 1.05, 0.51, 0.48, 1.15, 0.52, 0.43),  # Hebrew
    b"\xd4\xd5": (0.23, 2.37, 2.42, 0.53, 0.28, 1.99, 0.57, 1.3),  # Armenian
    bytes(range(0xD8, 0xDE)): (0.33, 0.83, 1.12, 0.35, 0.31, 0.42, 0.41, 0.4),  # Arabic
    b"\xe0": (0.42, 2.0, 2.4, 0.42, 0.55, 1.98, 0.88, 1.6),  # Indic scripts and Thai
    b"\xe1": (0.41, 2.02, 1.19, 0.38, 0.5, 2.02, 0.89, 1.22),  # Georgian, Khmer, Vietnamese
    b"\xe3": (0.63, 0.94, 0.92, 0.42, 0.6, 0.63, 0.59, 0.54),  # kana
    HAN: (0.77, 1.09, 0.86, 0.66, 0.98, 0.82, 0.59, 0.65),  # Chinese characters
    bytes(range(0xEA, 0xEE)): (0.71, 1.14, 1.32, 0.61, 0.65, 0.74, 0.81, 0.81),  # Hangul
    b"\xef": (0.67, 0.93, 2.01, 0.0, 0.15, 0.23, 0.63, 0.72),  # full-width marks
    bytes(range(0xF0, 0xF5)): (2.5, 2.5, 2.5, 2.0, 2.5, 2.5, 2.5, 2.5),  # emoji
}
VIETNAMESE: Final = (b"\xe1\xba", b"\xe1\xbb")
"""First two bytes of the letters that only Vietnamese has."""
_DEVANAGARI: Final = (-0.09, -0.83, -1.05, -0.16, -0.15, -1.38, -0.25, -0.51)
_BENGALI: Final = (-0.05, -0.58, -0.31, -0.18, -0.1, -0.56, -0.42, -0.38)
_TAMIL: Final = (-0.06, -0.47, -0.3, -0.17, -0.14, -0.45, -0.31, -0.4)
_THAI: Final = (-0.03, -1.03, -0.58, -0.13, -0.02, -1.5, -0.53, -1.02)
_OF_VIETNAMESE: Final = (0.27, 0.43, 2.91, -0.01, 0.19, -1.38, 0.72, -0.43)
_UKRAINIAN: Final = (0.68, 2.46, 1.88, 0.92, 1.31, -0.1, 2.18, 2.92)
_SERBIAN: Final = (2.15, 3.77, 2.35, 2.25, 1.17, 3.35, 1.74, 3.53)
_PERSIAN: Final = (0.12, 1.13, 1.54, -0.15, 0.38, -0.19, 0.7, 2.28)
_PAIRS: Final = {
    b"\xe0\xa4": _DEVANAGARI, b"\xe0\xa5": _DEVANAGARI, b"\xe0\xa6": _BENGALI, b"\xe0\xa7": _BENGALI,
    b"\xe0\xae": _TAMIL, b"\xe0\xaf": _TAMIL, b"\xe0\xb8": _THAI, b"\xe0\xb9": _THAI,
    VIETNAMESE[0]: _OF_VIETNAMESE, VIETNAMESE[1]: _OF_VIETNAMESE,
    b"\xe3\x80": (0.04, -1.28, -0.19, -0.08, 0.64, -0.05, 0.57, 1.01),  # marks of Chinese and Japanese
    b"\xd1\x94": _UKRAINIAN, b"\xd1\x96": _UKRAINIAN, b"\xd1\x97": _UKRAINIAN,
    b"\xd1\x98": _SERBIAN, b"\xd1\x99": _SERBIAN, b"\xd1\x9a": _SERBIAN,
    b"\xda\xa9": _PERSIAN, b"\xdb\x8c": _PERSIAN,
}  # fmt: skip
_ACCENT: Final = (0.9, 1.57, 1.88, 0.77, 0.84, 0.97, 1.37, 1.51)
_KANJI: Final = (0.28, 0.42, 0.36, -0.02, -0.12, 0.0, -0.03, 0.03)
_HEX_DIGIT: Final = (0.47, 0.47, 0.47, 1.0, 1.0, 0.47, 0.47, 1.0)
_MESSAGE: Final = (4.0, 4.0, 4.0, 1.0, 1.5, 5.0, 1.5, 5.0)
_CALL: Final = (9.0, 9.0, 12.0, 6.0, 3.0, 8.0, 10.0, 13.0)
_RESULT: Final = (8.0, 8.0, 8.0, 2.0, 3.0, 0.0, 4.0, 6.0)
_TOOL: Final = (3.6, 3.6, 0.0, 1.0, 9.5, 13.6, -8.6, 7.7)
_MEMBER: Final = (-2.5, -2.5, 1.05, 1.45, 1.35, 3.5, 1.2, 1.25)
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
        tuple(row[at] for row in _WEIGHTS),
        tuple(row[at] for row in _ENDS),
        tuple((firsts, row[at]) for firsts, row in _FIRSTS.items()),
        tuple((pair, row[at]) for pair, row in _PAIRS.items()),
        _ACCENT[at], _KANJI[at], _HEX_DIGIT[at], _MESSAGE[at], _CALL[at], _RESULT[at], _TOOL[at], _MEMBER[at],
        _PREAMBLE[at],
    )  # fmt: skip
