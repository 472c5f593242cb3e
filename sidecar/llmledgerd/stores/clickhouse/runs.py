"""Queries of runs in a ClickHouse store. Blocking; for threads.

Invariants:
- Every statement begins with the organization's condition; None alone leaves it out.
- No statement reads a payload: a run costs its narrow columns, however large its requests are.
- A call's run is its ``run_id``, else its conversation (RUN), in the list as in a run itself.
- A list reads the newest calls first and goes further back only while it lacks runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from llmledgerd.query import run_tree
from llmledgerd.query.requests import GetRun, ListRuns
from llmledgerd.query.results import (
    ERROR_CHARACTERS,
    RUN_NAMES,
    STEP_COLUMNS,
    Run,
    RunPage,
    RunStep,
    RunSteps,
)
from llmledgerd.query.run_tree import Link, Place
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.conditions import Where

RUN: Final = "if(t.run_id != '', t.run_id, t.conversation_id)"

HOUR_US: Final = 3_600_000_000
WINDOWS_US: Final = (HOUR_US, 6 * HOUR_US, 36 * HOUR_US, 216 * HOUR_US, 1296 * HOUR_US)
"""How far back a list looks for runs, one after the other; then to the start of the range."""

RUN_SPAN_US: Final = 30 * 24 * HOUR_US
"""How long before the last run of a list its calls are looked for, where the range has no start."""

RUN_CALLS: Final = 100_000
"""Limit of calls of a run whose steps are returned: some 7 MB in the engine, and ten times as much here."""

LISTED_CALLS: Final = 50_000
"""Calls of all runs of a list whose tree is computed; those of further runs would delay the list."""

ENDED: Final = "toUnixTimestamp64Micro(created_at) + toInt64(latency_ms) * 1000"

SUMMED: Final = (
    "organization_id", "run_id", "conversation_id", "agent_id", "user_id", "service", "model", "prompt_tokens",
    "completion_tokens", "total_tokens", "cached_input_tokens", "usage_source", "cost_usd", "is_error", "latency_ms",
    "request_size_bytes", "response_size_bytes", "created_at",
)  # fmt: skip

FIGURES: Final = ", ".join(
    [
        "organization_id",
        f"{RUN.replace('t.', '')} AS id",
        "max(run_id != '') AS is_named",
        *(
            f"arraySlice(arrayFilter(x -> x != '', arrayDistinct(arrayPushFront(arraySort(groupUniqArrayIf({RUN_NAMES})"
            f"(toString({column}), {column} != '')), argMin(toString({column}), created_at)))), 1, {RUN_NAMES}) AS {name}"
            for column, name in (
                ("agent_id", "agents"),
                ("user_id", "users"),
                ("service", "services"),
                ("model", "models"),
            )
        ),
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


LINKS: Final = (
    f"{_hash('turn_id')} AS turn, {_hash('parent_turn_id')} AS parent, {_hash('conversation_id')} AS conversation,"
    " toUnixTimestamp64Micro(t.created_at) AS start_us, t.latency_ms AS latency_ms, t.is_error AS is_error"
)
IDENTITY: Final = "cityHash64(t.batch_id, t.batch_row)"

Bounded = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]
"""Return the rows of a statement, or raise ValueError where they are more than an answer may hold."""


class RunQueries:
    """Queries of one store's runs."""

    def __init__(self, whole: Bounded, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._whole = whole
        self._now_us = now_us

    def page(self, organization_id: str | None, question: ListRuns) -> RunPage:
        """Return a page of runs. Raises ValueError for an invalid cursor."""
        rows = self._latest(organization_id, question)
        keys = [(row["organization_id"], row["id"]) for row in rows]
        if not keys:
            return RunPage([], None)
        shown, last = keys[: question.limit], rows[: question.limit][-1]
        start = microseconds(question.start_date)
        start = last["last_us"] - RUN_SPAN_US if start is None else start
        calls = _Calls(
            organization_id, sorted({run for _, run in shown}), start, microseconds(question.end_date)
        )
        found = {(row["organization_id"], row["id"]): row for row in self._figures(calls)}
        ordered = [found[key] for key in shown if key in found]
        shapes = self._shapes(calls, ordered)
        runs = [_run(row, shapes.get((row["organization_id"], row["id"]))) for row in ordered]
        more = len(keys) > question.limit
        return RunPage(runs, _cursor(last) if more else None)

    def steps(self, organization_id: str | None, question: GetRun) -> RunSteps | None:
        """Return a run with some of its steps. Raises ValueError for a run of too many."""
        found = self._found(organization_id, question)
        if found is None:
            return None
        row, calls = found
        if row["steps"] > RUN_CALLS:
            raise ValueError(
                f"the run has {row['steps']} calls in this time range; the limit is {RUN_CALLS}: narrow the range"
            )
        links = self._links(calls, question.around)
        places = run_tree.places([_link(link) for link in links])
        here = next((number for number, link in enumerate(links) if link["here"]), None)
        first = question.first - 1
        if here is not None:
            first = max(0, min(here - question.limit // 2, len(links) - question.limit))
        chosen = range(min(first, len(links)), min(first + question.limit, len(links)))
        steps = self._details(calls, links, places, chosen)
        run = _run(row, run_tree.shape(places))
        return RunSteps(run, steps, None if here is None else here + 1, more=chosen.stop < len(links))

    def _latest(self, organization_id: str | None, question: ListRuns) -> list[dict[str, Any]]:
        """Return the runs of a page, and one more if there is one, by their last matching call."""
        cursor = None if question.cursor is None else _position(question.cursor)
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        newest = min(one for one in (self._now_us(), end, cursor and cursor[0]) if one is not None)
        for window in (*WINDOWS_US, None):
            since = start if window is None else max(newest - window, start or 0)
            rows = self._window(organization_id, question, since, cursor)
            if len(rows) > question.limit or window is None or since == start:
                return rows
        raise AssertionError  # the last window is unbounded

    def _window(
        self, organization_id: str | None, question: ListRuns, since: int | None, cursor: Position | None
    ) -> list[dict[str, Any]]:
        where = Where(organization_id)
        where.narrow(question)
        where.between(None, question.end_date)
        where.add("t.created_at >= fromUnixTimestamp64Micro({since:Int64})", since=since)
        where.add(
            "t.is_error = {is_error:UInt8}",
            is_error=None if question.is_error is None else int(question.is_error),
        )
        where.add(f"startsWith({RUN}, {{id_prefix:String}})", id_prefix=question.id_prefix)
        where.conditions.append("(t.run_id != '' OR t.conversation_id != '')")
        having, values = "", {}
        if cursor is not None:
            having = "HAVING (last_us, organization_id, id) < ({at:Int64}, {at_org:String}, {at_id:String})"
            values = dict(zip(("at", "at_org", "at_id"), cursor, strict=True))
        return self._whole(
            f"SELECT t.organization_id AS organization_id, {RUN} AS id,"  # noqa: S608 - fixed fragments, values are bound
            " toUnixTimestamp64Micro(max(t.created_at)) AS last_us"
            f" FROM llm_traces AS t WHERE {where} GROUP BY organization_id, id {having}"
            " ORDER BY last_us DESC, organization_id DESC, id DESC LIMIT {limit:UInt32}",
            {**where.values, **values, "limit": question.limit + 1},
        )

    def _figures(self, calls: _Calls) -> list[dict[str, Any]]:
        columns = ", ".join(f"t.{name} AS {name}" for name in SUMMED)
        return self._whole(
            f"SELECT {FIGURES} FROM ({calls.sql(columns)}) GROUP BY organization_id, id",  # noqa: S608 - fixed fragments, values are bound
            calls.values,
        )

    def _shapes(self, calls: _Calls, rows: Sequence[Mapping[str, Any]]) -> dict[Key, run_tree.Shape]:
        """Return the shapes of the first runs whose calls are few enough together."""
        left, chosen = LISTED_CALLS, []
        for row in rows:
            if row["steps"] <= left:
                left -= row["steps"]
                chosen.append(row["id"])
        columns = f"t.organization_id AS organization_id, {RUN} AS run, {LINKS}"
        found = self._whole(
            "SELECT organization_id, run, arraySort(link -> link.4, groupArray((turn, parent, conversation, start_us,"  # noqa: S608 - fixed fragments, values are bound
            f" start_us + toInt64(latency_ms) * 1000, is_error))) AS links FROM ({calls.of(chosen).sql(columns)})"
            " GROUP BY organization_id, run",
            calls.of(chosen).values,
        )
        return {
            (row["organization_id"], row["run"]): run_tree.shape(
                run_tree.places([Link(*link) for link in row["links"]])
            )
            for row in found
        }

    def _found(self, organization_id: str | None, question: GetRun) -> tuple[dict[str, Any], _Calls] | None:
        """Return the figures of the run with an id, and its calls."""
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        calls = _Calls(organization_id, [question.id], start, end)
        rows = self._figures(calls)
        if not rows and (named := self._named(organization_id, question.id)):
            calls = _Calls(organization_id, [named], start, end)
            rows = self._figures(calls)
        if len(rows) > 1:
            raise ValueError(
                f"several organizations have a run {question.id}; restrict the query to one of them"
            )
        return (rows[0], calls) if rows else None

    def _named(self, organization_id: str | None, conversation: str) -> str:
        """Return the ``run_id`` of a conversation whose calls all have one; empty if there is none."""
        where = Where(organization_id)
        where.equal("conversation_id", conversation)
        where.conditions.append("t.run_id != ''")
        rows = self._whole(
            f"SELECT t.run_id AS id FROM llm_traces AS t WHERE {where} GROUP BY id ORDER BY count() DESC LIMIT 1",  # noqa: S608 - fixed fragments, values are bound
            where.values,
        )
        return str(rows[0]["id"]) if rows else ""

    def _links(self, calls: _Calls, around: str | None) -> list[dict[str, Any]]:
        here = "0" if around is None else "t.id = {around:String}"
        columns = (
            f"{LINKS}, {IDENTITY} AS identity, t.request_size_bytes AS size, {here} AS here,"
            " t.batch_id AS batch_id, t.batch_row AS batch_row"
        )
        values = {} if around is None else {"around": around.removeprefix("provider_trace-")}
        return self._whole(
            f"SELECT * EXCEPT (batch_id, batch_row) FROM ({calls.sql(columns)})"  # noqa: S608 - fixed fragments, values are bound
            " ORDER BY start_us, batch_id, batch_row LIMIT {most:UInt32}",  # without a limit the engine drops the order
            {**calls.values, **values, "most": RUN_CALLS},
        )

    def _details(
        self, calls: _Calls, links: Sequence[Mapping[str, Any]], places: Sequence[Place], chosen: range
    ) -> list[RunStep]:
        """Return the steps with these indexes; one that was erased meanwhile is left out."""
        if not chosen:
            return []
        columns = [
            *(f"t.{name} AS {name}" for name in STEP_COLUMNS),
            f"substringUTF8(t.error_message, 1, {ERROR_CHARACTERS}) AS error_message",
            f"{IDENTITY} AS identity",
        ]
        within = calls.within(links[chosen[0]]["start_us"], links[chosen[-1]]["start_us"])
        rows = self._whole(within.sql(", ".join(columns)), within.values)
        found = {row.pop("identity"): row for row in rows}
        return [
            _step(found[links[at]["identity"]], at, links, places[at])
            for at in chosen
            if links[at]["identity"] in found
        ]


Key = tuple[str, str]
"""Organization and run."""

Position = tuple[int, str, str]
"""Place in the list: last matching call in microseconds, organization, run."""


class _Calls:
    """The calls of some runs. Each half has an index that knows its ids."""

    def __init__(
        self, organization_id: str | None, ids: Sequence[str], start: int | None, end: int | None
    ) -> None:
        """``start`` (inclusive) and ``end`` (exclusive) are microseconds."""
        self._organization_id, self._ids, self._start, self._end = organization_id, ids, start, end
        where = Where(organization_id)
        where.add("t.created_at >= fromUnixTimestamp64Micro({start:Int64})", start=start)
        where.add("t.created_at < fromUnixTimestamp64Micro({end:Int64})", end=end)
        self._where = str(where)
        self.values: dict[str, object] = {**where.values, "ids": list(ids)}

    def sql(self, columns: str) -> str:
        """Return the statement that selects the columns; it has no order."""
        halves = (
            "t.run_id IN {ids:Array(String)}",
            "t.run_id = '' AND t.conversation_id IN {ids:Array(String)}",
        )
        return " UNION ALL ".join(
            f"SELECT {columns} FROM llm_traces AS t WHERE {self._where} AND {half}"  # noqa: S608 - fixed fragments, values are bound
            for half in halves
        )

    def of(self, ids: Sequence[str]) -> _Calls:
        """Return the calls of some of these runs."""
        return _Calls(self._organization_id, ids, self._start, self._end)

    def within(self, first_us: int, last_us: int) -> _Calls:
        """Return the calls that started between two times, both included."""
        return _Calls(self._organization_id, self._ids, first_us, last_us + 1)


def _run(row: Mapping[str, Any], shape: run_tree.Shape | None) -> Run:
    values = dict(row)
    cost, wall, model = values.pop("cost"), values["wall_ms"], values["model_ms"]
    values["is_named"] = bool(values["is_named"])
    return Run(
        **values,
        cost_usd=cost if values["unknown_cost"] < values["steps"] else None,
        between_ms=max(0, wall - model),
        depth=None if shape is None else shape.depth,
        forks=None if shape is None else shape.forks,
        sub_agents=None if shape is None else shape.sub_agents,
    )


def _link(row: Mapping[str, Any]) -> Link:
    start = row["start_us"]
    end = start + row["latency_ms"] * 1000
    return Link(row["turn"], row["parent"], row["conversation"], start, end, bool(row["is_error"]))


def _step(row: dict[str, Any], at: int, links: Sequence[Mapping[str, Any]], place: Place) -> RunStep:
    size = row["request_size_bytes"]
    before = 0 if place.parent is None or place.kind == "sub_agent" else links[place.parent]["size"]
    return RunStep(
        **{**row, "is_error": bool(row["is_error"])},
        number=at + 1,
        parent=None if place.parent is None else place.parent + 1,
        kind=place.kind,
        level=place.level,
        new_bytes=size - before if size >= before else size,
    )


def _cursor(row: Mapping[str, Any]) -> str:
    return msgspec.json.encode((row["last_us"], row["organization_id"], row["id"])).decode()


def _position(cursor: str) -> Position:
    try:
        found: Position = msgspec.json.decode(cursor, type=Position)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError("invalid cursor") from None
    if abs(found[0]) >= 1 << 63:
        raise ValueError("invalid cursor")
    return found
