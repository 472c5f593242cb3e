"""Statements that change the cost of rows in ClickHouse. Pure.

Invariant: a statement contains all its values, looks nothing up, and sets the same values however often and
wherever it runs; so replicas that run it hours apart have the same rows, and a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from llmledgerd.records.pricing import Price

STATEMENT_BYTES: Final = 160 << 10
"""Of a statement's values. A server reads 256 KiB of a statement (``max_query_size``), and a replicated
table's change is a node in Keeper, whose limit is 1 MB."""
ROW_BYTES: Final = 45 + 2 * 21 + 2 * 4 + 20
"""What a row takes beside its parts: its place, its key twice, separators, its cost."""

PLACE_KEY: Final = "cityHash64(batch_id, batch_row)"
COST: Final = "Nullable(Decimal(18, 9))"
PARTS: Final = "Map(LowCardinality(String), Decimal(18, 9))"


class Update(msgspec.Struct, frozen=True):
    """A row's place, and its new price."""

    batch_id: str
    batch_row: int
    key: int
    """``PLACE_KEY`` of the row, as the server computes it."""
    created_us: int
    price: Price


def statements(updates: Iterable[Update], target: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield mutations and their bound values; ``target`` is the table, as ``Placement.changed`` names it."""
    groups: dict[tuple[str, ...], list[Update]] = {}
    for one in updates:
        price = one.price
        groups.setdefault((price.source, price.reason, price.model, price.price_list), []).append(one)
    for (source, reason, model, price_list), group in groups.items():
        values = {"source": source, "reason": reason, "model": model, "list": price_list}
        for chunk in _chunks(group):
            yield _statement(chunk, target), {**values, **_bounds(chunk)}


def _statement(chunk: Sequence[Update], target: str) -> str:
    places = ", ".join(f"('{one.batch_id}', {one.batch_row})" for one in chunk)
    cost, parts = f"CAST(NULL, '{COST}')", "'{}'"
    if chunk[0].price.usd is not None:
        keys = ", ".join(str(one.key) for one in chunk)
        cost = f"CAST(transform({PLACE_KEY}, [{keys}], [{_texts(f'{one.price.usd:f}' for one in chunk)}], '0'), '{COST}')"
        parts = (
            f"transform({PLACE_KEY}, [{keys}], [{_texts(_json(one.price.parts) for one in chunk)}], '{{}}')"
        )
    return (
        f"ALTER TABLE {target} UPDATE cost_usd = {cost}, cost_parts = JSONExtract({parts}, '{PARTS}'),"
        " cost_usd_source = {source:String}, cost_reason = {reason:String},"
        " priced_model = {model:String}, price_list = {list:String}"
        " WHERE created_at >= fromUnixTimestamp64Micro({first:Int64})"
        " AND created_at <= fromUnixTimestamp64Micro({last:Int64})"
        f" AND (batch_id, batch_row) IN [{places}]"
    )


def _chunks(group: Sequence[Update]) -> Iterator[list[Update]]:
    """Yield rows that fit a statement, no two of which have one key."""
    chunk: list[Update] = []
    size, keys = 0, set[int]()
    for one in group:
        own = ROW_BYTES + len(_json(one.price.parts))
        if chunk and (size + own > STATEMENT_BYTES or one.key in keys):
            yield chunk
            chunk, size, keys = [], 0, set()
        chunk.append(one)
        size += own
        keys.add(one.key)
    if chunk:
        yield chunk


def _bounds(chunk: Sequence[Update]) -> dict[str, int]:
    times = [one.created_us for one in chunk]
    return {"first": min(times), "last": max(times)}


def _json(parts: dict[str, Decimal]) -> str:
    """Return the parts as JSON, whose amounts are texts: ClickHouse reads numbers as floats."""
    return msgspec.json.encode({part: f"{amount:f}" for part, amount in parts.items()}).decode()


def _texts(texts: Iterable[str]) -> str:
    return ", ".join(map(quoted, texts))


def quoted(text: str) -> str:
    """Return a text as a literal of ClickHouse's SQL.

    >>> quoted("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
