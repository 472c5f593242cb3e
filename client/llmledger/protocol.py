"""Wire protocol: the lines of senders and the daemon's answers.

Invariant: every line is one JSON object in UTF-8, terminated by one newline, with a
``protocol_version``. A field is declared here and nowhere else: its type, its limits and its meaning are
what the daemon's parsing, the JSON Schema, the tables of PROTOCOL.md and the masking of identifiers
derive from. This module does no I/O, and the daemon imports no other module of the client.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, Raw

Version = Literal[1, 2, 3, 4]

PROTOCOL_VERSION: Final = 4
"""Protocol version of this client."""

SUPPORTED_VERSIONS: Final[tuple[int, ...]] = get_args(Version)
"""Protocol versions that the daemon accepts; senders of 1 to 3 are deployed and get no answers."""

DEFAULT_SOCKET = "/run/llmledgerd/llmledgerd.sock"
"""Default socket of daemon and client; ``LLMLEDGER_SOCKET`` overrides it."""

MAX_LINE_BYTES = 128 << 20
"""Default limit of one line in bytes, without its newline."""

MAX_ID_CHARACTERS = 128
"""Limit of identifiers, amounts as text and sources: a longer one is a payload in the wrong field."""

ABSENT = Raw(b"null")
"""Default of a missing payload. It is not ``None``, because msgspec refuses ``Raw | None``."""

MAX_NUMBER: Final = (1 << 62) - 1
"""Limit of the integers in a hello, so that a sum of two fits 64 bits."""

Outcome = Literal["ok", "error", "cancelled"]

Id = Annotated[str, Meta(max_length=MAX_ID_CHARACTERS)]
"""Identifier by which calls are found. Redaction never changes it."""

CallId = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]

Label = Annotated[str, Meta(extra={"is_label": True})]
"""Text by which calls are dated, priced and summed. Redaction removes secrets from it, and nothing else."""

Source = Annotated[str, Meta(max_length=MAX_ID_CHARACTERS, extra={"is_label": True})]
"""Label of limited length."""

Measure = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
"""Number of a call. A value above its column's maximum is clamped and counted."""

Amount = Source | Measure
"""Amount of money. Text keeps all digits; text that is no amount is ignored, and refuses no line."""

Count = Annotated[int, Meta(ge=0)]

Counts = dict[str, Count]
"""The sender's own losses since its last report: the number of records by reason."""

Integer = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]

Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
"""Number of a line in its session, from 1."""


def _since(version: int, meaning: str) -> Meta:
    """Return the documentation of a field: the first version that has it, and its meaning."""
    return Meta(description=meaning, extra={"since": version})


class Billing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Billing of a call."""

    plan_type: Label | None = None
    cost_source: Label | None = None
    customer_id: Id | None = None


class Record(msgspec.Struct, kw_only=True):
    """Record of one call: one HTTP exchange with a provider.

    Every field except ``protocol_version`` may be absent or null. A later field in an earlier version
    is accepted, because it has no other meaning there.
    """

    protocol_version: Annotated[Version, _since(1, "required")]

    provider_trace_id: Annotated[
        CallId | None,
        _since(
            1,
            "the call's id, normally a UUID; the daemon removes the prefix `provider_trace-`. Absent: derived from "
            "the line's bytes, so that a repeated line has the same id",
        ),
    ] = None
    agent_id: Annotated[Id | None, _since(1, "the agent that made the call")] = None
    run_id: Annotated[Id | None, _since(1, "the run that the call is part of")] = None
    step_id: Annotated[Id | None, _since(1, "the step that the call is part of")] = None
    tags: Annotated[list[str] | None, _since(1, "labels of the agent")] = None
    type: Annotated[
        Label | None, _since(1, "`agent_step` (the default), `summarization`, `embedding`, …")
    ] = None
    request: Annotated[Raw, _since(1, "the body of the request")] = ABSENT
    response: Annotated[Raw, _since(1, "the body of the reply; null if there was none")] = ABSENT
    error: Annotated[Raw, _since(1, "the error, a string; null or absent: no error")] = ABSENT
    timestamp: Annotated[Label | None, _since(1, "the start of the call, ISO 8601; without a zone: UTC")] = (
        None
    )

    source: Annotated[Label | None, _since(2, "the component that sent the record")] = None
    error_type: Annotated[Label | None, _since(2, "a stable word for the kind of error")] = None
    org_id: Annotated[Id | None, _since(2, "the organization that the call is billed to")] = None
    user_id: Annotated[Id | None, _since(2, "the user that the call was made for")] = None
    compaction_settings: Annotated[Raw, _since(2, "an object, for summarization calls")] = ABSENT
    llm_config: Annotated[
        Raw,
        _since(
            2,
            "an object, for other calls; `model`, `model_endpoint_type`, `model_endpoint` (instead of `url`) and"
            " `provider_category` are read",
        ),
    ] = ABSENT

    project_id: Annotated[Id | None, _since(4, "the project that the call is billed to")] = None
    trace_id: Annotated[Id | None, _since(4, "OpenTelemetry's, in hexadecimal")] = None
    span_id: Annotated[Id | None, _since(4, "OpenTelemetry's, in hexadecimal")] = None
    provider: Annotated[Label | None, _since(4, "absent: derived from URL and payloads")] = None
    model: Annotated[Label | None, _since(4, "absent: derived from the payloads")] = None
    is_byok: Annotated[bool | None, _since(4, "true: called with the customer's own key")] = None
    latency_ms: Annotated[
        Measure | None,
        _since(4, "milliseconds from the start of the request to the last byte of the reply"),
    ] = None
    time_to_first_token_ms: Annotated[
        Measure | None, _since(4, "milliseconds from the start of the request to the first token")
    ] = None
    attempt: Annotated[Measure | None, _since(4, "number of the attempt among an SDK's retries, from 1")] = (
        None
    )
    status_code: Annotated[Measure | None, _since(4, "HTTP status")] = None
    url: Annotated[str | None, _since(4, "URL of the endpoint, without query and credentials")] = None
    response_headers: Annotated[
        dict[str, str] | None,
        _since(4, "headers that carry usage, request ids and limits; never credentials"),
    ] = None
    response_stream: Annotated[
        str | None,
        _since(4, "the raw text of a streamed reply (SSE, NDJSON or a JSON array), instead of `response`"),
    ] = None
    billing: Annotated[
        Billing | None, _since(4, "`plan_type` and `cost_source`, strings, and `customer_id`, an identifier")
    ] = None
    outcome: Annotated[Outcome | None, _since(4, "how the call ended; absent: `ok`")] = None
    service: Annotated[Label | None, _since(4, "name of the application; if absent, the session's")] = None
    may_repeat: Annotated[
        bool | None,
        _since(
            4,
            "true: the id is derived from the provider's own, so that a record with it may have been sent before, "
            "by anybody; only the first one of its organization is a row",
        ),
    ] = None
    cost_usd: Annotated[
        Amount | None,
        _since(4, "the sender's own cost of the call in US dollars; kept apart from the daemon's"),
    ] = None
    cost_source: Annotated[Source | None, _since(4, "where that cost comes from")] = None


class Begin(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Announcement of a call that starts, without payloads.

    If its record never arrives, the daemon writes a row from this alone. Fields mean what they mean in
    ``Record``.
    """

    provider_trace_id: CallId
    timestamp: Label | None = None
    org_id: Id | None = None
    project_id: Id | None = None
    user_id: Id | None = None
    agent_id: Id | None = None
    run_id: Id | None = None
    step_id: Id | None = None
    trace_id: Id | None = None
    span_id: Id | None = None
    tags: list[str] | None = None
    type: Label | None = None
    provider: Label | None = None
    model: Label | None = None
    is_byok: bool | None = None
    attempt: Measure | None = None
    url: str | None = None
    source: Label | None = None
    error_type: Label | None = None
    """What the row says instead of ``abandoned``, as ``pending`` of a background response."""
    billing: Billing | None = None


class End(msgspec.Struct):
    """End of the session; ``taken`` is the total of its records, including dropped ones."""

    taken: Count


class Hello(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Handshake: the first line of a connection."""

    session: Annotated[str, _since(4, "a UUID")]
    first: Annotated[
        Number,
        _since(
            4,
            "the number of the oldest line that the sender still holds, or of its next line if it holds none",
        ),
    ]
    last: Annotated[
        Integer | None,
        _since(
            4,
            "the number of the newest line of which the sender has written any part on an earlier connection; absent "
            "on the first connection. If the daemon has forgotten the session, only lines up to this number can be "
            "repeats, and the daemon looks them up in its store by id, regardless of `first`. `last` is never below "
            "`first` minus 1. If a sender that has written lines leaves it out while `first` is 1, its lines may be "
            "stored twice, because nothing distinguishes it from a new sender",
        ),
    ] = None
    client: Annotated[str, _since(4, "name and version, for people")] = ""
    pid: Annotated[Integer, _since(4, "process id, for people")] = 0
    service: Annotated[str, _since(4, "name of the application, for records without their own")] = ""
    host: Annotated[str, _since(4, "name of the host, for people and metrics")] = ""


class Durable(msgspec.Struct, omit_defaults=True):
    """Acknowledgment: the first ``durable`` lines of the session are on disk."""

    durable: Integer
    protocol_version: int | None = None
    max_line_bytes: Annotated[int, Meta(ge=1)] | None = None


class Refused(msgspec.Struct):
    """Line ``rejected`` of the session became a dead letter. It counts as durable."""

    rejected: Number
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


CONTROL_BODIES: Final[dict[str, Any]] = {"hello": Hello, "begin": Begin, "dropped": Counts, "end": End}
"""Keys of control lines, and the type of the value; null counts as absent."""

_encode = msgspec.json.Encoder().encode


def frame(kind: Literal["hello", "begin", "dropped", "end"], body: Any) -> bytes:
    """Return a control line of one of the four kinds, with its newline."""
    return _encode({"protocol_version": PROTOCOL_VERSION, kind: body}) + b"\n"


def answer(body: Durable | Refused | Unsupported) -> bytes:
    """Return an answer of the daemon as a line, with its newline."""
    return _encode(body) + b"\n"
