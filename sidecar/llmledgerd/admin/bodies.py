"""Requests that change data: their bodies, and who sends them.

Invariant: a body says each thing once and leaves nothing to guess, because it decides what is changed.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from llmledgerd.ingest import peer_credentials

T = TypeVar("T")


def decoded(body: bytes, kind: type[T]) -> T:
    """Parse a body. Raises ValueError, also for duplicate members and for null."""
    try:
        json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    return msgspec.json.decode(body, type=kind)


def _once(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) != len(members):
        raise ValueError("duplicate member")
    for name, value in members:
        if value is None:  # a template that lost its value must not widen what is changed
            raise ValueError(f"`{name}` is null; omit it")


def peer(request: web.Request) -> str:
    """Return the peer of a Unix socket, for the log."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    found = None if sock is None else peer_credentials.of(sock)
    return "unknown user" if found is None else f"uid {found.uid} pid {found.pid}"
