"""What a connection's first line is, and what is known of its session. Pure.

Invariant: only a hello begins a session, and every hello is answered, if only by a refusal, since its
sender waits for that; every other first line, whatever is in it, is the line of a one-way sender, which
is told nothing, and is stored or refused as such.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from llmledger.protocol import PROTOCOL_VERSION, Hello, Unsupported
from llmledgerd import json_text
from llmledgerd.json_text import _readable
from llmledgerd.spool import SessionState

HELLO_BYTES = 8192
"""The longest hello, its newline included."""
TEXT_CHARACTERS = 128
"""Of a hello's service, host and client: names of containers and hosts are shorter."""
INVALID = "invalid_hello"
NEVER = 1 << 62
"""No line of a session has this number."""

OLDER = (b"1", b"2", b"3")
"""Versions that have no hello."""
_VERSION = b"%d" % PROTOCOL_VERSION
_ESCAPED_LETTER = rb"\u006"
"""``h``, ``e``, ``l`` or ``o``, in a name that is written with escapes."""
_MARK = re.compile(json_text.STRING + rb"|[\[\]{}]", re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")
_OLDER_FOLLOWS = re.compile(rb"[123]\s*[,}]")


class HelloLine(msgspec.Struct):
    """The first line of a session, as far as it can be understood."""

    protocol_version: int
    hello: Hello


class MaybeHello(msgspec.Struct):
    """Enough to tell a hello from a record."""

    hello: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    protocol_version: msgspec.Raw = msgspec.Raw(b"null")


def remembered(
    hello: Hello, known: SessionState | None, now_us: int, *, incomplete: bool, forgotten_lines: int = 0
) -> SessionState:
    """Return what is known of a session once it has said hello. Pure.

    ``incomplete``: the spool was damaged, so that an unknown session may be an old one. It may also be one
    that was forgotten for want of room, none of which had more than ``forgotten_lines``.
    """
    durable = known.durable if known else 0
    suspect = known.suspect_until if known else 0
    if known is None or hello.first - 1 > durable:  # its sender was told of lines that this spool never had
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


def is_news(known: SessionState | None, said: SessionState, refresh_us: int) -> bool:
    """Return whether a hello says anything that has to be written down.

    ``refresh_us``: after so long, that the session is alive has.
    """
    if known is None or said.seen_us - known.seen_us >= refresh_us:
        return True
    same = msgspec.structs.replace(said, seen_us=known.seen_us, ended=known.ended)
    return same != known


def _suspect_until(hello: Hello, *, incomplete: bool) -> int:
    """Return the last line that a session may repeat of which the spool knows too little."""
    if hello.last is None:
        return NEVER if hello.first > 1 or incomplete else 0
    return hello.last


def _cut(text: str) -> str:
    """Return as much of a text as is remembered, once in memory however many say it."""
    return sys.intern(text[:TEXT_CHARACTERS])


def read_hello(line: bytes) -> HelloLine | Unsupported | None:
    """Return the hello that a first line is, or what it is to be answered; None for any other line.

    ``line`` may be the beginning of a long one, of more than HELLO_BYTES.
    """
    head = line[:HELLO_BYTES]
    if b'"hello"' not in head and _ESCAPED_LETTER not in head:
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
    return HelloLine(PROTOCOL_VERSION, hello) if _is_sane(hello) else Unsupported(INVALID)


def _refused(head: bytes) -> Unsupported | None:
    """Return the refusal of what begins as a hello does, and is too long or no JSON; else None.

    Its sender waits for an answer, and would for ever.
    """
    hello = False
    for name, start in _members(head):
        if name == "protocol_version" and _OLDER_FOLLOWS.match(head, start):
            return None
        hello = hello or (name == "hello" and head[start : start + 1] == b"{")
    return Unsupported(INVALID) if hello else None


def _members(head: bytes) -> Iterator[tuple[str, int]]:
    """Yield the names of the outermost object's members, and where their values begin; of any bytes."""
    depth = 0
    for mark in _MARK.finditer(head):
        if mark[0] in (b"{", b"["):
            depth += 1
        elif mark[0] in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and (colon := _COLON.match(head, mark.end())):
            with suppress(ValueError):
                yield msgspec.json.decode(json_text.mended(mark[0]), type=str), colon.end()


def _is_sane(hello: Hello) -> bool:
    """Return whether its numbers agree, and fit the spool's integers when they are counted from.

    Whatever comes before ``first`` was written, so that no ``last`` is below it.
    """
    last = hello.first - 1 if hello.last is None else hello.last
    return 0 < hello.first < NEVER and hello.first - 1 <= last < NEVER and 0 <= hello.pid < NEVER
