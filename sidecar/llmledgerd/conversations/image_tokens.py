"""Estimates of the tokens of images, documents, audio and video. Pure.

Invariant: an estimate takes a bounded time whatever the size, and is above 0.

Sources: OpenAI docs, "Images and vision", section "Calculating costs" (tiles of 512 by 512, or patches of 32 by 32);
Anthropic docs, "Vision", section "Evaluate image size" (patches of 28 by 28); Gemini docs, "Image understanding" (258
for each tile), "Media resolution" (Gemini 3: a fixed number), "Understand and count tokens" (audio, video, PDF).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

import msgspec


class ImageRule(msgspec.Struct, frozen=True, gc=False):
    """How a model counts images and other media."""

    patch: int = 0
    """Side of a patch in pixels; 0: the model counts tiles."""
    budget: int = 0
    """Limit of the patches of one image."""
    edge: int = 0
    """Limit of the longer side in pixels."""
    factor: float = 1.0
    """Tokens for each patch."""
    base: float = 85.0
    """Tokens of an image at low detail, and beside the tiles at high detail."""
    tile: float = 170.0
    is_google: bool = False
    fixed: float = 0.0
    """Tokens of an image of any size; 0: they follow from it."""
    second: float = 10.0
    """Tokens of a second of audio."""
    page: float = 2000.0
    """Tokens of a page of a PDF; about, where the text of the pages counts."""


_GOOGLE: Final = ImageRule(is_google=True, second=32.0, page=258.0)
_GOOGLE_3: Final = ImageRule(is_google=True, fixed=1120.0, second=32.0, page=560.0)
_CLAUDE: Final = ImageRule(28, 1568, 1568)
_CLAUDE_LARGE: Final = ImageRule(28, 4784, 2576)
_OF_OPENAI: Final = (
    (re.compile(r"(gpt-5(\.\d)?|gpt-4\.1)-mini"), ImageRule(32, 1536, 2048, 1.62)),
    (re.compile(r"(gpt-5(\.\d)?|gpt-4\.1)-nano"), ImageRule(32, 1536, 2048, 2.46)),
    (re.compile(r"o4-mini"), ImageRule(32, 1536, 2048, 1.72)),
    (re.compile(r"gpt-(5\.[5-9]|[6-9])"), ImageRule(32, 10_000, 6000, 1.2)),
    (re.compile(r"gpt-5\.4"), ImageRule(32, 2500, 2048)),
    (re.compile(r"gpt-5\.[23]|gpt-5(\.1)?-codex-mini"), ImageRule(32, 1536, 2048)),
    (re.compile(r"gpt-5"), ImageRule(base=70.0, tile=140.0)),
    (re.compile(r"4o-mini"), ImageRule(base=2833.0, tile=5667.0)),
    (re.compile(r"\bo[13]\b"), ImageRule(base=75.0, tile=150.0)),
    (re.compile(r"computer-use"), ImageRule(base=65.0, tile=129.0)),
)
_TILES: Final = ImageRule()
_CLAUDE_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_GEMINI_VERSION: Final = re.compile(r"gemini-(?:[a-z]+-)?(\d+)")

_USUAL_SIDE: Final = 1024
"""Where the size is unknown, as of a URL: a square of so many pixels."""
_DETAILED: Final = (2500, 2048)
"""Patches and pixels at detail ``high`` of models that take more by themselves."""
_LOW_SIDE: Final = 512
_MOST_HEADER: Final = 64 << 10
_MOST_DECODED: Final = 1 << 20
_BASE64_BYTES_PER_PAGE: Final = 180_000
"""Of a PDF whose pages cannot be counted."""
_PAGE: Final = re.compile(rb"/Type\s*/Page\b(?!s)")
_AUDIO_BYTES_PER_SECOND: Final = 16_000
"""128 kbit/s, as of most MP3; WAV says its own."""
_VIDEO_BYTES_PER_SECOND: Final = 250_000
_VIDEO_SECOND: Final = 263.0


def image_rule(family: str, model: str) -> ImageRule:
    """Return how a model counts images; ``family`` is one of ``token_families.NAMES``, ``model`` in lower case."""
    if family == "gemini":
        major = _GEMINI_VERSION.search(model)
        return _GOOGLE_3 if major and int(major[1]) >= 3 else _GOOGLE
    if family == "anthropic":
        version = _CLAUDE_VERSION.search(model)
        is_large = version is not None and (int(version[1]), int(version[2] or 0)) >= (4, 7)
        return _CLAUDE_LARGE if is_large else _CLAUDE
    return next((rule for pattern, rule in _OF_OPENAI if pattern.search(model)), _TILES)


def image_tokens(value: Any, rule: ImageRule) -> float:
    """Return what an image takes: by its size where its bytes are in the request, else a usual one's."""
    if rule.fixed:
        return rule.fixed
    detail = _detail(value)
    width, height = _image_size(media_of(value)[1]) or (_USUAL_SIDE, _USUAL_SIDE)
    if rule.patch:
        return _patches(width, height, rule, detail) * rule.factor
    if rule.is_google:
        return _tiles_of_google(width, height)
    return rule.base if detail == "low" else rule.base + rule.tile * _tiles(width, height)


def media_tokens(mime: str, data: str, rule: ImageRule) -> float:
    """Return what a document, audio or video takes, by its base64."""
    size = len(data) * 3 / 4
    if mime.startswith("audio"):
        head = _decoded(data[:64])
        rate = int.from_bytes(head[28:32], "little") if head[:4] == b"RIFF" else 0
        return max(1.0, size / (rate or _AUDIO_BYTES_PER_SECOND) * rule.second)
    if mime.startswith("video"):
        return max(1.0, size / _VIDEO_BYTES_PER_SECOND * _VIDEO_SECOND)
    pages = len(_PAGE.findall(_decoded(data[:_MOST_DECODED]))) if len(data) <= _MOST_DECODED else 0
    return rule.page * (pages or max(1.0, len(data) / _BASE64_BYTES_PER_PAGE))


def _patches(width: int, height: int, rule: ImageRule, detail: Any) -> int:
    side, budget, edge = rule.patch, rule.budget, rule.edge
    if detail == "low":
        edge = _LOW_SIDE
    elif detail == "high":
        budget, edge = min(budget, _DETAILED[0]), min(edge, _DETAILED[1])
    scale = min(1.0, edge / max(width, height, 1))
    across, down = width * scale / side, height * scale / side
    if math.ceil(across) * math.ceil(down) > budget:
        shrunk = math.sqrt(budget / (across * down))
        across, down = across * shrunk, down * shrunk
        scale = min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
        across, down = round(across * scale * side) / side, round(down * scale * side) / side
    return max(1, min(budget, math.ceil(across) * math.ceil(down)))


def _tiles_of_google(width: int, height: int) -> float:
    if max(width, height) <= 384:
        return 258.0
    unit = min(768.0, max(256.0, min(width, height) // 1.5))
    return 258.0 * math.ceil(width / unit) * math.ceil(height / unit)


def _tiles(width: int, height: int) -> int:
    scale = min(1.0, 2048 / max(width, height, 1))
    width, height = round(width * scale), round(height * scale)
    scale = min(1.0, 768 / max(1, min(width, height)))
    return max(1, math.ceil(width * scale / 512) * math.ceil(height * scale / 512))


def _detail(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    inner = value.get("image_url")
    return value.get("detail") or (inner.get("detail") if isinstance(inner, dict) else None)


def media_of(value: Any, depth: int = 0) -> tuple[str, str]:
    """Return the type and the base64 of an image or a file, wherever its API puts it; "" without."""
    if isinstance(value, str):
        head, comma, data = value.partition(";base64,")
        if comma and len(head) < 100:
            return head.removeprefix("data:"), data
        return "", value if len(value) > 200 and ":" not in value[:20] and " " not in value[:200] else ""
    if isinstance(value, dict) and depth < 4:
        for name in _INSIDE:
            mime, data = media_of(value[name], depth + 1) if name in value else ("", "")
            if data:
                return mime or _mime(value), data
    return "", ""


_INSIDE: Final = (
    "data", "bytes", "url", "image_url", "file_data", "source", "inlineData", "inline_data", "file", "input_audio",
    "image", "document", "video", "audio",
)  # fmt: skip


def _mime(value: dict[str, Any]) -> str:
    for name in ("media_type", "mimeType", "mime_type"):
        if isinstance(value.get(name), str):
            return value[name]  # type: ignore[no-any-return]  # asked just before
    return f"audio/{value['format']}" if value.get("format") in ("wav", "mp3") else ""


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _image_size(data: str) -> tuple[int, int] | None:
    """Return width and height from an image's first bytes: PNG, GIF, JPEG, WebP."""
    head = _decoded(data[:_MOST_HEADER])
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head[:4] == b"GIF8" and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head[:4] == b"RIFF" and len(head) >= 30:
        return _webp_size(head)
    return _jpeg_size(head) if head[:2] == b"\xff\xd8" else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Return the size of a WebP image: extended, lossy, lossless (RFC 9649, sections 2.5 to 2.7)."""
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        if 0xC0 <= head[at + 1] <= 0xCF and head[at + 1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
