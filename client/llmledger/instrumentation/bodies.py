"""Recorded form of bodies. Pure.

Invariants:
- JSON and text are recorded unchanged, by reference, without another encoding.
- A body that is not text (audio, an image) or exceeds the limit is replaced by a small object,
  ``{"content_type": …, "bytes": …}``. Of an upload the form's fields are recorded (``forms``).
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
"""Limit of requests that are parsed for their ``stream`` field: skipping that much JSON takes a millisecond."""

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
"""Final event of OpenAI's chat streams and of compatible ones."""

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
"""Final events: OpenAI Chat and compatible; Anthropic, Responses, Cohere, Bedrock; the same unnamed; errors; Ollama."""

_LAST_LINES: Final = 8
"""Events searched from the end: some providers send usage, or an empty event, after the final one."""


class RequestFacts(msgspec.Struct):
    """Top-level fields of a request, which are the same for all providers."""

    model: str | None = None
    stream: bool | None = None


_decode_facts = msgspec.json.Decoder(RequestFacts).decode


def asked(body: bytes | None) -> RequestFacts:
    """Return the fields of a request, if its body is JSON within the length limit."""
    if not body or len(body) > LOOKED_INTO_BYTES:
        return RequestFacts()
    try:
        return _decode_facts(body)
    except (msgspec.DecodeError, RecursionError):
        return RequestFacts()


def recordable(body: bytes | None, content_type: str, length: int | None) -> Any:
    """Return the recorded form of a body; ``length`` may be known without the body."""
    if body is not None and len(body) <= MAX_BODY_BYTES and is_text(content_type):
        return body or None
    return described(content_type, len(body) if body is not None else length)


def described(content_type: str, length: int | None) -> dict[str, str | int] | None:
    """Return the small object that replaces an unrecorded body."""
    said = {"content_type": content_type, "bytes": length}
    return {name: value for name, value in said.items() if value} or None


def media_type(content_type: str) -> str:
    """Return the type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_text(content_type: str) -> bool:
    """Return whether such a body is recorded; a missing type counts as JSON."""
    return _IS_TEXT.match(media_type(content_type)) is not None


def is_stream(content_type: str, is_stream_path: bool, status: int) -> bool:
    """Return whether a response is a stream. The error of a streamed request is plain JSON.

    Gemini without ``alt=sse`` streams an array with the type JSON, so there the path decides.
    """
    return media_type(content_type) in _STREAM_TYPES or (is_stream_path and status < 400)


def is_complete(stream: bytes) -> bool:
    r"""Return whether a stream that was closed early contains its final event.

    SDKs stop reading at ``data: [DONE]`` and close. Only the starts of lines are matched, which a
    model's text cannot forge: within JSON its newlines are ``\n``, two characters.
    """
    return any(_LAST_WORD.match(line) for line in stream.rsplit(b"\n", _LAST_LINES))


def recorded_url(url: str) -> str:
    """Return the URL without credentials, query, fragment and keys in its path."""
    lead, _, rest, _, _ = split_url(url)
    return lead + cleaned_path(rest)
