"""Recognition of a connection's first line, and the state of its session after a hello. Pure.

Invariant: only a hello begins a session. Every hello gets an answer, possibly a refusal, because its
sender waits for one. Every other first line belongs to a one-way sender: the daemon writes nothing back, and
stores or rejects the line like any other.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from llmledger.protocol import MAX_NUMBER, PROTOCOL_VERSION, Hello, Unsupported
from llmledgerd import json_text
from llmledgerd.json_text import _readable
from llmledgerd.spool import SessionState

HELLO_BYTES = 8192
"""The longest hello, its newline included."""
TEXT_CHARACTERS = 128
"""Limit of the stored ``service``, ``host`` and ``client``. Names of containers and hosts are shorter."""
INVALID = "invalid_hello"
NEVER = MAX_NUMBER + 1
"""Line number above that of any line of a session."""

OLDER = (b"1", b"2", b"3")
"""Versions that have no hello."""
_VERSION = b"%d" % PROTOCOL_VERSION
_ESCAPED_LETTER = rb"\u006"
"""Start of an escaped ``h``, ``e``, ``l`` or ``o``, in a key that is written with escapes."""
_MARK = re.compile(json_text.STRING + rb"|[\[\]{}]", re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")
_OLDER_FOLLOWS = re.compile(rb"[123]\s*[,}]")


class HelloLine(msgspec.Struct):
    """First line of a session, decoded."""

    protocol_version: int
    hello: Hello


class MaybeHello(msgspec.Struct):
    """Keys that distinguish a hello from a record."""

    hello: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    protocol_version: msgspec.Raw = msgspec.Raw(b"null")


def remembered(
    hello: Hello, known: SessionState | None, now_us: int, *, incomplete: bool, forgotten_lines: int = 0
) -> SessionState:
    """Return the state of a session after its hello. Pure.

    ``incomplete``: the spool was damaged, so an unknown session may be an old one. It may also be one that
    was evicted, none of which had more than ``forgotten_lines`` lines.
    """
    durable = known.durable if known else 0
    suspect = known.suspect_until if known else 0
    if known is None or hello.first - 1 > durable:  # lines were acknowledged that this spool never had
        suspect = max(suspect, _suspect_until(hello, incomplete=incomplete))
    if known is None and hello.last is None:
        suspect = max(suspect, forgotten_lines)
    return SessionState(
        durable=max(durable, hello.first - 1),
        seen_us=now_us,
        service=_cut(hello.service),
        host=_cut(hello.host),
        client=_cut(hello.client),
        pid=hello.pid,
        suspect_until=suspect,
    )


def is_changed(known: SessionState | None, said: SessionState, refresh_us: int) -> bool:
    """Return whether a hello changes the stored state of its session.

    After ``refresh_us``, the time of the last hello counts as a change.
    """
    if known is None or said.seen_us - known.seen_us >= refresh_us:
        return True
    same = msgspec.structs.replace(said, seen_us=known.seen_us, ended=known.ended)
    return same != known


def _suspect_until(hello: Hello, *, incomplete: bool) -> int:
    """Return the last line that may be a repeat which the spool cannot recognize."""
    if hello.last is None:
        return NEVER if hello.first > 1 or incomplete else 0
    return hello.last


def _cut(text: str) -> str:
    """Return the stored part of a text, interned, because many sessions have the same."""
    return sys.intern(text[:TEXT_CHARACTERS])


def may_be_hello(head: bytes) -> bool:
    """Return whether the first bytes of a connection can be a hello's; a guess that is never wrongly no."""
    return b'"hello"' in head or _ESCAPED_LETTER in head


def read_hello(line: bytes) -> HelloLine | Unsupported | None:
    """Return the hello in a first line, or the refusal to answer; None if the line is not a hello.

    ``line`` may be the first part of a line longer than HELLO_BYTES.
    """
    head = line[:HELLO_BYTES]
    if not may_be_hello(head):
        return None
    if len(line) > HELLO_BYTES:
        return _refused(head)
    try:
        text = _readable(line)
        maybe = msgspec.json.decode(text, type=MaybeHello)
    except (ValueError, RecursionError):
        return _refused(line)
    version = bytes(maybe.protocol_version)
    if maybe.hello is msgspec.UNSET or bytes(maybe.hello) == b"null" or version in OLDER:
        return None  # null is absent; to an older sender it is a field like any other unknown one
    if version != _VERSION:
        return Unsupported("unsupported_protocol_version")
    try:
        hello = msgspec.json.decode(maybe.hello, type=Hello)
        uuid.UUID(hello.session)
    except (ValueError, RecursionError):
        return Unsupported(INVALID)
    if hello.last is not None and hello.last < hello.first - 1:  # all lines before ``first`` were written
        return Unsupported(INVALID)
    return HelloLine(PROTOCOL_VERSION, hello)


def _refused(head: bytes) -> Unsupported | None:
    """Return the refusal of a hello that is too long or not JSON; None for other lines.

    Without an answer its sender would wait forever.
    """
    hello = False
    for name, start in _members(head):
        if name == "protocol_version" and _OLDER_FOLLOWS.match(head, start):
            return None
        hello = hello or (name == "hello" and head[start : start + 1] == b"{")
    return Unsupported(INVALID) if hello else None


def _members(head: bytes) -> Iterator[tuple[str, int]]:
    """Yield the keys of the outermost object and the offsets of their values, for any bytes."""
    depth = 0
    for mark in _MARK.finditer(head):
        if mark[0] in (b"{", b"["):
            depth += 1
        elif mark[0] in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and (colon := _COLON.match(head, mark.end())):
            with suppress(ValueError):
                yield msgspec.json.decode(json_text.mended(mark[0]), type=str), colon.end()
