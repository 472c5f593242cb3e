"""The wire: what a sender writes and what the daemon answers.

Invariant: every line is one JSON object in UTF-8, ended by one newline, and carries
``protocol_version``. Both sides import these names, so that neither can drift from PROTOCOL.md.
This module does no I/O, and the daemon imports nothing else of the client.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

PROTOCOL_VERSION = 4
"""The version that this client writes."""

SUPPORTED_VERSIONS = (1, 2, 3, 4)
"""The versions that the daemon accepts; senders of 1 to 3 are deployed and are answered nothing."""

DEFAULT_SOCKET = "/run/llmledgerd/llmledgerd.sock"
"""Where the daemon listens and the client connects, unless ``LLMLEDGER_SOCKET`` says otherwise."""

MAX_LINE_BYTES = 128 << 20
"""The default limit of one line, newline excluded."""

MAX_ID_CHARACTERS = 128
"""Longer identifiers are refused: a key that long is a payload in the wrong place."""

ABSENT = Raw(b"null")
"""A payload that was not sent. ``None`` cannot stand here: msgspec refuses ``Raw | None``."""

Outcome = Literal["ok", "error", "cancelled"]


class Billing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who pays for a call, and out of what."""

    plan_type: str | None = None
    cost_source: str | None = None
    customer_id: str | None = None


class LineHead(msgspec.Struct):
    """Which of the five kinds of line a line is; read before anything else of it."""

    protocol_version: Raw | UnsetType = UNSET
    hello: Raw | UnsetType = UNSET
    begin: Raw | UnsetType = UNSET
    dropped: Raw | UnsetType = UNSET
    end: Raw | UnsetType = UNSET


class Record(msgspec.Struct, kw_only=True):
    """What a sender says about one call: one HTTP exchange with a provider.

    Every field but ``protocol_version`` may be absent or null. Versions 1 to 3 know the first
    block, version 2 adds the second, version 4 the rest; a later field in an earlier version is
    read all the same, because no sender means it as anything else.
    """

    protocol_version: int

    provider_trace_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    tags: list[str] | None = None
    type: str | None = None
    request: Raw = ABSENT
    response: Raw = ABSENT
    error: Raw = ABSENT
    timestamp: str | None = None

    source: str | None = None
    error_type: str | None = None
    org_id: str | None = None
    user_id: str | None = None
    compaction_settings: Raw = ABSENT
    llm_config: Raw = ABSENT

    project_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    provider: str | None = None
    model: str | None = None
    is_byok: bool | None = None
    latency_ms: int | float | None = None
    time_to_first_token_ms: int | float | None = None
    attempt: int | float | None = None
    status_code: int | float | None = None
    url: str | None = None
    response_headers: dict[str, str] | None = None
    response_stream: str | None = None
    billing: Billing | None = None
    outcome: Outcome | None = None
    service: str | None = None


class Begin(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A call that starts: who and what, without payloads.

    Should its record never come, the daemon writes a row from this alone.
    """

    provider_trace_id: str
    timestamp: str | None = None
    org_id: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    tags: list[str] | None = None
    type: str | None = None
    provider: str | None = None
    model: str | None = None
    is_byok: bool | None = None
    attempt: int | float | None = None
    url: str | None = None
    source: str | None = None
    billing: Billing | None = None


class End(msgspec.Struct):
    """The session closes; ``taken`` records were handed over in all, dropped ones included."""

    taken: int


class Hello(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The first line of a session.

    ``first`` is the number of the oldest line that the sender still holds, counted from 1.
    ``last`` is the newest that it has written on any connection before: should the daemon have
    forgotten the session, only ``first`` to ``last`` can be repeats, and are asked for by id.
    """

    session: str
    first: int
    last: int | None = None
    client: str = ""
    pid: int = 0
    service: str = ""
    host: str = ""


class Durable(msgspec.Struct, omit_defaults=True):
    """The daemon's word: the first ``durable`` lines of the session are on disk."""

    durable: int
    protocol_version: int | None = None
    max_line_bytes: int | None = None


class Refused(msgspec.Struct):
    """Line ``rejected`` of the session became a dead letter. It counts as durable."""

    rejected: int
    reason: str


class Unsupported(msgspec.Struct):
    """The daemon cannot serve this session, and closes."""

    error: str
    supported: tuple[int, ...] = SUPPORTED_VERSIONS


class Answer(msgspec.Struct):
    """Any line that the daemon writes; the sender reads all kinds through this one."""

    protocol_version: int | None = None
    durable: int | None = None
    max_line_bytes: int | None = None
    rejected: int | None = None
    reason: str | None = None
    error: str | None = None
    supported: list[int] | None = None


_encode = msgspec.json.Encoder().encode


def frame(kind: Literal["hello", "begin", "dropped", "end"], body: Any) -> bytes:
    """Return the line, newline included, of one of the four kinds that are no records."""
    return _encode({"protocol_version": PROTOCOL_VERSION, kind: body}) + b"\n"


def answer(body: Durable | Refused | Unsupported) -> bytes:
    """Return the line, newline included, of one of the daemon's answers."""
    return _encode(body) + b"\n"
