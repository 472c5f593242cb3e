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
    STEP_COLUMNS,
    Run,
    RunPage,
    RunStep,
    RunSteps,
)
from llmledgerd.query.run_tree import Link, Place
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.conditions import Where
from llmledgerd.stores.clickhouse.run_calls import (
    IDENTITY,
    LINKS,
    OWN_RUN,
    Key,
    RunCalls,
    within,
)
from llmledgerd.stores.clickhouse.run_following import MOST, Following

HOUR_US: Final = 3_600_000_000
WINDOWS_US: Final = (HOUR_US, 6 * HOUR_US, 36 * HOUR_US, 216 * HOUR_US, 1296 * HOUR_US)
"""How far back a list looks for runs, one after the other; then to the start of the range."""

RUN_SPAN_US: Final = 30 * 24 * HOUR_US
"""How long before the last run of a list its calls are looked for, where the range has no start."""

RUN_CALLS: Final = 100_000
"""Limit of calls of a run whose steps are returned: some 7 MB in the engine, and ten times as much here."""

LISTED_CALLS: Final = 50_000
"""Calls of all runs of a list whose tree is computed; those of further runs would delay the list."""

Bounded = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]
"""Return the rows of a statement, or raise ValueError where they are more than an answer may hold."""


class RunQueries:
    """Queries of one store's runs."""

    def __init__(self, whole: Bounded, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._whole = whole
        self._now_us = now_us

    def page(self, organization_id: str | None, question: ListRuns) -> RunPage:
        """Return a page of runs. Raises ValueError for an invalid cursor."""
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        shown, last, more = self._latest_runs(organization_id, question)
        if last is None:
            return RunPage([], None)
        start = last["last_us"] - RUN_SPAN_US if start is None else start
        runs = {own: run for run, keys in shown.items() for own in keys}
        calls, found = self._with_parts(
            RunCalls(organization_id, {own: run[1] for own, run in runs.items()}, start, end)
        )
        by_key = {(row["organization_id"], row["id"]): row for row in found}
        seen = self._seen(calls, question)
        ordered = [by_key[run] for run in shown if run in by_key and run not in seen]
        shapes = self._shapes(calls, ordered)
        listed = [_run(row, shapes.get((row["organization_id"], row["id"]))) for row in ordered]
        return RunPage(listed, _cursor(last) if more else None)

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
        drawn = self._drawn(calls, question.around).get((row["organization_id"], row["id"]), _NOTHING)
        here, count = drawn.here, len(drawn.places)
        first = question.first - 1
        if here is not None:
            first = max(0, min(here - question.limit // 2, count - question.limit))
        chosen = range(min(first, count), min(first + question.limit, count))
        steps = self._details(calls, drawn, chosen)
        run = _run(row, run_tree.shape(drawn.places))
        return RunSteps(run, steps, None if here is None else here + 1, more=chosen.stop < count)

    def _seen(self, calls: RunCalls, question: ListRuns) -> set[Key]:
        """Return the runs that an earlier page has: a part of them has a matching call before the cursor."""
        if question.cursor is None:
            return set()
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        ids = sorted({own for _, own in calls.runs})
        rows = self._window(calls.organization_id, question, start, end, None, MOST, ids)
        before = [row for row in rows if _place(row) >= _position(question.cursor)]
        return {
            (row["organization_id"], calls.runs.get((row["organization_id"], row["id"]), ""))
            for row in before
        }

    def _with_parts(
        self, calls: RunCalls, rows: list[dict[str, Any]] | None = None
    ) -> tuple[RunCalls, list[dict[str, Any]]]:
        """Return the calls with those of the conversations that are parts of their runs, and the runs' figures.

        ``rows`` are the figures without those, if they are known.
        """
        if rows is None:
            rows = self._whole(calls.figures(), calls.values)
        if not rows:
            return calls, rows
        first, last = min(row["first_at"] for row in rows), max(row["last_at"] for row in rows)
        runs = Following(self._whole, calls.organization_id).downward(
            calls, microseconds(first), microseconds(last)
        )
        if len(runs) == len(calls.runs):
            return calls, rows
        calls = RunCalls(calls.organization_id, runs, calls.start, calls.end)
        return calls, self._whole(calls.figures(), calls.values)

    def _latest_runs(
        self, organization_id: str | None, question: ListRuns
    ) -> tuple[dict[Key, list[Key]], dict[str, Any] | None, bool]:
        """Return the runs of a page with the ids of their calls, the row of the last, and whether more follow.

        The ids that the store finds are put together to runs; more are asked for while there are too few.
        """
        limit = question.limit + 1
        while True:
            rows = self._latest(organization_id, question, limit)
            unnamed = [(row["organization_id"], row["id"]) for row in rows if not row["is_named"]]
            since = min((row["last_us"] for row in rows), default=None)
            tops = Following(self._whole, organization_id).upward(unnamed, since)
            shown: dict[Key, list[Key]] = {}
            last = None
            for row in rows:
                own = (row["organization_id"], row["id"])
                run = tops.get(own, own)
                if run not in shown and len(shown) == question.limit:
                    return shown, last, True
                shown.setdefault(run, [run] if run != own else []).append(own)
                last = row
            if len(rows) < limit or limit >= MOST:
                return shown, last, len(rows) >= limit
            limit = min(4 * limit + 100, MOST)

    def _latest(self, organization_id: str | None, question: ListRuns, limit: int) -> list[dict[str, Any]]:
        """Return run ids and conversations by their last matching call."""
        cursor = None if question.cursor is None else _position(question.cursor)
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        newest = min(one for one in (self._now_us(), end, cursor and cursor[0]) if one is not None)
        found: dict[Key, dict[str, Any]] = {}
        for window in (*WINDOWS_US, None):
            since = start if window is None else max(newest - window, start or 0)
            rows = self._window(organization_id, question, since, end, cursor, limit)
            found = {(row["organization_id"], row["id"]): row for row in rows} | found
            if len(found) >= limit or since == start:
                break
            # After a cursor a run's last call may be in a later window, and the run on an earlier page.
            end = since if cursor is None else end
        return sorted(found.values(), key=_place, reverse=True)[:limit]

    def _window(
        self,
        organization_id: str | None,
        question: ListRuns,
        since: int | None,
        end: int | None,
        cursor: Position | None,
        limit: int,
        ids: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Return run ids and conversations of matching calls, of ``ids`` alone where these are given."""
        where = within(organization_id, since, end)
        where.narrow(question)
        where.add(
            "t.is_error = {is_error:UInt8}",
            is_error=None if question.is_error is None else int(question.is_error),
        )
        where.add(f"startsWith({OWN_RUN}, {{id_prefix:String}})", id_prefix=question.id_prefix)
        where.add(f"{OWN_RUN} IN {{ids:Array(String)}}", ids=ids)
        where.conditions.append("(t.run_id != '' OR t.conversation_id != '')")
        having, values = "", {}
        if cursor is not None:
            having = "HAVING (last_us, organization_id, id) < ({at:Int64}, {at_org:String}, {at_id:String})"
            values = dict(zip(("at", "at_org", "at_id"), cursor, strict=True))
        return self._whole(
            f"SELECT t.organization_id AS organization_id, {OWN_RUN} AS id, max(t.run_id != '') AS is_named,"  # noqa: S608 - fixed fragments, values are bound
            " toUnixTimestamp64Micro(max(t.created_at)) AS last_us"
            f" FROM llm_traces AS t WHERE {where} GROUP BY organization_id, id {having}"
            " ORDER BY last_us DESC, organization_id DESC, id DESC LIMIT {limit:UInt32}",
            {**where.values, **values, "limit": limit},
        )

    def _shapes(self, calls: RunCalls, rows: Sequence[Mapping[str, Any]]) -> dict[Key, run_tree.Shape]:
        """Return the shapes of the first runs whose calls are few enough together."""
        left, chosen = LISTED_CALLS, []
        for row in rows:
            if row["steps"] <= left:
                left -= row["steps"]
                chosen.append(row["id"])
        return {run: run_tree.shape(drawn.places) for run, drawn in self._drawn(calls.of(chosen)).items()}

    def _found(self, organization_id: str | None, question: GetRun) -> tuple[dict[str, Any], RunCalls] | None:
        """Return the figures of the run with an id, and its calls."""
        start, end = microseconds(question.start_date), microseconds(question.end_date)
        calls = RunCalls(organization_id, {("", question.id): question.id}, start, end)
        rows = self._whole(calls.figures(), calls.values)
        if len(rows) > 1:
            raise ValueError(
                f"several organizations have a run {question.id}; restrict the query to one of them"
            )
        organization = rows[0]["organization_id"] if rows else organization_id
        named = bool(rows and rows[0]["is_named"])
        run = question.id if rows else self._named(organization, question.id)
        if not run:
            return None
        if rows and not named:
            first = microseconds(rows[0]["first_at"])
            ((_, run),) = (
                Following(self._whole, organization).upward([(organization or "", run)], first).values()
            )
        calls = RunCalls(organization, {(organization or "", run): run}, start, end)
        calls, rows = self._with_parts(calls, rows if run == question.id else None)
        if len(rows) > 1:
            raise ValueError(f"several organizations have a run {run}; restrict the query to one of them")
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

    def _drawn(self, calls: RunCalls, around: str | None = None) -> dict[Key, _Drawn]:
        """Return the calls of each run in the order of their start, with their places in its tree."""
        values = dict(calls.values)
        here = "toUInt8(0)"
        if around is not None:
            here, values["around"] = "t.id = {around:String}", around.removeprefix("provider_trace-")
        rows = self._whole(calls.links({"here": here}), values)
        return {(row["organization_id"], row["run"]): _drawn(row) for row in rows}

    def _details(self, calls: RunCalls, drawn: _Drawn, chosen: range) -> list[RunStep]:
        """Return the steps with these indexes; one that was erased meanwhile is left out."""
        if not chosen:
            return []
        columns = [
            *(f"t.{name} AS {name}" for name in STEP_COLUMNS),
            f"substringUTF8(t.error_message, 1, {ERROR_CHARACTERS}) AS error_message",
            f"{IDENTITY} AS identity",
        ]
        chosen_calls = calls.within(drawn.starts[chosen[0]], drawn.starts[chosen[-1]])
        rows = self._whole(chosen_calls.sql(", ".join(columns)), chosen_calls.values)
        found = {row.pop("identity"): row for row in rows}
        return [
            _step(found[drawn.identities[at]], at, drawn) for at in chosen if drawn.identities[at] in found
        ]


class _Drawn(msgspec.Struct, frozen=True):
    """A run's calls by the order of their start."""

    places: Sequence[Place]
    starts: Sequence[int]
    sizes: Sequence[int]
    identities: Sequence[int]
    here: int | None
    """Index of the call that was asked for."""


_NOTHING: Final = _Drawn((), (), (), (), None)

Position = tuple[int, str, str]
"""Place in the list: last matching call in microseconds, organization, run."""


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


def _drawn(row: Mapping[str, Any]) -> _Drawn:
    order = sorted(
        range(len(row["start_us_list"])),
        key=list(
            zip(row["start_us_list"], row["batch_row_list"], row["identity_list"], strict=True)
        ).__getitem__,
    )

    def column(name: str) -> list[Any]:
        values = row[f"{name}_list"]
        return [values[at] for at in order]

    links = list(map(Link, *map(column, LINKS)))
    here = column("here")
    return _Drawn(
        run_tree.places(links),
        column("start_us"),
        column("size"),
        column("identity"),
        here.index(1) if 1 in here else None,
    )


def _step(row: dict[str, Any], at: int, drawn: _Drawn) -> RunStep:
    size, place = row["request_size_bytes"], drawn.places[at]
    before = 0 if place.parent is None or place.kind == "sub_agent" else drawn.sizes[place.parent]
    del row["run"]
    return RunStep(
        **{**row, "is_error": bool(row["is_error"])},
        number=at + 1,
        parent=None if place.parent is None else place.parent + 1,
        kind=place.kind,
        level=place.level,
        new_bytes=size - before if size >= before else size,
    )


def _place(row: Mapping[str, Any]) -> Position:
    return row["last_us"], row["organization_id"], row["id"]


def _cursor(row: Mapping[str, Any]) -> str:
    return msgspec.json.encode(_place(row)).decode()


def _position(cursor: str) -> Position:
    try:
        found: Position = msgspec.json.decode(cursor, type=Position)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError("invalid cursor") from None
    if abs(found[0]) >= 1 << 63:
        raise ValueError("invalid cursor")
    return found
