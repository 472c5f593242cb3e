"""Questions about prompts: what was missed in the cache, and what tokens were spent on. Blocking; for threads.

Invariants:
- Every row of which a text is shown is read under the organization's condition. Sums are of rows with the
  organization's number (``organization_hash``); calls are compared with those whose hashes they have, which are the
  organization's own.
- Payloads are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from llmledgerd.conversations.cache_misses import EXPIRED, IN_FLIGHT, MODEL, TIER, cause
from llmledgerd.conversations.cache_places import in_words, place_of
from llmledgerd.conversations.prompt import apportioned
from llmledgerd.conversations.prompt_description import Description, read_description
from llmledgerd.query.filters import GROUPED
from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses
from llmledgerd.query.requests import GetAnatomy, GetCacheMisses, ListCacheMisses, Narrowed, QueryRequest
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.asking import Ask
from llmledgerd.stores.clickhouse.cache_sql import (
    BY_LOSS,
    PARENT_DAYS,
    evidence,
    misses_sql,
    sums_sql,
)
from llmledgerd.stores.clickhouse.conditions import Where
from llmledgerd.stores.clickhouse.question_settings import LONG_BLOCKS
from llmledgerd.stores.clickhouse.widening import HOUR_US

Key = tuple[str, int]

_PICO: Final = Decimal("1e-12")
_NANO: Final = Decimal("1e-9")
_KINDS: Final = ("system", "tools", "history", "result", "file", "new")
_TIMES: Final = {"day": "toStartOfDay(t.created_at)", "hour": "toStartOfHour(t.created_at)"}
_FURTHER: Final = {
    "organization": "organization_id",
    "run": "run_id",
    "conversation": "conversation_id",
    "call": "id",
}
_NAMES: Final = ("agent_id", "provider", "priced_model")
"""What ``cache_group`` is a number of."""
_DESCRIBED: Final = 50
"""Sets of tools whose schemas are told apart in one answer: the ones that took most tokens."""


def prompt_answers(ask: Ask) -> dict[type[QueryRequest], Callable[[str | None, Any], object]]:
    """Return what answers each of these questions."""
    return {
        GetCacheMisses: partial(cache_misses, ask),
        ListCacheMisses: partial(cache_miss_calls, ask),
        GetAnatomy: partial(anatomy, ask),
    }


def cache_misses(ask: Ask, organization_id: str | None, question: GetCacheMisses) -> list[CacheMisses]:
    """Return what was missed, by agent, model and cause, the dearest first."""
    compared = _Compared(organization_id, question)
    rows = ask(sums_sql(compared.sql()), compared.values(), LONG_BLOCKS)
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["cache_group"], cause(evidence(row["facts"])))
        one = found.setdefault(key, {"calls": 0, "tokens": 0, "pico": None, "unpriced": 0, "most": 0})
        one["calls"] += row["calls"]
        one["tokens"] += row["all_tokens"]
        one["unpriced"] += row["unpriced"]
        if row["all_pico"] is not None:
            one["pico"] = (one["pico"] or 0) + row["all_pico"]
        if row["most_tokens"] > one["most"]:
            one["most"], one["worst"] = row["most_tokens"], row["worst"]
    dearest = sorted(found.items(), key=lambda one: (-(one[1]["pico"] or 0), -one[1]["tokens"], one[0]))
    chosen = dearest[: question.limit]
    # A group's names are those of any of its calls.
    details = _by_key(ask, organization_id, [one["worst"] for _, one in chosen], ("id", *_NAMES))
    return [
        CacheMisses(
            agent_id=worst["agent_id"],
            provider=worst["provider"],
            model=worst["priced_model"],
            cause=word,
            calls=one["calls"],
            lost_tokens=one["tokens"],
            lost_usd=_dollars(one["pico"]),
            unknown_cost=one["unpriced"],
            worst_id=worst["id"],
        )
        for (_, word), one in chosen
        if (worst := details.get(_key(one["worst"])))
    ]


def cache_miss_calls(ask: Ask, organization_id: str | None, question: ListCacheMisses) -> list[CacheMiss]:
    """Return the calls that missed, the dearest first, each with its place."""
    compared = _Compared(organization_id, question)
    if question.id is not None:
        compared.keep(question.id)
    rows = ask(f"{compared.sql()} {BY_LOSS}", {**compared.values(), "limit": question.limit}, LONG_BLOCKS)
    keys = [_row_key(row, prefix) for row in rows for prefix in ("", "before_")]
    names = (
        "id",
        *_NAMES,
        "prompt_parts",
        "service_tier",
        "region",
        "cache_left_seconds",
        "cache_diagnostics",
    )
    details = _by_key(ask, organization_id, keys, names)
    return [_miss(row, details) for row in rows if _key(_row_key(row)) in details]


def _miss(row: dict[str, Any], details: Mapping[Key, dict[str, Any]]) -> CacheMiss:
    own = details[_key(_row_key(row))]
    parent = details.get(_key(_row_key(row, "before_")), {})
    word = cause(evidence(row["facts"]))
    before = read_description(parent.get("prompt_parts", ""))
    place = place_of(word, before, read_description(own["prompt_parts"]), _values(word, row, own, parent))
    return CacheMiss(
        id=own["id"],
        parent_id=parent.get("id", ""),
        agent_id=own["agent_id"],
        provider=own["provider"],
        model=own["priced_model"],
        created_at=row["created_at"],
        cause=word,
        place=place,
        place_text=in_words(place),
        prompt_tokens=row["prompt_tokens"],
        could_read_tokens=row["could_tokens"],
        read_tokens=row["cached_tokens"],
        lost_tokens=row["lost_tokens"],
        lost_usd=_dollars(row["lost_pico"]),
        provider_says=own["cache_diagnostics"],
    )


def _values(word: str, row: dict[str, Any], own: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """Return what the place of a cause is that no description is needed for."""
    if not parent:
        return {}
    if word == MODEL:
        return {"model": own["priced_model"], "was": parent["priced_model"]}
    if word == TIER and own["service_tier"] != parent["service_tier"]:
        return {"tier": own["service_tier"] or "default", "was": parent["service_tier"] or "default"}
    if word == TIER:
        return {"region": own["region"], "was": parent["region"]}
    if word == EXPIRED:
        passed = (row["created_at"] - row["before_created_at"]).total_seconds()
        return {"seconds": round(passed), "lifetime_seconds": parent["cache_left_seconds"]}
    return {"with": parent["id"]} if word == IN_FLIGHT else {}


class _Compared:
    """Which calls are compared, and with which."""

    def __init__(self, organization_id: str | None, question: Narrowed) -> None:
        self._calls, self._near = Where.near(organization_id), Where.near(organization_id)
        self._parents = Where.near(organization_id)
        self._calls.add(
            "t.organization_hash = sipHash64({organization_id:String})", organization_id=organization_id
        )
        for where in (self._calls, self._near):
            where.narrow(question)
            where.between(question.start_date, question.end_date)
        earliest = question.start_date and question.start_date - timedelta(days=PARENT_DAYS)
        self._parents.add(
            "t.created_at >= fromUnixTimestamp64Micro({parents_since:Int64})",
            parents_since=microseconds(earliest),
        )

    def keep(self, row_id: str) -> None:
        """Compare one call alone."""
        for where in (self._calls, self._near):
            where.equal("id", row_id)

    def sql(self) -> str:
        return misses_sql(str(self._calls), str(self._near), str(self._parents))

    def values(self) -> dict[str, Any]:
        return {**self._parents.values, **self._calls.values}


def _dollars(pico: int | None) -> Decimal | None:
    return None if pico is None else (int(pico) * _PICO).quantize(_NANO)


def _row_key(row: Mapping[str, Any], prefix: str = "") -> tuple[Any, Any, Any]:
    return row[f"{prefix}batch_id"], row[f"{prefix}batch_row"], row[f"{prefix}created_at"]


def _key(found: Sequence[Any]) -> Key:
    return str(found[0]), int(found[1])


def _by_key(
    ask: Ask, organization_id: str | None, keys: Sequence[Sequence[Any]], names: Sequence[str]
) -> dict[Key, dict[str, Any]]:
    """Return some columns of rows by their segment and line; their times let the engine skip all other rows."""
    if not keys:
        return {}
    where = Where(organization_id)
    _at(where, keys)
    columns = ", ".join(f"t.{name} AS {name}" for name in ("batch_id", "batch_row", *names))
    rows = ask(f"SELECT {columns} FROM llm_traces AS t WHERE {where}", where.values)  # noqa: S608 - fixed fragments, values are bound
    by_key = {_key((row["batch_id"], row["batch_row"])): row for row in rows}
    return {key: by_key[key] for key in map(_key, keys) if key in by_key}


def _at(where: Where, keys: Sequence[Sequence[Any]]) -> None:
    """Keep these rows, and perhaps a few others of their lines and times."""
    numbers = sorted({round(key[2].timestamp() * 1e6) for key in keys})
    hours = sorted({hour for us in numbers for hour in (us // HOUR_US, -(-us // HOUR_US))})
    # The hours are for the index; numbers are compared before a text is read.
    for name, sql, kind, values in (
        ("lines", "t.batch_row", "UInt32", sorted({int(key[1]) for key in keys})),
        ("hours", "intDiv(toInt64(t.created_at), 3600)", "Int64", hours),
        ("times", "toUnixTimestamp64Micro(t.created_at)", "Int64", numbers),
    ):
        where.add(f"{sql} IN {{{name}:Array({kind})}}", **{name: values})


def anatomy(ask: Ask, organization_id: str | None, question: GetAnatomy) -> list[Anatomy]:
    """Return what the tokens of prompts are, the largest groups first; single calls in the order of time."""
    where = Where(organization_id)
    where.narrow(question)
    where.between(question.start_date, question.end_date)
    where.equal("id", question.id)
    groups = {f"group_{name}": _group(name) for name in question.group_by}
    columns = "".join(f"{sql} AS {alias}, " for alias, sql in groups.items())
    aliases = ", ".join(groups)
    sums = ", ".join(f"sum(toUInt64(t.{name}_tokens)) AS {name}" for name in _KINDS)
    by = f"{aliases}, of_tools" if aliases else "of_tools"
    rows = ask(
        f"SELECT {columns}t.tools_hash AS of_tools, count() AS calls, sum(toUInt64(t.prompt_tokens)) AS prompt, {sums},"  # noqa: S608 - fixed fragments, values are bound
        " min(t.created_at) AS first_at, argMax((t.batch_id, t.batch_row, t.created_at), t.tools_tokens) AS sample"
        f" FROM llm_traces AS t WHERE {where} AND t.prompt_tokens > 0 GROUP BY {by}"
        f" ORDER BY {'first_at' if 'call' in question.group_by else 'prompt DESC'}"
        f" LIMIT {10 * question.limit}",
        where.values,
    )
    samples = {
        row["of_tools"]: row["sample"] for row in sorted(rows, key=lambda row: row["tools"]) if row["tools"]
    }
    wanted = list(samples.items())[-_DESCRIBED:]
    parts = _by_key(ask, organization_id, [sample for _, sample in wanted], ("prompt_parts",))
    tools = {
        number: read_description(parts[_key(sample)]["prompt_parts"])
        for number, sample in wanted
        if _key(sample) in parts
    }
    return _added_up(rows, question, tools)


def _added_up(
    rows: Sequence[dict[str, Any]], question: GetAnatomy, tools: Mapping[int, Description]
) -> list[Anatomy]:
    found: dict[tuple[str, ...], Anatomy] = {}
    for row in rows:
        group = {name: str(row[f"group_{name}"]) for name in question.group_by}
        one = found.setdefault(tuple(group.values()), Anatomy(group=group))
        one.calls += row["calls"]
        one.prompt_tokens += row["prompt"]
        for name, kind in zip(
            ("system", "tools", "history", "tool_results", "files", "new"), _KINDS, strict=True
        ):
            setattr(one, name, getattr(one, name) + row[kind])
        one.other += row["prompt"] - sum(row[kind] for kind in _KINDS)
        _add_tools(one, tools.get(row["of_tools"]), row["tools"])
    return list(found.values())[: question.limit]


def _add_tools(one: Anatomy, described: Description | None, tokens: int) -> None:
    """Add each tool's share of what all tools took: they are the same in every call with the same hash."""
    if described is None or not described.tools:
        return
    shares = apportioned([count for _, _, count in described.tools], tokens)
    for (name, _, _), share in zip(described.tools, shares, strict=True):
        one.by_tool[name] = one.by_tool.get(name, 0) + share
        server = server_of(name)
        if server:
            one.by_server[server] = one.by_server.get(server, 0) + share


def server_of(tool: str) -> str:
    """Return the MCP server that a tool's name says (``mcp__server__tool``), or "".

    >>> server_of("mcp__github__create_issue")
    'github'
    """
    head, _, rest = tool.partition("__")
    server, separator, _ = rest.partition("__")
    return server if head == "mcp" and separator else ""


def _group(name: str) -> str:
    if name in _TIMES:
        return _TIMES[name]
    return f"t.{_FURTHER.get(name) or GROUPED[name]}"
