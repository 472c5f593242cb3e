"""Estimates of how many tokens a part of a prompt takes, before they are scaled to the provider's own count. Pure.

Invariant: an estimate takes a bounded time whatever the part's size, and is above 0.

Texts are judged by a sample: by its words and their ends, digits, marks, lines and other scripts, with the weights of
the model's family (``token_families``). Images and files follow the providers' rules (``image_tokens``).
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Any, Final

from llmledgerd.conversations import parts as kinds
from llmledgerd.conversations.image_tokens import image_tokens, media_of, media_tokens
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.token_families import (
    HAN,
    LATIN,
    TRADITIONAL,
    TURKISH,
    VIETNAMESE,
    Family,
    Script,
)
from llmledgerd.conversations.values import as_bytes

SAMPLE: Final = 92
"""Bytes of each sample of a long text."""
SAMPLES: Final = 7
SYSTEM_SAMPLES: Final = 16
"""Of a system prompt, which is judged once for all calls that have it."""
SCHEMA_SAMPLES: Final = 32
"""Of a tool's schema, which is judged once for all calls with the same tools."""

_LOWER: Final = b"abcdefghijklmnopqrstuvwxyz"
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = b"0123456789"
_MARKS: Final = bytes(set(range(33, 127)) - set(_LOWER + _UPPER + _DIGITS))
_JOINING: Final = b"._="
_NOT_JOINING: Final = _MARKS.translate(None, _JOINING)
_MOST_OF_PROSE: Final = _LOWER + b" "
_NOT_HEX: Final = b"ghjklmnpqrstvwxz"
"""Letters that are left out where digits are counted, for speed: few texts have them alone between two digits."""


def _classes(*classes: tuple[bytes, bytes]) -> bytes:
    """Return a table that maps the members of each class to one byte, and all else to a space."""
    found = bytearray(b" " * 256)
    for members, to in classes:
        for member in members:
            found[member] = to[0]
    return bytes(found)


_AS_CASES: Final = _classes((_LOWER, b"a"), (_UPPER, b"A"))
_AS_DIGITS: Final = _classes((_DIGITS, b"0"))
_AS_MARKS: Final = _classes((_MARKS, b"."))
_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_NO_FIRST: Final = bytes(range(0xC0))
"""Bytes that begin no character but ASCII's."""
_NOT_ASCII: Final = bytes(range(0x80, 0x100))
# Letters are Latin, with accents or without.
_AS_WORDS: Final = _classes((_LOWER + _UPPER + bytes(range(0xC3, 0xCA)) + b"\xe1", b"a"))
_HIRAGANA: Final = b"\xe3\x81"
_NO_SCRIPT: Final = Script(bytes(range(256)), 1.0)
"""Of bytes that begin no character."""
_LEAST_ENCODED: Final = 64
"""Bytes without a space, and almost without marks, that are base64 or hexadecimal."""
_ENCODED_LETTER: Final = 0.74
"""Tokens for each letter of base64 and hexadecimal; the tokenizers hardly differ in it."""


def text_tokens(text: bytes, family: Family, samples: int = SAMPLES) -> float:
    """Return about how many tokens a text takes."""
    size = len(text)
    if size <= samples * SAMPLE:
        return max(1.0, _sampled(text, family))
    last = size - SAMPLE
    sample = b"".join([text[(at := place * last >> 16) : at + SAMPLE] for place in _places(samples)])
    return max(1.0, _sampled(sample, family) * size / len(sample))


@lru_cache(4)
def _places(count: int) -> tuple[int, ...]:
    """Return where samples are taken, in parts of 65536: one in each of so many pieces of the text.

    They lie irregularly (by the golden ratio): of records and lines that are equally long, each sample would otherwise
    have the same place.
    """
    return tuple(int((at + at * 0.618034 % 1) / count * 65536) for at in range(count))


def _sampled(sample: bytes, family: Family) -> float:
    is_ascii = sample.isascii()
    of_word, of_plain, of_case, of_capital, of_digit, of_group = family.letters
    of_run, of_mark, of_line, of_bar, of_backslash = family.marks
    words = sample.translate(_AS_WORDS, b"" if is_ascii else _CONTINUATION)
    found = of_word * (words.count(b" a") + words.startswith(b"a"))
    # Runs of a class are counted only where there are any: what is left without letters and spaces is short.
    rest = sample.translate(None, _MOST_OF_PROSE)
    found += of_plain * (len(sample) - len(rest))
    ascii_rest = rest if is_ascii else rest.translate(None, _NOT_ASCII)
    size = len(ascii_rest)
    capitals = size - len(ascii_rest.translate(None, _UPPER))
    found += of_capital * capitals
    if capitals and of_case:
        found += of_case * sample.translate(_AS_CASES).count(b"aA")
    digits = size - len(ascii_rest.translate(None, _DIGITS))
    marks = size - len(ascii_rest.translate(None, _MARKS))
    if is_ascii and _is_encoded(sample, marks):
        return _ENCODED_LETTER * (len(sample) - digits) + family.hex_digit * digits
    if digits:
        found += of_digit * digits + of_group * _groups(sample)
    if marks:
        found += of_run * _runs(sample, marks)
        found += of_mark * (size - len(ascii_rest.translate(None, _NOT_JOINING)))
        found += of_bar * ascii_rest.count(b"|") + of_backslash * ascii_rest.count(b"\\")
    found += of_line * ascii_rest.count(b"\n")
    if not is_ascii:
        is_vietnamese = any(letter in rest for letter in VIETNAMESE)
        found += _other_scripts(rest, family, is_vietnamese=is_vietnamese)
        if is_vietnamese or any(letter in rest for letter in TURKISH):
            return found
    # Code and JSON have too many marks for the ends of their words to tell a language, and English needs no telling.
    if marks * 8 > len(sample) or _is_english(sample):
        return found
    for end, weight in family.ends:
        found += weight * sample.count(end)
    return found


def _groups(sample: bytes) -> int:
    """Return the number of groups of up to three digits."""
    groups = sample.translate(_AS_DIGITS, _NOT_HEX).replace(b"000", b"1")
    return groups.count(b"1") + groups.replace(b"00", b"0").count(b"0")


def _runs(sample: bytes, marks: int) -> int:
    """Return the number of runs of marks. Few marks, as in prose, stand alone; to look costs a fifth of the estimate."""
    if marks * 24 <= len(sample):
        return marks
    runs = sample.translate(_AS_MARKS)
    return runs.count(b" .") + runs.startswith(b".")


def _is_encoded(sample: bytes, marks: int) -> bool:
    return len(sample) >= _LEAST_ENCODED and marks * 16 <= len(sample) and b" " not in sample


def _is_english(sample: bytes) -> bool:
    return sample.count(b" the ") * 300 > len(sample)


def _other_scripts(rest: bytes, family: Family, *, is_vietnamese: bool) -> float:
    """Return what all characters but ASCII's take: of the scripts, one after the other, that the text has."""
    found = 0.0
    firsts = rest.translate(None, _NO_FIRST)
    while firsts:
        script = family.scripts.get(firsts[0], _NO_SCRIPT)
        others = firsts.translate(None, script.firsts)
        count = len(firsts) - len(others)
        # Words of Vietnamese are one token however they are written.
        if not (is_vietnamese and firsts[0] in LATIN):
            found += count * (_han(rest, family, script.weight) if script.firsts is HAN else script.weight)
            for pair, more in script.pairs:
                if not count:
                    break
                of_pair = rest.count(pair)
                found += more * of_pair
                count -= of_pair
        firsts = others
    return found


def _han(rest: bytes, family: Family, simplified: float) -> float:
    if _HIRAGANA in rest:
        return family.kanji
    return family.traditional if any(one in rest for one in TRADITIONAL) else simplified


def value_tokens(value: Any, family: Family) -> float:
    """Return about how many tokens a JSON value takes as it is shown to a model."""
    return text_tokens(as_bytes(value), family)


def schema_tokens(tool: Part, family: Family) -> float:
    """Return about how many tokens a tool's schema takes as the model is shown it."""
    value = tool.value
    if isinstance(value, dict) and value.get("type") == "function":  # Responses'
        value = {name: one for name, one in value.items() if name not in ("type", "strict")}
    text = as_bytes(value)
    found = text_tokens(text, family, SCHEMA_SAMPLES) + family.member * text.count(b'":') + family.tool
    return max(1.0, found)


def system_tokens(part: Part, family: Family) -> float:
    """Return about how many tokens a part of a system prompt takes."""
    if part.value.__class__ is str:
        return text_tokens(as_bytes(part.value), family, SYSTEM_SAMPLES)
    return part_tokens(part, family)


def part_tokens(part: Part, family: Family) -> float:
    """Return about how many tokens a part of a message takes, without what is around the message."""
    kind, value = part.kind, part.value
    if kind == kinds.IMAGE:
        return image_tokens(value, family.images)
    if kind in (kinds.FILE, kinds.AUDIO):
        return file_tokens(value, family)
    if kind == kinds.RESULT:
        return family.result + _result_tokens(value, family)
    if kind == kinds.SERVER_RESULT:
        return _result_tokens(value, family)
    if kind == kinds.CALL:
        return family.call + text_tokens(part.name.encode("utf-8", "replace") + as_bytes(value), family)
    return value_tokens(value, family)


def _result_tokens(value: Any, family: Family) -> float:
    """Return what a tool's result takes; images and files in it by their own rules."""
    if value.__class__ is str:
        return value_tokens(value, family)
    media: list[dict[str, Any]] = []
    rest: list[Any] = []
    for block in value if isinstance(value, list) else [value]:
        if isinstance(block, dict) and _is_medium(block):
            media.append(block)
        else:
            rest.append(block)
    found = sum(_medium_tokens(block, family) for block in media)
    if media and not rest:
        return found
    return found + value_tokens(rest if media else value, family)


def _is_medium(block: dict[str, Any]) -> bool:
    """Return whether a block of a result is an image or a file, and not a record that has such a member."""
    said = block.get("type")
    if isinstance(said, str) and said in _MEDIA:
        return not _HOLDERS.isdisjoint(block)
    return any(isinstance(block.get(name), dict) for name in _KEYED_MEDIA) and media_of(block)[1] != ""


_MEDIA: Final = frozenset(
    {"image", "input_image", "image_url", "document", "file", "input_file", "audio", "input_audio", "video"}
)
_HOLDERS: Final = frozenset({"source", "image_url", "file_id", "file_data", "file", "data", "input_audio"})
_KEYED_MEDIA: Final = ("image", "document", "video", "inlineData", "inline_data")
"""Blocks that are named by their only member (Converse, Gemini)."""


def _medium_tokens(block: dict[str, Any], family: Family) -> float:
    is_image = "image" in str(block.get("type")) or "image" in block or media_of(block)[0].startswith("image")
    return image_tokens(block, family.images) if is_image else file_tokens(block, family)


def file_tokens(value: Any, family: Family) -> float:
    """Return what a document, audio or video takes, by its bytes; what is only named counts as its name."""
    source = value.get("source") if isinstance(value, dict) else None
    if isinstance(source, dict) and source.get("type") == "text":
        return value_tokens(source.get("data"), family)
    mime, data = media_of(value)
    if not data:
        return value_tokens(value, family)
    if mime.startswith("text"):
        head = data[:_MOST_DECODED]
        return text_tokens(_text_of(head), family) * len(data) / len(head)
    return media_tokens(mime, data, family.images)


_MOST_DECODED: Final = 64 << 10
"""Bytes of base64 of a text that are decoded."""


def _text_of(data: str) -> bytes:
    try:
        return base64.b64decode(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return data.encode("utf-8", "replace")
