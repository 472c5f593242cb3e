"""Extraction of the model from a request.

Invariant: the result is that of decoding the whole request, except for requests with two models, which
RFC 8259 leaves undefined. Requests are the largest part of most records, so the usual places are searched
first: the first member, as in most hand-written requests, and the last few kilobytes, where OpenAI's and
Anthropic's SDKs put it.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from msgspec import Raw

from llmledgerd.json_text import TooMuch
from llmledgerd.usage.decode import REFUSED, Json, items, members, text
from llmledgerd.usage.response_fields import ABSENT

FIRST_MEMBER = re.compile(rb'\s*\{\s*"model"\s*:\s*"([^"\\]*)"\s*[,}]')
KEY = b'"model"'
FIRST = b'{"model":'
FIRST_BYTES = len(FIRST)
"""The first member as encoders write it; to search so few bytes for the name takes longer than to compare."""
NEAR_THE_START = 16
"""Bytes in which the first member's name stands, white space included."""

LONGEST_HEAD = 256
REMEMBERED_HEADS = 1024
"""Size of the cache of request heads: few models are requested many times."""

TAIL_BYTES = 4096
"""Bytes at the end in which the model is searched; tools may follow it."""

OTHER_NAMES = ("model", "model_id", "modelId", "agent")
"""watsonx, Bedrock's batches, Interactions."""


class RequestHead(msgspec.Struct, gc=False):
    """Fields read from a request."""

    model: str | None = None
    model_id: str | None = None
    bedrock_model_id: str | None = msgspec.field(default=None, name="modelId")
    agent: str | None = None
    requests: Raw = ABSENT


_decode = msgspec.json.Decoder(RequestHead).decode


def model_of(request: bytes | memoryview) -> str:
    """Return the model's name, or "" without one."""
    if not request:
        return ""
    if isinstance(request, memoryview):  # a large request: only its ends are copied
        ends = bytes(request[:LONGEST_HEAD]), bytes(request[-TAIL_BYTES:])
        return _first_member(ends[0]) or _in_tail(ends[1]) or _in_all(request)
    name = ""
    if request[:FIRST_BYTES] == FIRST:
        end = request.find(b'",', FIRST_BYTES, LONGEST_HEAD)
        name = _remembered(request[: end + 2])
    elif KEY in request[:NEAR_THE_START]:
        name = _first_member(request)
    return name or _in_tail(request) or _in_all(request)


SEVERAL = re.compile(rb'"n"\s*:\s*(?:[2-9]|[1-9]\d)')


class RequestedChoices(msgspec.Struct, gc=False):
    """How many answers a request asks for."""

    n: int | None = None


_decode_choices = msgspec.json.Decoder(RequestedChoices).decode


def choices_of(request: bytes | memoryview) -> int:
    """Return how many choices a request of Chat Completions asks for."""
    if not SEVERAL.search(request):
        return 1
    try:
        return _decode_choices(request).n or 1
    except REFUSED:
        return 1


def _first_member(request: bytes) -> str:
    found = FIRST_MEMBER.match(request)
    return found[1].decode() if found and found[1].isascii() else ""


_remembered = lru_cache(REMEMBERED_HEADS)(_first_member)


def _in_tail(request: bytes) -> str:
    """Return the last ``model`` of the root where it stands near the end; "" otherwise.

    Sound because the request is known to be JSON: a quote that no backslash precedes and that a
    name follows opens a string, so what follows is tokens; and if these, with a brace put before
    them, are one whole object, then they close the root and nothing else.
    """
    start = request.rfind(KEY, max(0, len(request) - TAIL_BYTES))
    if start <= 0 or request[start - 1 : start] == b"\\":
        return ""
    try:
        return _decode(b"{" + request[start:]).model or ""
    except REFUSED:
        return ""


def _in_all(request: bytes | memoryview) -> str:
    try:
        head = _decode(request)
    except REFUSED:
        return _in_members(request)
    return head.model or head.model_id or head.bedrock_model_id or head.agent or _of_first(head.requests)


def _of_first(requests: Json) -> str:
    """Return the model of the first of Gemini's batch of embeddings, which are all for one model."""
    return text(members(next(iter(items(requests)), b"")).get("model")) if requests else ""


def _in_members(request: bytes | memoryview) -> str:
    try:
        found = members(request)
    except TooMuch:  # its model alone is not worth what else the exchange says
        return ""
    named = next((name for key in OTHER_NAMES if (name := text(found.get(key)))), "")
    return named or _of_first(found.get("requests", b""))
