"""Estimates of how many tokens a part of a prompt takes, before they are scaled to the provider's own count. Pure.

Invariant: an estimate takes a bounded time whatever the part's size, and is above 0.

Texts are judged by a sample: by how much of it is letters, digits, spaces, marks and other scripts. The weights
were fitted to o200k and cl100k counts of prose in eight languages, code, JSON and logs (`bench/anatomy.py`).
Images follow the providers' rules where the bytes say their size: OpenAI docs, "Images and vision", section
"Calculating costs"; Anthropic docs, "Vision" (width times height over 750); Gemini API docs, "Tokens" (258 for
each tile of 768 by 768).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

from llmledgerd.conversations.values import as_bytes

SAMPLE: Final = 384
"""Bytes of each of the samples, of which long texts have three."""

_LOWER: Final = b"abcdefghijklmnopqrstuvwxyz"
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = b"0123456789"
_SPACES: Final = b" \n\t\r"
_HIGH: Final = bytes(range(128, 256))
_WORD: Final = re.compile(rb"[A-Za-z]+")
_INDENT: Final = re.compile(rb"[ \n\t]{2,}")

# Tokens per word by the word's letters: longer ones are cut.
_LETTERS_PER_TOKEN: Final = 6.3
_WORD_TOKEN: Final = 0.86
_LONG_WORD: Final = 8
_DIGITS_PER_TOKEN: Final = 2.45
_MARK_TOKEN: Final = 0.62
_HIGH_BYTES_PER_TOKEN: Final = 3.3
_TWO_BYTE_PER_TOKEN: Final = 4.4
_INDENT_TOKEN: Final = 0.75

MESSAGE_OVERHEAD: Final = 4
"""Tokens around each message (OpenAI cookbook, "How to count tokens": 3 and the role's)."""

TOOL_OVERHEAD: Final = 6
_OPENAI_SCHEMA: Final = 1.0

_DEFAULT_IMAGE: Final = 765
"""OpenAI's 1,024 by 1,024 at high detail: where the size is unknown, as of a URL."""
_LOW_DETAIL: Final = 85
_BASE64_BYTES_PER_TOKEN: Final = 90
"""A document's bytes, in base64, for each of its tokens: a page of a PDF is about 2,000 tokens."""
_MOST_HEADER: Final = 64 << 10


def text_tokens(text: bytes) -> float:
    """Return about how many tokens a text takes."""
    size = len(text)
    if size <= 3 * SAMPLE:
        return max(1.0, _sampled(text))
    middle = size // 2
    sample = text[:SAMPLE] + text[middle : middle + SAMPLE] + text[-SAMPLE:]
    return max(1.0, _sampled(sample) * size / len(sample))


def _sampled(sample: bytes) -> float:
    words = _WORD.findall(sample)
    letters = sum(map(len, words))
    tokens = sum(_WORD_TOKEN if len(word) <= _LONG_WORD else len(word) / _LETTERS_PER_TOKEN for word in words)
    rest = sample.translate(None, _LOWER + _UPPER)
    marks = rest.translate(None, _DIGITS + _SPACES + _HIGH)
    digits = len(rest) - len(rest.translate(None, _DIGITS))
    high = len(rest.translate(None, bytes(range(128))))
    indents = len(_INDENT.findall(sample)) if b"\n" in sample or b"  " in sample else 0
    del letters
    return (
        tokens
        + digits / _DIGITS_PER_TOKEN
        + len(marks) * _MARK_TOKEN
        + high / _high_bytes_per_token(sample, high)
        + indents * _INDENT_TOKEN
    )


def _high_bytes_per_token(sample: bytes, high: int) -> float:
    """Return bytes per token of other scripts: those of two bytes (Cyrillic, Greek, accents) are words."""
    if not high:
        return 1.0
    two = len(sample) - len(sample.translate(None, bytes(range(0xC2, 0xE0))))
    return _TWO_BYTE_PER_TOKEN if 4 * two > high else _HIGH_BYTES_PER_TOKEN


def tool_tokens(schema: Any, family: str) -> float:
    """Return what a tool's schema takes: OpenAI shows models a shorter form of it than the JSON that is sent."""
    return value_tokens(schema) * (_OPENAI_SCHEMA if family == "openai" else 1.0) + TOOL_OVERHEAD


def value_tokens(value: Any) -> float:
    """Return about how many tokens a JSON value takes as it is shown to a model."""
    return text_tokens(as_bytes(value))


def image_tokens(value: Any, family: str) -> float:
    """Return what an image takes: by its size where its bytes are in the request, else a usual one's."""
    if isinstance(value, dict) and _detail(value) == "low" and family == "openai":
        return _LOW_DETAIL
    size = _image_size(_data_of(value))
    if size is None:
        return _DEFAULT_IMAGE
    return _by_size(*size, family)


def file_tokens(value: Any) -> float:
    """Return what a document takes, by its bytes; what is only named counts as its name."""
    data = _data_of(value)
    return max(1.0, len(data) / _BASE64_BYTES_PER_TOKEN) if data else value_tokens(value)


def _by_size(width: int, height: int, family: str) -> float:
    if family == "anthropic":
        scale = min(1.0, 1568 / max(width, height))
        return max(1.0, min(1600.0, width * scale * height * scale / 750))
    if family == "gemini":
        return 258.0 * (1 if max(width, height) <= 384 else math.ceil(width / 768) * math.ceil(height / 768))
    scale = min(1.0, 2048 / max(width, height))
    width, height = round(width * scale), round(height * scale)
    scale = min(1.0, 768 / max(1, min(width, height)))
    return _LOW_DETAIL + 170.0 * math.ceil(width * scale / 512) * math.ceil(height * scale / 512)


def _detail(value: dict[str, Any]) -> Any:
    inner = value.get("image_url")
    return value.get("detail") or (inner.get("detail") if isinstance(inner, dict) else None)


def _data_of(value: Any, depth: int = 0) -> str:
    """Return the base64 of an image or a file, wherever its API puts it; "" without."""
    if isinstance(value, str):
        head, comma, data = value.partition(";base64,")
        return (
            data
            if comma and len(head) < 100
            else (value if len(value) > 200 and ":" not in value[:20] else "")
        )
    if isinstance(value, dict) and depth < 4:
        for name in ("data", "bytes", "url", "image_url", "file_data", "source", "inlineData", "inline_data", "file",
                     "image", "document"):  # fmt: skip
            found = _data_of(value[name], depth + 1) if name in value else ""
            if found:
                return found
    return ""


def _image_size(data: str) -> tuple[int, int] | None:
    """Return width and height from an image's first bytes: PNG, GIF, JPEG, WebP."""
    try:
        head = base64.b64decode(data[:_MOST_HEADER][: len(data[:_MOST_HEADER]) // 4 * 4])
    except (binascii.Error, ValueError):
        return None
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head[:4] == b"GIF8" and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head[:4] == b"RIFF" and head[12:16] == b"VP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return _jpeg_size(head) if head[:2] == b"\xff\xd8" else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        if 0xC0 <= head[at + 1] <= 0xCF and head[at + 1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
