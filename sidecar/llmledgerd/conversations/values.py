"""Content without its spelling: one text and one hash for JSON that means the same. Pure.

Invariant: white space between tokens, the order of members, escapes, and whether a whole number is spelled 1 or
1.0 change nothing here; nor do marks of what to cache, which SDKs move from turn to turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec
import xxhash

from llmledgerd import json_text

MARKS: Final = frozenset({"cache_control", "cachePoint", "cache_point", "prompt_cache_breakpoint"})
"""Members that say what a provider should cache (Anthropic "Prompt caching", Bedrock "Prompt caching for faster
model inference", OpenAI "Prompt caching"): no content."""

_MARKED: Final = tuple(b'"%s"' % mark.encode() for mark in MARKS)
_SPACE: Final = b" \t\r\n\f\v"
_BREAKS: Final = (b"\n", b"\r", b"\t", b"\f", b"\v")
_PER_SPACE: Final = 16
"""Characters of a text that has a space in each few: counting goes from space to space, and few are asked for."""
_SPACES_COUNT_FROM: Final = 4 << 10
"""Bytes without line breaks from which a text keeps its spaces."""
_LARGEST_EXACT: Final = 2.0**53
_ARGUMENTS_BYTES: Final = 1 << 20
"""Arguments longer than this are compared as the text that they are."""

_ORGANIZATIONS_REMEMBERED: Final = 1024

REFUSED: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)

_LEAST_REMEMBERED: Final = 256
"""Characters of a text that is not as soon without its white space as found."""
_MOST_REMEMBERED: Final = 1 << 20
_NO_TEXT: Final = ("", b"")
_recent: tuple[tuple[str, bytes], tuple[str, bytes]] = (_NO_TEXT, _NO_TEXT)
"""Texts and their bytes without white space, replaced as one: threads share it."""

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_in_order = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_hash: Callable[[bytes, int], int] = xxhash.xxh3_64_intdigest


def decoded(raw: bytes | memoryview | msgspec.Raw, decode: Callable[[Any], Any] = _decode) -> Any:
    """Return the value, also of JSON that msgspec refuses; None for what is no JSON or of another shape."""
    try:
        return decode(raw)
    except msgspec.ValidationError:
        return None
    except REFUSED:
        pass
    try:
        return decode(json_text.folded(json_text.mended(bytes(raw))))
    except (*REFUSED, json_text.TooMuch):
        return None


def as_bytes(value: Any, encode: Callable[[Any], bytes] = _encode) -> bytes:
    """Return a value's bytes: of a text its UTF-8, of anything else JSON in one spelling."""
    if isinstance(value, str):
        return _utf8(value)
    try:
        found = encode(value)
    except (*REFUSED, TypeError):
        return b"null"
    if b".0" in found or (b"cache" in found and any(mark in found for mark in _MARKED)):
        found = encode(plain(value))
    return found


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def has_spaces(text: str, least: int) -> bool:
    """Return whether a text has at least so many spaces. Most texts that have them have them near their beginning."""
    return text.count(" ", 0, _PER_SPACE * least) >= least or text.count(" ") >= least


def spaceless(text: bytes) -> bytes:
    """Return a text without its white space; a long one keeps the spaces within.

    SDKs join the texts of a message with line breaks, and strip them. Spaces are a sixth of a text: to take them out of
    200 KB took a third of its row's time.
    """
    if len(text) > _SPACES_COUNT_FROM:
        for one in _BREAKS:
            text = text.replace(one, b"")
        if len(text) > _SPACES_COUNT_FROM:
            return text.strip(b" ")
    return text.translate(None, _SPACE)


def without_space(text: str, encoded: bytes | None = None) -> bytes:
    """Return ``spaceless`` bytes of a text. The last two texts are remembered: a call's question and its answer have
    several names each. ``encoded``: the text's UTF-8, where it is at hand."""
    global _recent
    if not _LEAST_REMEMBERED <= len(text) <= _MOST_REMEMBERED:
        return spaceless(_utf8(text) if encoded is None else encoded)
    last, other = _recent
    if last[0] is text:
        return last[1]
    if other[0] is text:
        return other[1]
    found = spaceless(_utf8(text) if encoded is None else encoded)
    _recent = (text, found), last
    return found


def plain(value: Any) -> Any:
    """Return the value with whole numbers as integers, and without marks. Payloads nest less than the decoder."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in MARKS}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return int(value)
    return value


def parsed(arguments: Any) -> Any:
    """Return a tool call's arguments as a value: most APIs send them as JSON in a text."""
    if not isinstance(arguments, str) or len(arguments) > _ARGUMENTS_BYTES:
        return arguments
    try:
        return _decode(arguments)
    except REFUSED:
        return arguments


def content_hash(value: Any, seed: int = 0, *, spelled: bool = False) -> int:
    """Return 64 bits of a content. Equal in every organization: it is no id, and never stored.

    ``spelled``: the order of members counts.
    """
    if spelled:
        return _hash(as_bytes(value, _encode_in_order), seed)
    try:
        return _hash(value.encode() if value.__class__ is str else as_bytes(value), seed)
    except UnicodeEncodeError:
        return _hash(as_bytes(value), seed)


def as_text(value: Any) -> str:
    """Return a content as text, for what is compared text by text."""
    return value if isinstance(value, str) else as_bytes(value).decode("utf-8", "replace")


@lru_cache(_ORGANIZATIONS_REMEMBERED)
def seed_of(organization: str) -> int:
    """Return the seed of an organization's hashes, so that its ids are never another's."""
    return xxhash.xxh3_64_intdigest(_utf8(organization), 0x6C6C6D6C)


def request_hash(request: bytes | memoryview, organization: str) -> int:
    """Return 63 bits of a request's bytes, an organization's own; 0 without a request."""
    return xxhash.xxh3_64_intdigest(request, seed_of(organization)) >> 1 if request else 0


def scoped(seed: int, kind: str, *texts: str | int) -> str:
    """Return an organization's id of some texts, in order: 24 hexadecimal characters."""
    whole = f"{kind}\0{texts[0]}" if len(texts) == 1 else "\0".join([kind, *map(str, texts)])
    return scoped_bytes(seed, _utf8(whole))


def scoped_bytes(seed: int, text: bytes) -> str:
    """Return an organization's id of a text that begins with its kind."""
    return xxhash.xxh3_128_hexdigest(text, seed)[:24]
