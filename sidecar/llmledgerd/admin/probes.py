"""Requests that are recognized by their bytes: health checks and scrapes, so that they need no HTTP server. Pure.

Invariants:
- Any bytes are either exactly one request without a body for one of PATHS, written as in RFC 9112, or not a probe. What
  is not a probe is the HTTP server's, which alone judges what is wrong with it.
- However bytes are cut, each is looked at at most once for each of the MOST_FIELDS lines that may follow.

Source: RFC 9112, "Message Format", "Request Line", "Field Syntax"; RFC 9110, "Tokens", "Date".
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Final

import msgspec

PATHS: Final = ("/healthz", "/readyz", "/metrics")
MOST_BYTES: Final = 4096
"""Limit of a probe's head. Prometheus sends 300 bytes, with a token 400."""
MOST_FIELDS: Final = 64
"""Limit of a probe's header fields; half of the HTTP server's."""

DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
"""Format of dates. Its names are English, because the daemon sets no locale."""

_END: Final = b"\r\n\r\n"
_STARTS: Final = tuple(f"{method} {path} HTTP/1.".encode() for method in ("GET", "HEAD") for path in PATHS)
_FIELD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n"
_LINES: Final = (
    rf"(GET|HEAD) ({'|'.join(PATHS)}) HTTP/(1\.[01])\r\n((?:{_FIELD}){{0,{MOST_FIELDS}}})".encode()
)
_BEGUN: Final = re.compile(_LINES)
_HEAD: Final = re.compile(_LINES + rb"\r\n")
_NOT_OF_A_PROBE: Final = {"transfer-encoding", "content-encoding", "trailer", "upgrade", "expect"}
"""Fields that announce a body, or another answer than that to a plain GET."""


class Probe(msgspec.Struct, frozen=True):
    """A request for one of PATHS."""

    path: str
    is_head: bool
    """Whether the answer has no body."""
    version: str
    """HTTP version, 1.0 or 1.1."""
    authorization: str = ""
    accept: str = ""


class Answer(msgspec.Struct, frozen=True):
    """Answer to a probe."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    wants_token: bool = False
    """Whether the request lacks a token that would change the answer."""

    def headers(self) -> dict[str, str]:
        """Return the header fields that do not depend on the connection."""
        found = {"Content-Type": self.content_type}
        if self.wants_token:
            found["WWW-Authenticate"] = "Bearer"
        return found


def may_become_one(read: bytes, known: int) -> bool:
    """Return whether the beginning of a request may be that of a probe that further bytes complete.

    ``known`` is the number of bytes of which this was asked, and true, before.
    """
    if len(read) >= MOST_BYTES or _END in read[max(0, known - len(_END) + 1) :]:
        return False
    if b"\n" in read[known:]:
        return _BEGUN.fullmatch(read[: read.rindex(b"\n") + 1]) is not None
    return any(start.startswith(read[: len(start)]) for start in _STARTS)


def probe_of(read: bytes) -> Probe | None:
    """Return the probe that these bytes are, from the first to the last; None if they are anything else."""
    found = _HEAD.fullmatch(read) if len(read) <= MOST_BYTES else None
    if found is None:
        return None
    method, path, version, lines = (part.decode() for part in found.groups())
    named = [line.partition(":") for line in lines.splitlines()]
    fields = {name.lower(): value.strip(" \t") for name, _, value in named}
    is_plain = len(fields) == len(named) and not fields.keys() & _NOT_OF_A_PROBE
    has_host = "host" in fields or version == "1.0"
    if not (is_plain and has_host and fields.get("content-length", "0") == "0"):
        return None
    return Probe(path, method == "HEAD", version, fields.get("authorization", ""), fields.get("accept", ""))


def response(probe: Probe, answer: Answer, now: float) -> bytes:
    """Return the bytes of the answer, after which the connection is closed. ``now`` is in seconds of Unix time."""
    fields = {
        **answer.headers(),
        "Content-Length": str(len(answer.body)),
        "Date": time.strftime(DATE, time.gmtime(now)),
        "Connection": "close",
    }
    lines = [f"HTTP/{probe.version} {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join((*lines, "", "")).encode()
    return head if probe.is_head else head + answer.body
