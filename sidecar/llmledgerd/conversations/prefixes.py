"""Beginnings of requests that were read before. Agents send their history again with every step.

Invariant: what is remembered changes no result, since a beginning is taken only where its bytes are equal, and the
parts of a message follow from its own bytes. Memory is bounded (``MOST_BYTES``), and a request that is sent once
costs a hash of its bytes. Safe between threads.

A beginning is remembered up to the message before one of some offsets, when it was sent twice. Another request that
begins with it is read without those messages: a sentinel stands for them.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from threading import Lock
from typing import Any, Final

import msgspec
import xxhash
from msgspec import Raw

from llmledgerd.conversations.kept import Kept
from llmledgerd.conversations.parts import Part

LEAST_BYTES: Final = 4 << 10
"""Size from which a beginning is remembered: what is shorter is read faster than it is found."""
MOST_BYTES: Final = 32 << 20
"""Limit of what all beginnings take, about."""

_LONGEST: Final = 4 << 20
_MOST_SEEN: Final = 16 << 10
SENTINEL: Final = f"read before {secrets.token_hex(16)}"
"""Made anew by each process, so that no request has it."""
_SENTINEL: Final = msgspec.json.encode(SENTINEL) + b","
_SPACE: Final = b" \t\r\n"


def _offsets() -> tuple[int, ...]:
    """Return the offsets that are looked at: each at most an eighth, or ``LEAST_BYTES``, behind the one before."""
    found = [LEAST_BYTES]
    while found[-1] < _LONGEST:
        found.append(found[-1] + max(LEAST_BYTES, found[-1] // 8))
    return tuple(found)


_OFFSETS: Final = _offsets()


class Prefix(msgspec.Struct, frozen=True, gc=False):
    """The beginning of a request, up to the comma behind one of its messages."""

    text: bytes
    head: bytes
    """What stands before the first message."""
    messages: int
    """Number of messages."""
    parts: list[Part]
    """Their parts. Never to be changed."""
    notes: dict[Any, Any] = {}
    """``Request.notes`` of the requests that begin so. Its writers bound it."""

    def rest(self, request: bytes | memoryview) -> bytes:
        """Return the request with the sentinel in place of the messages."""
        return b"%b%b%b" % (self.head, _SENTINEL, bytes(request[len(self.text) :]))


_ABSENT: Final = Raw(b"null")


class _Root(msgspec.Struct, gc=False):
    messages: Raw = _ABSENT
    contents: Raw = _ABSENT
    input: Raw = _ABSENT


_decode = msgspec.json.Decoder(_Root).decode
_listed = msgspec.json.Decoder(list[Raw]).decode


def _messages(request: bytes) -> list[Raw]:
    """Return a request's messages, of the first member that has them."""
    root = _decode(request)
    said = (one for one in (root.messages, root.contents, root.input) if bytes(one) != b"null")
    return _listed(next(said, b"[]"))


class Prefixes:
    """The beginnings that are remembered."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._known: Kept[Prefix | None] = Kept(most_bytes)
        """By the hash of the request up to an offset; None where no message ends that a shorter beginning does not
        have."""
        self._seen: dict[int, None] = {}
        self._lock = Lock()

    @property
    def size(self) -> int:
        """About how many bytes all of it takes."""
        return self._known.size

    def find(self, request: bytes | memoryview) -> tuple[Prefix | None, list[int]]:
        """Return the longest known beginning, and the request's hashes up to each offset, for ``learn``."""
        hashes = _hashes(request)
        for key in reversed(hashes):
            found = self._known.get(key)
            if found is None:
                continue
            text = found.text
            if (
                request.startswith(text)
                if isinstance(request, bytes)
                else request[: len(text)].tobytes() == text
            ):
                return found, hashes
        return None, hashes

    def learn(
        self, request: bytes | memoryview, hashes: list[int], known: Prefix | None, parts: list[Part]
    ) -> None:
        """Remember what of a request was seen for the second time; ``parts`` are those of its messages."""
        at = len(hashes)
        while at and hashes[at - 1] not in self._seen:
            at -= 1
        if at < len(hashes):
            with self._lock:
                if len(self._seen) > _MOST_SEEN:
                    self._seen.clear()
                self._seen.update(dict.fromkeys(hashes))
        if not at or hashes[at - 1] in self._known:
            return
        self._keep(hashes[at - 1], _cut(bytes(request), _OFFSETS[at - 1], known, parts))

    def _keep(self, key: int, found: Prefix | None) -> None:
        if found is None or not self._known.put(key, found, found.text):
            self._known.put(key, None, b"")


def _hashes(request: bytes | memoryview) -> list[int]:
    """Return a hash of the request up to each offset within it."""
    found: list[int] = []
    view, before, key = memoryview(request), 0, 0
    for offset in _OFFSETS[: bisect_right(_OFFSETS, len(request))]:
        key = xxhash.xxh3_64_intdigest(view[before:offset], key)
        before = offset
        found.append(key)
    return found


def _cut(request: bytes, most: int, known: Prefix | None, parts: list[Part]) -> Prefix | None:
    """Return the request's beginning of at most so many bytes; None where it has no more messages than is known."""
    whole = request if known is None else known.rest(request)
    try:
        messages = _messages(whole)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    if known is None:
        at = start = request.find(messages[0]) if messages else -1
        count = 0
    else:
        at, start, count = len(known.text), len(known.head), known.messages
        del messages[:1]
        at = _after_space(request, at)
    end = 0
    for message in messages:
        behind = _after_space(request, at + len(message))
        if (
            behind >= most
            or request[behind : behind + 1] != b","
            or not request.startswith(bytes(message), at)
        ):
            break
        count += 1
        end = behind + 1
        at = _after_space(request, end)
    begun = [part for part in parts if part.message < count] if end else []
    if not begun or begun[-1].mark:  # which may be the next message's
        return None
    return Prefix(request[:end], request[:start], count, begun)


def _after_space(text: bytes, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
