"""Extraction and restoration of images and files inside payloads. Pure.

Invariants:
- The JSON stays valid, and only the extracted base64 changes.
- Extracted files are restored byte for byte: base64 that encoding its decoded bytes does not reproduce (odd
  padding, line breaks, escapes) is not extracted.
- Only known files are extracted: a data URI, or text under a name that providers use for files.
  Signatures, encrypted reasoning and embeddings are base64 too, and stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from llmledgerd.config.options import Attachments
from llmledgerd.payloads.uploads import File

MARK: Final = b"llmledger-file:sha256:"
"""Prefix of a reference in place of base64."""

# One possessive pass over the text, so that it is linear for any text: some 90 µs for 50 KB without
# a file, which is what five searches for fixed words first would cost. The names are those of
# OpenAI (image_url, file_data, input_audio.data, b64_json), Anthropic (source.data), Gemini
# (inlineData.data), and Bedrock (source.bytes); data URIs count under any name, as in lists.
_FILE: Final = re.compile(
    rb'"(?:(data|file_data|b64_json|bytes)"\s*+:\s*+"(?:data:([\w.+/-]++)[\w.+/;=-]*?;base64,)?+'
    rb"|data:([\w.+/-]++)[\w.+/;=-]*?;base64,)"
    rb'([A-Za-z0-9+/_-]++={0,2}+)(?=")'
)
_REFERENCE: Final = re.compile(
    re.escape(MARK) + rb"([0-9a-f]{64});bytes=\d+;type=[\w.+/-]*(;base64=url)?(?=\")"
)
_NEAR: Final = re.compile(rb'"(?:media_type|mimeType|mime_type|format)"\s*+:\s*+"([\w.+/-]+)"')
_UNKNOWN: Final = b"application/octet-stream"
_NEAR_BYTES: Final = 200
"""Distance in bytes at which a media type is searched: it is beside its base64 in every API."""

_MAGIC: Final = (
    (b"\x89PNG", b"image/png"),
    (b"\xff\xd8\xff", b"image/jpeg"),
    (b"GIF8", b"image/gif"),
    (b"%PDF", b"application/pdf"),
    (b"OggS", b"audio/ogg"),
    (b"ID3", b"audio/mpeg"),
)

Name = Callable[[str], str]
"""Function from a file's digest to its object's name."""


def cut(payload: bytes, mode: Attachments, above_bytes: int, name: Name) -> tuple[bytes, list[File]]:
    """Return the payload with references in place of its files, and the files to store.

    Files of at most ``above_bytes`` stay. With ``drop`` no file is stored; the references have the digests
    and sizes of the removed bytes.
    """
    if mode == "keep" or len(payload) <= above_bytes:
        return payload, []
    files: list[File] = []

    def reference(found: re.Match[bytes]) -> bytes:
        text = found[4]
        content = _decoded(text) if len(text) * 3 > above_bytes * 4 else None
        media_type = _media_type(content, payload, found) if content else b""
        if not content or not media_type or len(content) <= above_bytes:
            return found[0]
        digest = sha256(content).hexdigest()
        if mode == "store":
            files.append(File(name(digest), content, media_type.decode()))
        head = payload[found.start() : found.start(4)]
        how = b";base64=url" if b"-" in text or b"_" in text else b""
        return b"%s%s%s;bytes=%d;type=%s%s" % (
            head, MARK, digest.encode(), len(content), media_type, how,
        )  # fmt: skip

    return _FILE.sub(reference, payload), files


def restored(payload: bytes, read: Callable[[str], bytes | None]) -> bytes:
    """Return the payload with its files restored; ``read`` returns a file by its digest, or None."""
    if MARK not in payload:
        return payload

    def text(found: re.Match[bytes]) -> bytes:
        content = read(found[1].decode())
        if content is None:
            return found[0]
        return base64.urlsafe_b64encode(content) if found[2] else base64.b64encode(content)

    return _REFERENCE.sub(text, payload)


def _decoded(text: bytes) -> bytes | None:
    """Return the decoded bytes; None if encoding them does not reproduce the text."""
    is_url = b"-" in text or b"_" in text
    try:
        content = base64.urlsafe_b64decode(text) if is_url else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    again = base64.urlsafe_b64encode(content) if is_url else base64.b64encode(content)
    return content if again == text else None


def _media_type(content: bytes, payload: bytes, found: re.Match[bytes]) -> bytes:
    """Return a file's media type: from its URI, its first bytes, or the member beside it.

    Empty if ``data`` or ``bytes`` is not a file: encrypted reasoning has that name too.
    """
    if found[2] or found[3]:
        return found[2] or found[3]
    if content[:4] == b"RIFF":
        return b"image/webp" if content[8:12] == b"WEBP" else b"audio/wav"
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    near = payload[max(0, found.start() - _NEAR_BYTES) : found.start()]
    said = _NEAR.search(near) or _NEAR.search(payload, found.end(), found.end() + _NEAR_BYTES)
    if said:
        return said[1] if b"/" in said[1] else _UNKNOWN
    return b"" if found[1] in (b"data", b"bytes") else _UNKNOWN
