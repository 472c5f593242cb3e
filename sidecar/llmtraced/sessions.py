"""What a connection's first line is, and what is known of its session. Pure.

Invariant: only a hello begins a session; every other first line, whatever is in it, is the line of a
one-way sender and is stored or refused as such.
"""

from __future__ import annotations

import sys
import uuid

import msgspec

from llmtrace.protocol import PROTOCOL_VERSION, Hello, Unsupported
from llmtraced.spool import SessionState

HELLO_BYTES = 8192
TEXT_CHARACTERS = 128
"""Of a hello's service, host and client: names of containers and hosts are shorter."""
NEVER = 1 << 62
"""No line of a session has this number."""


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
    # Whatever comes before ``first`` was written. A smaller ``last`` is wrong, and bounds nothing.
    return NEVER if hello.last < hello.first - 1 else hello.last


def _cut(text: str) -> str:
    """Return as much of a text as is remembered, once in memory however many say it."""
    return sys.intern(text[:TEXT_CHARACTERS])


def read_hello(line: bytes) -> HelloLine | Unsupported | None:
    """Return the hello that a first line is, or what it is to be answered; None for any other line."""
    if len(line) > HELLO_BYTES or b'"hello"' not in line:
        return None
    try:
        maybe = msgspec.json.decode(line, type=MaybeHello)
        version = msgspec.json.decode(maybe.protocol_version)
    except (ValueError, RecursionError):
        return None
    if maybe.hello is msgspec.UNSET or version in (1, 2, 3):
        return None  # to an older sender it is a field like any other unknown one
    if version != PROTOCOL_VERSION:
        return Unsupported("unsupported_protocol_version")
    try:
        hello = msgspec.json.decode(line, type=HelloLine)
        uuid.UUID(hello.hello.session)
    except (ValueError, RecursionError):
        return Unsupported("invalid_hello")
    return hello if _is_sane(hello.hello) else Unsupported("invalid_hello")


def _is_sane(hello: Hello) -> bool:
    """Return whether its numbers are such that what is counted from them fits the spool's integers."""
    return 1 <= hello.first < NEVER and all(abs(number) < NEVER for number in (hello.last or 0, hello.pid))


def is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True
