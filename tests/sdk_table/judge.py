"""Whether a cell's rows are right. Pure.

Invariant: a cell is right only if each count, model, outcome and status of its rows is what the stand-in served;
what the stand-in did not serve is of an unknown source and without a cost, never a reported 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.helpers.providers import COMPLETION_TOKENS, PROMPT_TOKENS
from tests.sdk_table.sdk import Sdk

Row = dict[str, Any]

STREAMED = frozenset({"stream", "async stream", "left", "cancelled"})


def wrong(entry: type[Sdk], way: str, rows: Sequence[Row]) -> str:
    """Return what is wrong with a cell's rows; "" if nothing is."""
    if way == "retried":
        *before, last = rows or [{}]
        if not before or any((one["status_code"], one["outcome"]) != (503, "error") for one in before):
            return f"{len(rows)} rows, {[one.get('status_code') for one in rows]}"
        return _differs(last, _whole(entry, way, f"flaky-{entry.model}"))
    if len(rows) != 1:
        return f"{len(rows)} rows"
    if way == "failed":
        expected = {"outcome": "error", "is_error": 1, "status_code": 400, "usage_source": "unknown"}
        return _differs(rows[0], expected | {"cost_usd": None})
    if way in ("left", "cancelled"):
        return _differs(rows[0], {"outcome": "cancelled", "is_stream": 1, "status_code": 200}) or _unknown(
            rows[0]
        )
    return _differs(rows[0], _whole(entry, way, entry.model))


def _whole(entry: type[Sdk], way: str, model: str) -> Row:
    is_embedding = "voyage" in entry.model
    return {
        "outcome": "ok",
        "is_error": 0,
        "status_code": 200,
        "model": model,
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": 0 if is_embedding else COMPLETION_TOKENS,
        "usage_source": "reported",
        "is_stream": int(entry.always_streams or way in STREAMED),
        "provider": entry.provider,
    }


def _differs(row: Row, expected: Row) -> str:
    found = {name: row.get(name) for name, value in expected.items() if row.get(name) != value}
    return ", ".join(f"{name} {value!r} not {expected[name]!r}" for name, value in found.items())


def _unknown(row: Row) -> str:
    """Return what is wrong with the usage of a stream that was left: only its beginning is known."""
    if row["cost_usd"] is not None:
        return f"cost {row['cost_usd']}"
    if row["usage_source"] == "unknown":
        return ""
    known = (row["usage_source"], row["prompt_tokens"])
    return "" if known == ("partial", PROMPT_TOKENS) else f"usage {known}"
