"""Wire protocol: the lines of senders and the daemon's answers.

Invariant: every line is one JSON object in UTF-8, terminated by one newline, with a
``protocol_version``. Both sides import these types, so that neither can drift from PROTOCOL.md.
This module does no I/O, and the daemon imports no other module of the client.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

PROTOCOL_VERSION = 4
"""Protocol version of this client."""

SUPPORTED_VERSIONS = (1, 2, 3, 4)
"""Protocol versions that the daemon accepts; senders of 1 to 3 are deployed and get no answers."""

DEFAULT_SOCKET = "/run/llmledgerd/llmledgerd.sock"
"""Default socket of daemon and client; ``LLMLEDGER_SOCKET`` overrides it."""

MAX_LINE_BYTES = 128 << 20
"""Default limit of one line in bytes, without its newline."""

MAX_ID_CHARACTERS = 128
"""Limit of identifiers, amounts as text and sources: a longer one is a payload in the wrong field."""

ABSENT = Raw(b"null")
"""Default of a missing payload. It is not ``None``, because msgspec refuses ``Raw | None``."""

Outcome = Literal["ok", "error", "cancelled"]


class Billing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Billing of a call."""

    plan_type: str | None = None
    cost_source: str | None = None
    customer_id: str | None = None


class LineHead(msgspec.Struct):
    """Keys that determine which of the five kinds a line is; decoded first."""

    protocol_version: Raw | UnsetType = UNSET
    hello: Raw | UnsetType = UNSET
    begin: Raw | UnsetType = UNSET
    dropped: Raw | UnsetType = UNSET
    end: Raw | UnsetType = UNSET


class Record(msgspec.Struct, kw_only=True):
    """Record of one call: one HTTP exchange with a provider.

    Every field except ``protocol_version`` may be absent or null. Versions 1 to 3 have the first
    block, version 2 adds the second, version 4 the rest; a later field in an earlier version is
    accepted, because it has no other meaning there.
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
    cost_usd: str | int | float | None = None
    cost_source: str | None = None


class Begin(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Announcement of a call that starts, without payloads.

    If its record never arrives, the daemon writes a row from this alone.
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
    """End of the session; ``taken`` is the total of its records, including dropped ones."""

    taken: int


class Hello(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Handshake: the first line of a connection.

    ``first`` is the number of the oldest line that the sender still holds, counted from 1.
    ``last`` is the newest line that it has written on any connection: if the daemon has forgotten
    the session, only ``first`` to ``last`` can be duplicates, and are looked up by id.
    """

    session: str
    first: int
    last: int | None = None
    client: str = ""
    pid: int = 0
    service: str = ""
    host: str = ""


class Durable(msgspec.Struct, omit_defaults=True):
    """Acknowledgment: the first ``durable`` lines of the session are on disk."""

    durable: int
    protocol_version: int | None = None
    max_line_bytes: int | None = None


class Refused(msgspec.Struct):
    """Line ``rejected`` of the session became a dead letter. It counts as durable."""

    rejected: int
    reason: str


class Unsupported(msgspec.Struct):
    """The daemon does not support this session's protocol version, and closes."""

    error: str
    supported: tuple[int, ...] = SUPPORTED_VERSIONS


class Answer(msgspec.Struct):
    """Union of the daemon's answers, which the sender decodes."""

    protocol_version: int | None = None
    durable: int | None = None
    max_line_bytes: int | None = None
    rejected: int | None = None
    reason: str | None = None
    error: str | None = None
    supported: list[int] | None = None


_encode = msgspec.json.Encoder().encode


def frame(kind: Literal["hello", "begin", "dropped", "end"], body: Any) -> bytes:
    """Return a control line of one of the four kinds, with its newline."""
    return _encode({"protocol_version": PROTOCOL_VERSION, kind: body}) + b"\n"


def answer(body: Durable | Refused | Unsupported) -> bytes:
    """Return an answer of the daemon as a line, with its newline."""
    return _encode(body) + b"\n"
