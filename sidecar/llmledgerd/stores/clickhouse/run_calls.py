"""The calls of runs as statements for ClickHouse. Pure.

Invariants:
- Every statement begins with the organization's condition; None alone leaves it out.
- No statement reads a payload.
- A call's run is its ``run_id``, else its conversation (OWN_RUN), or the run that this is a part of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from llmledgerd.query.results import RUN_NAMES
from llmledgerd.stores.clickhouse.conditions import Where

Key = tuple[str, str]
"""Organization, and run or conversation."""

OWN_RUN: Final = "if(t.run_id != '', t.run_id, t.conversation_id)"

ENDED: Final = "toUnixTimestamp64Micro(created_at) + toInt64(latency_ms) * 1000"

SUMMED: Final = ", ".join(
    f"t.{name} AS {name}"
    for name in (
        "organization_id", "run_id", "agent_id", "user_id", "service", "model", "prompt_tokens", "completion_tokens",
        "total_tokens", "cached_input_tokens", "usage_source", "cost_usd", "is_error", "latency_ms",
        "request_size_bytes", "response_size_bytes", "created_at",
    )
)  # fmt: skip


def _names(column: str, name: str) -> str:
    """Return the different texts of a column, that of the first call before the others."""
    every = f"arraySort(groupUniqArrayIf({RUN_NAMES})(toString({column}), {column} != ''))"
    first = f"argMin(toString({column}), created_at)"
    return (
        f"arraySlice(arrayFilter(x -> x != '', arrayDistinct(arrayPushFront({every}, {first}))), 1, {RUN_NAMES})"
        f" AS {name}"
    )


FIGURES: Final = ", ".join(
    [
        "organization_id",
        "run AS id",
        "max(run_id != '') AS is_named",
        *map(_names, ("agent_id", "user_id", "service", "model"), ("agents", "users", "services", "models")),
        "count() AS steps",
        *(
            f"sum(toUInt64(ifNull({name}, 0))) AS {name}"
            for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_input_tokens")
        ),
        "countIf(usage_source = 'unknown') AS unknown_usage",
        "sum(cost_usd) AS cost",
        "countIf(isNull(cost_usd)) AS unknown_cost",
        "countIf(is_error) AS errors",
        f"intDiv(max({ENDED}) - toUnixTimestamp64Micro(min(created_at)), 1000) AS wall_ms",
        f"intDiv(intervalLengthSum(toUnixTimestamp64Micro(created_at), {ENDED}), 1000) AS model_ms",
        "sum(request_size_bytes) AS request_bytes",
        "sum(response_size_bytes) AS response_bytes",
        "min(created_at) AS first_at",
        "max(created_at) AS last_at",
    ]
)


def _hash(column: str) -> str:
    return f"if(t.{column} = '', 0, cityHash64(t.{column}))"


LINKS: Final = {
    "turn_id": _hash("turn_id"),
    "parent_turn_id": _hash("parent_turn_id"),
    "conversation_id": _hash("conversation_id"),
    "start_us": "toUnixTimestamp64Micro(t.created_at)",
    "end_us": "toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000",
    "is_error": "t.is_error",
    "turn_names": "arrayMap(x -> cityHash64(x), t.turn_names)",
    "opening_names": "arrayMap(x -> cityHash64(x), t.opening_names)",
}
"""What the tree needs of a call, in the order of the fields of a ``run_tree.Link``."""

IDENTITY: Final = "cityHash64(t.batch_id, t.batch_row)"
PLACED: Final = LINKS | {
    "size": "t.request_size_bytes",
    "batch_row": "t.batch_row",
    "identity": IDENTITY,
}


class RunCalls:
    """The calls of some runs in a time range. Each half has an index that knows its ids."""

    def __init__(
        self, organization_id: str | None, runs: Mapping[Key, str], start: int | None, end: int | None
    ) -> None:
        """``runs`` has the run of each ``run_id`` and conversation; ``start`` (inclusive) and ``end``
        (exclusive) are microseconds.
        """
        self.organization_id, self.runs, self.start, self.end = organization_id, runs, start, end
        where = within(organization_id, start, end)
        self._where = str(where)
        own, other = [key[1] for key in runs], list(runs.values())
        self.values: dict[str, object] = {**where.values, "ids": own}
        self._run = OWN_RUN
        if own != other:
            self.values |= {"own": own, "others": other}
            self._run = f"transform({OWN_RUN}, {{own:Array(String)}}, {{others:Array(String)}}, {OWN_RUN})"

    def sql(self, columns: str) -> str:
        """Return the statement that selects the columns, and the call's run as ``run``; it has no order."""
        halves = (
            "t.run_id IN {ids:Array(String)}",
            "t.run_id = '' AND t.conversation_id IN {ids:Array(String)}",
        )
        return " UNION ALL ".join(
            f"SELECT {columns}, {self._run} AS run FROM llm_traces AS t WHERE {self._where} AND {half}"  # noqa: S608 - fixed fragments, values are bound
            for half in halves
        )

    def figures(self) -> str:
        """Return the statement that sums up each run."""
        return f"SELECT {FIGURES} FROM ({self.sql(SUMMED)}) GROUP BY organization_id, run"  # noqa: S608 - as above

    def links(self, further: dict[str, str]) -> str:
        """Return the statement whose row has, for each run, a list of each column of PLACED and ``further``.

        The lists are in the same order, which is any. The driver reads them several times faster than rows.
        """
        columns = PLACED | further
        chosen = ", ".join(f"{what} AS {name}" for name, what in columns.items())
        lists = ", ".join(f"groupArray({name}) AS {name}_list" for name in columns)
        calls = self.sql(f"t.organization_id AS organization_id, {chosen}")
        return f"SELECT organization_id, run, {lists} FROM ({calls}) GROUP BY organization_id, run"  # noqa: S608 - as above

    def of(self, chosen: Sequence[str]) -> RunCalls:
        """Return the calls of some of these runs."""
        runs = {key: run for key, run in self.runs.items() if run in chosen}
        return RunCalls(self.organization_id, runs, self.start, self.end)

    def within(self, first_us: int, last_us: int) -> RunCalls:
        """Return the calls that started between two times, both included."""
        return RunCalls(self.organization_id, self.runs, first_us, last_us + 1)


def within(organization_id: str | None, start: int | None, end: int | None) -> Where:
    """Return the conditions of one organization and a time range in microseconds."""
    where = Where(organization_id)
    where.add("t.created_at >= fromUnixTimestamp64Micro({start:Int64})", start=start)
    where.add("t.created_at < fromUnixTimestamp64Micro({end:Int64})", end=end)
    return where
