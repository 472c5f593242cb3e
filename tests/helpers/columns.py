"""What each column of a row may hold, so that one check serves every test that builds rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import cast

from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS, TABLE

Check = Callable[[object], bool]

YEAR_2020_US = 1_577_836_800_000_000
DAY_US = 86_400_000_000


def unsigned(bits: int) -> Check:
    return lambda value: type(value) is int and 0 <= value < 1 << bits


def nullable(check: Check) -> Check:
    return lambda value: value is None or check(value)


def text(value: object) -> bool:
    return isinstance(value, str) and value.encode().decode() == value


def one_of(*words: str) -> Check:
    return lambda value: value in words


def is_cost(value: object) -> bool:
    return isinstance(value, Decimal) and 0 <= value < 10**9 and value == round(value, 9)


def is_amounts(value: object) -> bool:
    return isinstance(value, dict) and all(
        text(name) and isinstance(one, Decimal) for name, one in value.items()
    )


def is_unit_count(value: Decimal) -> bool:
    return 0 <= value < 10**12 and value == round(value, 6)


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and str(uuid.UUID(value)) == value


def is_tuples(*checks: Check) -> Check:
    return lambda value: (
        isinstance(value, tuple)
        and all(
            isinstance(one, tuple)
            and len(one) == len(checks)
            and all(check(item) for check, item in zip(checks, one, strict=True))
            for one in value
        )
    )


CHECKS: dict[str, Check] = {
    "request_hash": unsigned(63),
    "tool_calls": is_tuples(unsigned(64), text, text, unsigned(64), unsigned(32)),
    "tool_results": is_tuples(unsigned(64), unsigned(32), lambda value: value in (0, 1, 2, 4, 5, 6)),
    "tokens_by_tool": lambda value: (
        isinstance(value, dict) and all(text(name) and unsigned(32)(one) for name, one in value.items())
    ),
    "id": lambda value: text(value) and value != "",
    **dict.fromkeys(
        ("agent_tags", "turn_names", "opening_names"),
        lambda value: isinstance(value, list) and all(text(one) for one in value),
    ),
    "error_message": lambda value: text(value) and len(str(value)) <= 1000,
    "usage_source": one_of("reported", "partial", "unknown"),
    "usage_check": one_of("ok", "mismatch", ""),
    "outcome": one_of("ok", "error", "cancelled", "abandoned"),
    **dict.fromkeys(("cost_usd", "upstream_cost_usd", "sent_cost_usd"), nullable(is_cost)),
    "cost_usd_source": one_of("provider", "list_price", "own_price", ""),
    "cost_parts": lambda value: (
        is_amounts(value) and all(map(is_cost, cast("dict[str, Decimal]", value).values()))
    ),
    "usage_units": lambda value: (
        is_amounts(value) and all(map(is_unit_count, cast("dict[str, Decimal]", value).values()))
    ),
    "batch_id": is_uuid,
    "created_at": lambda value: isinstance(value, int) and value >= YEAR_2020_US,
    "ingested_at": unsigned(63),
    "batch_row": unsigned(32),
    "protocol_version": lambda value: value in (1, 2, 3, 4),
    **dict.fromkeys(("request_size_bytes", "response_size_bytes"), unsigned(64)),
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "latency_ms"), unsigned(32)),
    **dict.fromkeys(
        ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "time_to_first_token_ms"),
        nullable(unsigned(32)),
    ),
    **dict.fromkeys(
        (
            "tools_hash",
            "system_hash",
            "history_hash",
            "parent_history_hash",
            "prefix_hash",
            "turn_hash",
            "parent_turn_hash",
        ),
        unsigned(63),
    ),
    **dict.fromkeys(
        (
            "prefix_tokens",
            "prompt_estimate",
            "last_block",
            "cache_left_tokens",
            "cache_left_seconds",
            "cache_gap",
            "system_tokens",
            "tools_tokens",
            "history_tokens",
            "result_tokens",
            "file_tokens",
            "new_tokens",
        ),
        unsigned(32),
    ),
    "cache_marks": lambda value: isinstance(value, list) and all(map(unsigned(32), value)),
    "cache_left_state": one_of("exact", "about", "short", ""),
    **dict.fromkeys(("lost_rate_fresh", "lost_rate_written"), nullable(unsigned(64))),
    **dict.fromkeys(("attempt", "status_code"), unsigned(16)),
    **dict.fromkeys(("is_byok", "is_error", "is_batch", "is_stream"), unsigned(1)),
    **dict.fromkeys(BYTES_COLUMNS, lambda value: isinstance(value, bytes)),
}


TYPES = {column.name: column.clickhouse for column in TABLE}


def some(name: str, number: int = 0) -> object:
    """Return a value of the column's type: ``number``, or what is empty."""
    kind = TYPES[name]
    if name in BYTES_COLUMNS:
        return b""
    if kind.startswith(("Array", "Map")):
        return {} if kind.startswith("Map") else []
    if kind.startswith("Nullable"):
        return None
    return "" if "String" in kind else number


def named(row: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(COLUMNS, row, strict=True))


def assert_fits(row: tuple[object, ...]) -> None:
    """Fail where a value is not of its column's type, or the columns contradict each other."""
    values = named(row)
    for column, value in values.items():
        assert CHECKS.get(column, text)(value), f"{column}: {value!r}"
    assert (values["cost_usd"] is None) == (values["cost_usd_source"] == "") == (values["cost_reason"] != "")
    parts = values["cost_parts"]
    assert isinstance(parts, dict)
    assert sum(parts.values()) == (values["cost_usd"] or 0), "the parts are the cost"
    assert all(part > 0 for part in parts.values())
    assert values["is_error"] or not (values["error_type"] or values["error_message"])
    assert not values["is_error"] or values["error_type"]
    created, ingested = values["created_at"], values["ingested_at"]
    assert isinstance(created, int)
    assert isinstance(ingested, int)
    assert created <= ingested + DAY_US
