"""What of a body is recorded. Pure.

Invariants:
- JSON and text are recorded as they passed, by reference; nothing is encoded again.
- Whatever is no text (an upload, audio, an image) or is over the limit is described in a small
  object, ``{"content_type": …, "bytes": …}``, and never recorded itself.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from llmledger.harmless import split_url
from llmledger.instrumentation.cleaning import cleaned_path

MAX_BODY_BYTES: Final = 48 << 20
"""Two such bodies fit one line of 128 MiB, and one the client's buffer of 64."""

LOOKED_INTO_BYTES: Final = 4 << 20
"""A longer request is not asked whether it wants a stream: skipping JSON takes a millisecond for that."""

_STREAM_TYPES = {
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/stream+json",
    "application/json-lines",
    "application/vnd.amazon.eventstream",
}
EVENT_STREAM_TYPE: Final = "application/vnd.amazon.eventstream"

_IS_TEXT = re.compile(r"text/|application/(?:[\w.+-]*json|x-ndjson|xml|problem)|$")

DONE: Final = (b"data: [DONE]\n\n", b"data: [DONE]\r\n\r\n")
"""The last word, and the last bytes, of OpenAI's chat and of everybody's who copied it."""

LONGEST_DONE: Final = max(map(len, DONE))

_LAST_WORD = re.compile(
    rb"""
        data:\s?\[DONE\]
      | event:\s?(?:message_stop|response\.(?:completed|failed|incomplete)|message-end|messageStop|error|done)\b
      | data:\s?\{"type":\s?"(?:message_stop|response\.(?:completed|failed|incomplete)|message-end|error)"
      | data:\s?\{"error":
      | \{[^\n]*"done":\s?true
    """,
    re.VERBOSE,
)
"""OpenAI Chat and its kin; Anthropic, Responses, Cohere, Bedrock; the same unnamed; errors; Ollama."""

_LAST_LINES: Final = 8
"""Some send the usage, or an empty event, after the last word."""


class Asked(msgspec.Struct):
    """What a request's own fields tell; SDKs write them at the top level, all providers alike."""

    model: str | None = None
    stream: bool | None = None


_read_asked = msgspec.json.Decoder(Asked).decode


def asked(body: bytes | None) -> Asked:
    """Return what the request asks for, as far as its body is JSON of a usual length."""
    if not body or len(body) > LOOKED_INTO_BYTES:
        return Asked()
    try:
        return _read_asked(body)
    except (msgspec.DecodeError, RecursionError):
        return Asked()


def recordable(body: bytes | None, content_type: str, length: int | None) -> Any:
    """Return what stands for a body; ``length`` is known even where the body is not."""
    if body is not None and len(body) <= MAX_BODY_BYTES and is_text(content_type):
        return body or None
    return described(content_type, len(body) if body is not None else length)


def described(content_type: str, length: int | None) -> dict[str, str | int] | None:
    """Return the small object that stands for a body which is not recorded."""
    said = {"content_type": content_type, "bytes": length}
    return {name: value for name, value in said.items() if value} or None


def media_type(content_type: str) -> str:
    """Return the type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_text(content_type: str) -> bool:
    """Return whether such a body is recorded; one of no type is taken for JSON."""
    return _IS_TEXT.match(media_type(content_type)) is not None


def is_stream(content_type: str, is_stream_path: bool, status: int) -> bool:
    """Return whether an answer is a stream. An error to a streamed request is plain JSON.

    Gemini without ``alt=sse`` streams an array whose type is JSON, so there the path decides.
    """
    return media_type(content_type) in _STREAM_TYPES or (is_stream_path and status < 400)


def is_complete(stream: bytes) -> bool:
    r"""Return whether a stream that was closed early had said its last word.

    SDKs stop reading at ``data: [DONE]`` and close. Only the beginnings of lines are looked at, where
    a model's text cannot stand: within JSON its newlines are ``\n``, two characters.
    """
    return any(_LAST_WORD.match(line) for line in stream.rsplit(b"\n", _LAST_LINES))


def recorded_url(url: str) -> str:
    """Return the URL without credentials, query, fragment and keys in its path."""
    lead, _, rest, _, _ = split_url(url)
    return lead + cleaned_path(rest)
