"""Conversion of a record into a row of ``llm_traces``. Pure: the caller passes the time of receipt.

Invariant: every record makes one row, whatever its payloads hold; every value fits its column, and
what had to be changed to fit is counted, not hidden. The same record at the same place of the same
segment always makes the same row.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypedDict, TypeVar, Unpack, cast

import msgspec
import xxhash
from msgspec import Raw

from llmledger.protocol import ABSENT, PROTOCOL_VERSION, Begin, Billing, Outcome, Record
from llmledgerd import json_text
from llmledgerd.conversations import UNKNOWN, ToolCalls, request_hash
from llmledgerd.conversations.prompt import NO_PROMPT, number_of
from llmledgerd.records.conversation_columns import conversation_of
from llmledgerd.records.pricing import MOST_UNITS, Price, PricedCall, Pricer, reported_cost
from llmledgerd.records.schema import TABLE, Row
from llmledgerd.records.steps import Steps, alone
from llmledgerd.records.timestamps import created_at_us
from llmledgerd.usage import read_exchange
from llmledgerd.usage.exchange_facts import Exchange, Facts, storable

Reader = Callable[[Exchange], Facts]


ABANDONED: Final = "abandoned"

_UINT32: Final = (1 << 32) - 1
_UINT16: Final = (1 << 16) - 1
_PREFIX: Final = "provider_trace-"
_LONG_BYTES: Final = 64 << 10
_MESSAGE_CHARACTERS: Final = 1000
_KINDS_COUNTED: Final = 200
"""Limit of reasons and models without a price that are counted by name, because a sender can invent any number."""
_NULL: Final = b"null"
_RAW_NULL: Final = Raw(_NULL)
_FALSY: Final = frozenset({_NULL, b'""', b"{}", b"[]", b"false", b"0"})
_NO_FAILURE: Final = (0, "", "")

_Kind = TypeVar("_Kind")


class _Config(msgspec.Struct, frozen=True):
    """Fields of ``llm_config`` that a row needs. Values of any type are accepted; only text is used."""

    model_endpoint_type: Any = None
    model: Any = None
    provider_category: Any = None
    model_endpoint: Any = None


class _ErrorObject(msgspec.Struct, frozen=True):
    """An ``error`` that a sender wrote as an object."""

    message: Any = None
    detail: Any = None
    type: Any = None
    code: Any = None


_NO_CONFIG: Final = _Config()
_NO_BILLING: Final = Billing()
_COUNTS: Final = (
    "prompt_tokens", "completion_tokens", "total_tokens",
    "cached_input_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip


_MADE: Final = (
    "id", "call_type", "provider", "model", "is_byok", "request", "answer", "latency_ms", "is_error", "error_type",
    "error_message", "llm_config", "billing", "started_us", "service", "url",
    "attempt", "status_code", "compaction_settings", "time_to_first_token_ms", "cost", "upstream_cost_usd",
    "sent_cost_usd", "batch_id", "batch_row", "received_us", "identity",
    "request_hash", "tools", "prompt",
)  # fmt: skip
"""The names that ``RowBuilder.row`` computes, beside ``record`` and ``facts``."""


def _row_maker() -> Callable[..., Row]:
    """Return a function that makes a row of the schema's expressions, as one tuple.

    It is compiled, as the standard library compiles named tuples, because evaluating the entries one by one
    doubled the time.
    """
    values = ", ".join(column.value for column in TABLE)
    scope: dict[str, Any] = {"number_of": number_of}
    exec(f"def row(record, facts, {', '.join(_MADE)}): return ({values})", scope)  # noqa: S102 - our own text
    return cast("Callable[..., Row]", scope["row"])


_ROW: Final = _row_maker()


class Given(TypedDict):
    """What a row says beside its record."""

    line: bytes | memoryview
    service: str
    received_us: int
    batch_id: str
    batch_row: int


class RowBuilder:
    """Builder of rows, with counters of changed values. For one thread at a time."""

    def __init__(self, pricer: Pricer, read: Reader = read_exchange) -> None:
        self.counts: Counter[str] = Counter()
        """``clamped:<column>``, ``timestamp_replaced``, ``unread:<why>``, and ``unpriced:<reason>|<model>``."""
        self._pricer = pricer
        self._read = read
        self._unpriced: set[tuple[str, str]] = set()

    @staticmethod
    def call_id(call: Record | Begin) -> str:
        """Return the row's id of a call; empty where its sender gave it none."""
        sent = call.provider_trace_id or ""
        return sent.removeprefix(_PREFIX) or sent

    def row(self, record: Record, **given: Unpack[Given]) -> Row:
        """Return the row of a record; the arguments are those of ``steps``."""
        return alone(self.steps(record, **given))

    def steps(
        self,
        record: Record,
        *,
        line: bytes | memoryview,
        service: str,
        received_us: int,
        batch_id: str,
        batch_row: int,
    ) -> Steps[Row]:
        """Make the row of a record, step by step.

        ``line``: bytes of the record; if they are a view, so are large payloads. ``service``: name from the
        session's hello, unless the record has one. ``received_us``: microseconds since 1970.
        """
        config = _NO_CONFIG if record.llm_config is ABSENT else _config(record.llm_config)
        status_code = self._whole("status_code", record.status_code, _UINT16) if record.status_code else 0
        exchange = _exchange(record, config, status_code, is_view=isinstance(line, memoryview))
        facts = self._fitted(self._read(exchange))
        yield
        started_us = self._started_us(record.timestamp, received_us)
        provider = exchange.provider or facts.provider or "unknown"
        model = record.model or _string(config.model) or facts.model or "unknown"
        answer = exchange.response or facts.response or _as_json(record, exchange, line)
        is_error, error_type, error_message = _failure(record, facts, status_code)
        latency_ms = self._whole("latency_ms", record.latency_ms) if record.latency_ms else 0
        call = PricedCall(provider, model, exchange.url, started_us, record.org_id or "", latency_ms)
        cost = self._priced(facts, call)
        call_type = record.type or (facts.call_type if record.protocol_version >= 4 else "") or "agent_step"
        attempt = self._whole("attempt", record.attempt, _UINT16) if record.attempt else 0
        first_token_ms = record.time_to_first_token_ms
        times_us, sold = (started_us, started_us + latency_ms * 1000), (provider, cost.model or model)
        yield
        try:
            identity, tools, prompt = yield from conversation_of(record, exchange, facts, times_us, sold)
        except Exception:  # noqa: BLE001 - the outer edge: a payload may cost these columns, never its row
            self.counts["unread:conversation"] += 1
            identity, tools, prompt = UNKNOWN, ToolCalls(), NO_PROMPT
        return _ROW(  # in the order of _MADE: keywords cost a tenth of the row
            record, facts, self.call_id(record) or derived_id(line), call_type, provider, model,
            _is_byok(record, facts, config), exchange.request, answer, latency_ms, is_error, error_type,
            error_message, _payload(record.llm_config), record.billing or _NO_BILLING,
            started_us, service, exchange.url, attempt, status_code,
            _payload(record.compaction_settings),
            None if first_token_ms is None else self._whole("time_to_first_token_ms", first_token_ms),
            cost, None if facts.upstream_cost_usd is None else reported_cost(facts.upstream_cost_usd),
            None if record.cost_usd is None else self._sent_cost(record.cost_usd),
            batch_id, batch_row, received_us,
            identity, request_hash(exchange.request, record.org_id or ""), tools, prompt,
        )  # fmt: skip

    def abandoned(
        self, begin: Begin, *, service: str, received_us: int, batch_id: str, batch_row: int
    ) -> Row:
        """Return the row of a call that began and whose record never came.

        ``outcome`` and ``error_type`` are ``abandoned``, and usage and cost are unknown.
        """
        fields: dict[str, Any] = {name: getattr(begin, name) for name in Begin.__struct_fields__}
        # No sender may write this outcome, so the wire's type does not know it.
        record = Record(protocol_version=PROTOCOL_VERSION, outcome=cast("Outcome", ABANDONED), **fields)
        return self.row(
            record, line=b"", service=service, received_us=received_us, batch_id=batch_id, batch_row=batch_row
        )

    def _started_us(self, timestamp: str | None, received_us: int) -> int:
        started_us = created_at_us(timestamp, received_us)
        if started_us is None:
            self.counts["timestamp_replaced"] += 1
            return received_us
        return started_us

    def _fitted(self, facts: Facts) -> Facts:
        """Return the facts with texts that can be stored and counts that fit their columns; count what was not read."""
        if facts.unread:
            self.counts[f"unread:{facts.unread}"] += 1
        texts = (
            f"{facts.provider}{facts.model}{facts.request_model}{facts.error_type}{facts.error_message}"
            f"{facts.finish_reason}{facts.service_tier}{facts.provider_request_id}{facts.call_type}{facts.region}"
        )
        if not texts.isascii():
            facts = storable(facts)
        if facts.units:
            facts.units = self._units(facts.units)
        # No count is below 0, so that the sum is too large wherever one of them is.
        counts = (
            (facts.prompt_tokens or 0) + (facts.completion_tokens or 0) + (facts.total_tokens or 0)
            + (facts.cached_input_tokens or 0) + (facts.cache_write_tokens or 0) + (facts.reasoning_tokens or 0)
        )  # fmt: skip
        return facts if counts <= _UINT32 else self._clamped(facts)

    def _clamped(self, facts: Facts) -> Facts:
        counts = {name: getattr(facts, name) for name in _COUNTS}
        return msgspec.structs.replace(
            facts, **{name: self._whole(name, count) for name, count in counts.items() if count is not None}
        )

    def _priced(self, facts: Facts, call: PricedCall) -> Price:
        cost = self._pricer.price(facts, call)
        if cost.reason:
            self._count_unpriced(cost.reason, cost.model)
        return cost

    def _count_unpriced(self, reason: str, model: str) -> None:
        kind = (reason, model)
        if kind not in self._unpriced:
            if len(self._unpriced) < _KINDS_COUNTED:
                self._unpriced.add(kind)
            else:
                kind = (reason.partition(":")[0], "other")
        self.counts[f"unpriced:{kind[0]}|{kind[1]}"] += 1

    def _units(self, units: dict[str, Decimal]) -> dict[str, Decimal]:
        """Return the counts at their column's six places; one that it cannot hold is its largest, and has no price."""
        if any(count > MOST_UNITS for count in units.values()):
            self.counts["clamped:usage_units"] += 1
        return {name: round(min(count, MOST_UNITS), 6) for name, count in units.items()}

    def _sent_cost(self, sent: float | str) -> Decimal | None:
        cost = reported_cost(sent)
        if cost is None:
            self.counts["clamped:sent_cost_usd"] += 1
        return cost

    def _whole(self, column: str, value: float | None, most: int = _UINT32) -> int:
        """Return the number rounded, within its column; 0 where it was not sent."""
        if not value:
            return 0
        if value > most:
            self.counts[f"clamped:{column}"] += 1
            return most
        return round(value)


def derived_id(line: bytes | memoryview) -> str:
    """Return the id of a record that was sent without one: a UUID made of its bytes.

    The same line has the same id, so that a repeat is recognized. Version 8 of RFC 9562 is for custom
    schemes.
    """
    digest = int.from_bytes(xxhash.xxh3_128_digest(line))
    return str(uuid.UUID(int=digest & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62))


def _config(raw: Raw) -> _Config:
    return _lenient(raw, _Config) or _NO_CONFIG


def _exchange(record: Record, config: _Config, status_code: int, *, is_view: bool) -> Exchange:
    stream: Any = record.response_stream
    is_too_long = isinstance(stream, Raw)
    return Exchange(
        provider=record.provider or _string(config.model_endpoint_type),
        url=_bare_url(record.url or _endpoint(config)) if record.url or config.model_endpoint else "",
        status_code=status_code,
        request=_view(record.request) if is_view else _payload(record.request),
        response=_view(record.response) if is_view else _payload(record.response),
        stream="" if is_too_long else stream or "",
        is_too_long=is_too_long,
        headers=record.response_headers,
    )


def _failure(record: Record, facts: Facts, status_code: int) -> tuple[int, str, str]:
    """Return ``is_error``, ``error_type`` and ``error_message`` (SPEC section 3; corpus README, rule 6)."""
    error = record.error
    own = None if error is ABSENT or error == _RAW_NULL else _own_error(error)
    outcome = record.outcome or "ok"
    if not (own or record.error_type or facts.has_error or status_code >= 400 or outcome != "ok"):
        return _NO_FAILURE
    own_type, own_message = own or ("", "")
    kind = record.error_type or facts.error_type or own_type or ("error" if outcome == "ok" else outcome)
    return 1, kind, (own_message or facts.error_message)[:_MESSAGE_CHARACTERS]


def _own_error(raw: Raw) -> tuple[str, str] | None:
    """Return type and message of the record's ``error``; ``None`` where it is null, empty or false.

    It is text by the protocol; senders that write the provider's error object mean that object's.
    """
    text = bytes(raw)
    if text in _FALSY:
        return None
    if text.startswith(b"{"):
        found = _lenient(raw, _ErrorObject) or _ErrorObject()
        message = _string(found.message) or _string(found.detail) or text.decode()
        return _string(found.type) or _string(found.code), message
    return "", _lenient(raw, str) or text.decode()


def _payload(raw: Raw) -> bytes:
    """Return the JSON as received; absent and null are empty."""
    if raw is ABSENT:
        return b""
    text = bytes(raw)
    return b"" if text == _NULL else text


def _view(raw: Raw) -> memoryview | bytes:
    """Return a payload as ``_payload`` does, without a copy of a long one."""
    return memoryview(raw) if len(raw) > _LONG_BYTES else _payload(raw)


def _is_byok(record: Record, facts: Facts, config: _Config) -> bool:
    if record.is_byok is not None:
        return record.is_byok
    return facts.is_byok or config.provider_category == "byok"


def _as_json(record: Record, exchange: Exchange, line: bytes | memoryview) -> bytes | memoryview:
    """Return a stream that could not be assembled, as a JSON string; a view where its line is one."""
    sent: Any = record.response_stream  # raw in a large line, which the wire's type does not know
    if isinstance(sent, Raw):
        return memoryview(sent) if isinstance(line, memoryview) else bytes(sent)
    return msgspec.json.encode(exchange.stream) if exchange.stream else b""


def _bare_url(url: str) -> str:
    """Return the URL without query, fragment and credentials."""
    if "?" not in url and "#" not in url and "@" not in url:
        return url
    bare = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}" if "@" in host else bare


def _endpoint(config: _Config) -> str:
    """Return the endpoint that ``llm_config`` names: all that senders without ``url`` say of who was called."""
    endpoint = _string(config.model_endpoint)
    return endpoint if endpoint.startswith(("http://", "https://")) else ""


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _lenient(raw: Raw, kind: type[_Kind]) -> _Kind | None:
    """Decode a value, also from JSON that msgspec refuses; ``None`` for another type."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(json_text.folded(json_text.mended(bytes(raw))), type=kind)
    except msgspec.ValidationError:
        return None
