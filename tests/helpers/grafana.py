"""What Grafana and its ClickHouse plugin make of a query before the server sees it, as they document it.

Invariant: in the order in which they do it: ``$__conditionalAll``, then variables with their formats,
then the macros of time. What is left with a ``$`` is an AssertionError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
ALL = "$__all"
CONDITIONAL = "$__conditionalAll("


class Range(msgspec.Struct, frozen=True):
    """The time range of a dashboard, in seconds since 1970, and the interval of its panels."""

    start: int
    end: int
    interval_seconds: int = 3600


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expanded(sql: str, chosen: Mapping[str, Sequence[str]], over: Range) -> str:
    """Return the SQL that the server is sent. ``chosen`` has values by variable, ALL for each other one."""
    sql = _with_conditions(sql, chosen)
    for name, values in chosen.items():
        quoted = ",".join("'" + value.replace("'", "\\'") + "'" for value in values)
        sql = sql.replace(f"${{{name}:singlequote}}", quoted)
    start, end = f"toDateTime({over.start})", f"toDateTime({over.end})"
    sql = re.sub(r"\$__timeFilter\((.*?)\)", rf"\1 >= {start} AND \1 <= {end}", sql)
    step = f"INTERVAL {over.interval_seconds} second"
    sql = re.sub(r"\$__timeInterval\((.*?)\)", rf"toStartOfInterval(toDateTime(\1), {step})", sql)
    sql = re.sub(r"\$__interval_s\b", str(over.interval_seconds), sql)
    sql = re.sub(r"\$__fromTime\b", start, sql)
    sql = re.sub(r"\$__toTime\b", end, sql)
    assert "$" not in sql, sql
    return sql


def _with_conditions(sql: str, chosen: Mapping[str, Sequence[str]]) -> str:
    while (at := sql.rfind(CONDITIONAL)) >= 0:
        opened = at + len(CONDITIONAL)
        closed = _closing(sql, opened)
        condition, comma, variable = sql[opened:closed].rpartition(",")
        assert comma, sql[opened:closed]
        values = chosen.get(variable.strip().removeprefix("$"), [ALL])
        sql = sql[:at] + ("1=1" if values == [ALL] else condition) + sql[closed + 1 :]
    return sql


def _closing(sql: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        at += 1
    return at - 1
