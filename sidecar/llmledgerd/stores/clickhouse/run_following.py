"""Which conversations are parts of other runs, found by the names that their calls bear. Blocking; for threads.

A conversation's id, the turn that its first call continues, and what that was asked (``opening_names``), may be
names of an earlier call's turn (``turn_id``, ``turn_names``): the conversation is then a part of that call's run,
as a sub-agent's is, one that goes on after compaction, or one whose calls send a cut history or only
``previous_response_id``.

Invariants:
- A name leads to a call of the same organization that was there before.
- A turn with which several conversations begin ("Hello", and a greeting) leads to none of them: nothing tells whose
  the next call is.
- The work is bounded: ROUNDS statements and MOST conversations, however long the chains are, and CHAINED calls
  of chains in which each call is a conversation of its own. What lies beyond stays a run of its own.
- Nothing is looked for further than SPAN_US from the calls that are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from llmledgerd.stores.clickhouse.run_calls import OWN_RUN, Key, RunCalls, within

ROUNDS: Final = 16
MOST: Final = 5_000
"""Conversations that are followed for one answer."""

CHAINED: Final = 50_000
"""Calls that continue another by its name alone (``previous_response_id``) and are followed together."""

CHAINS_AFTER: Final = 2
"""Rounds after which such chains are looked for."""

SPAN_US: Final = 24 * 3600 * 1_000_000

ALONE: Final = "t.parent_turn_id = '' AND t.conversation_id != t.turn_id"
"""A first call whose turn does not tell its conversation (``conversations.identity``)."""

Whole = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]


class Following:
    """Names of one organization's turns (None: of all) followed to the calls that bear them."""

    def __init__(self, whole: Whole, organization_id: str | None) -> None:
        self._whole = whole
        self._organization_id = organization_id

    def upward(self, conversations: Collection[Key], since_us: int | None) -> dict[Key, Key]:
        """Return the run that each conversation is a part of, itself where it is a part of none.

        ``since_us`` is a time before which their calls are not of interest.
        """
        above: dict[Key, Key] = {}
        pending = set(conversations)
        since = None if since_us is None else since_us - SPAN_US
        for number in range(ROUNDS):
            if not pending or len(above) > MOST:
                break
            found = self._above(pending, since)
            if number == CHAINS_AFTER:
                found |= self._chains(since, None).above(pending)
            above |= found
            pending = {run for run in found.values() if run not in above}
        return {one: _top(above, one) for one in conversations}

    def downward(self, calls: RunCalls, first_us: int, last_us: int) -> dict[Key, str]:
        """Return the runs of ``calls`` with the conversations that are parts of them, between these times."""
        runs = dict(calls.runs)
        fresh = calls
        for number in range(ROUNDS):
            rows = self._below(fresh, runs, first_us, last_us)
            new = {(row["organization_id"], row["conversation"]): str(row["run"]) for row in rows}
            if doubted := {(row["organization_id"], row["conversation"]) for row in rows if row["is_alone"]}:
                above = self._above(doubted, first_us - SPAN_US)
                for one in doubted:
                    if one not in above or runs.get(above[one]) != new[one]:
                        del new[one]
            if not new or len(runs) > MOST:
                break
            if number == CHAINS_AFTER:
                new |= self._chains(first_us, last_us + SPAN_US).below(new)
            runs |= new
            fresh = RunCalls(calls.organization_id, new, calls.start, calls.end)
        return runs

    def _chains(self, start: int | None, end: int | None) -> Chains:
        where = within(self._organization_id, start, end)
        rows = self._whole(
            "SELECT t.organization_id AS organization_id, t.conversation_id AS conversation,"  # noqa: S608 - fixed fragments, values are bound
            " cityHash64(t.conversation_id) AS name,"
            " arrayMap(x -> cityHash64(x), arrayPushFront(t.turn_names, t.turn_id)) AS names"
            f" FROM llm_traces AS t WHERE {where} AND t.run_id = '' AND t.conversation_id != ''"
            f" AND t.conversation_id = t.parent_turn_id ORDER BY t.created_at DESC LIMIT {CHAINED}",
            where.values,
        )
        return Chains(
            (row["organization_id"], row["conversation"], row["name"], row["names"]) for row in rows
        )

    def _above(self, pending: Collection[Key], since: int | None) -> dict[Key, Key]:
        """Return the run of the call that bears a conversation's name, for those that have one."""
        where = within(self._organization_id, since, None)
        begun = self._whole(
            "SELECT t.organization_id AS organization_id, t.conversation_id AS conversation,"  # noqa: S608 - fixed fragments, values are bound
            " arrayPushFront(groupUniqArrayArray(20)(t.opening_names), argMin(t.parent_turn_id, t.created_at)) AS names,"
            " toUnixTimestamp64Micro(min(t.created_at)) AS first_us"
            f" FROM llm_traces AS t WHERE {where} AND t.run_id = '' AND t.conversation_id IN {{ids:Array(String)}}"
            " GROUP BY organization_id, conversation",
            {**where.values, "ids": sorted({conversation for _, conversation in pending})},
        )
        names = sorted({name for row in begun for name in (row["conversation"], *row["names"]) if name})
        bearers: dict[Key, list[tuple[int, Key]]] = {}
        alone: set[Key] = set()
        for row in self._bearing(names, since):
            organization = row["organization_id"]
            if row["is_alone"]:
                alone.add((organization, row["run"]))
            for name in (row["turn_id"], *row["turn_names"]):
                bearers.setdefault((organization, name), []).append(
                    (row["at_us"], (organization, row["run"]))
                )
        found = {}
        for row in begun:
            organization, conversation, first = row["organization_id"], row["conversation"], row["first_us"]
            own = (organization, conversation)
            for name in (conversation, *row["names"]):
                earliest = None if name == conversation else first - SPAN_US
                before = [
                    one
                    for one in bearers.get((organization, name), [])
                    if one[0] < first and (earliest is None or one[0] >= earliest) and one[1] != own
                ]
                is_shared = len({run for _, run in before if run in alone}) > 1
                if before and own in pending and not is_shared:
                    found[own] = max(before)[1]
                    break
        return found

    def _bearing(self, names: list[str], since: int | None) -> list[dict[str, Any]]:
        if not names:
            return []
        where = within(self._organization_id, since, None)
        columns = (
            f"t.organization_id AS organization_id, {OWN_RUN} AS run, toUnixTimestamp64Micro(t.created_at) AS at_us,"
            f" t.turn_id AS turn_id, t.turn_names AS turn_names, {ALONE} AS is_alone"
        )
        halves = ("t.turn_id IN {names:Array(String)}", "hasAny(t.turn_names, {names:Array(String)})")
        statement = " UNION ALL ".join(
            f"SELECT {columns} FROM llm_traces AS t WHERE {where} AND {half} AND {OWN_RUN} != ''"  # noqa: S608 - as above
            for half in halves
        )
        return self._whole(statement, {**where.values, "names": names})

    def _below(
        self, calls: RunCalls, known: Mapping[Key, str], first_us: int, last_us: int
    ) -> list[dict[str, Any]]:
        """Return conversations whose id or opening is borne by one of the calls, each with the run of that call."""
        where = within(calls.organization_id, first_us, last_us + SPAN_US)
        given = {f"of_{name}": value for name, value in where.values.items() if name != "organization_id"}
        condition = str(where).replace("{start:", "{of_start:").replace("{end:", "{of_end:")
        bearing = calls.sql("t.organization_id AS organization_id, t.created_at AS at, t.turn_id AS turn_id,"
                            f" {ALONE} AS is_alone,"
                            " arrayJoin(arrayPushFront(t.turn_names, t.turn_id)) AS name")  # fmt: skip
        return self._whole(
            "SELECT c.organization_id AS organization_id, c.conversation AS conversation, any(p.run) AS run,"  # noqa: S608 - as above
            " min(p.is_alone) AS is_alone FROM"
            " (SELECT t.organization_id AS organization_id, t.conversation_id AS conversation, t.created_at AS at,"
            " t.turn_id AS turn_id,"
            " arrayJoin(arrayConcat([t.conversation_id, t.parent_turn_id], t.opening_names)) AS name"
            f" FROM llm_traces AS t WHERE {condition} AND t.run_id = '' AND t.conversation_id != ''"
            " AND t.conversation_id NOT IN {known:Array(String)}) AS c"
            f" INNER JOIN ({bearing}) AS p ON c.organization_id = p.organization_id AND c.name = p.name"
            " WHERE p.at < c.at AND p.turn_id != c.turn_id GROUP BY organization_id, conversation"
            f" LIMIT {MOST}",
            {**calls.values, **given, "known": sorted({one for _, one in known})},
        )


class Chains:
    """Calls whose conversation is the turn before them, put together in memory. Pure.

    Each is given as organization, conversation, its hash, and the hashes of the names of its turn.
    """

    def __init__(self, calls: Iterable[tuple[str, str, int, Sequence[int]]]) -> None:
        self._hash: dict[Key, int] = {}
        self._names: dict[Key, list[int]] = {}
        self._text: dict[tuple[str, int], str] = {}
        self._bearer: dict[tuple[str, int], str] = {}
        for organization, conversation, hashed, names in calls:
            self._hash[organization, conversation] = hashed
            self._text[organization, hashed] = conversation
            self._names.setdefault((organization, conversation), []).extend(names)
            for name in names:
                self._bearer[organization, name] = conversation

    def above(self, conversations: Collection[Key]) -> dict[Key, Key]:
        """Return the conversation before each, and before those, as far as they are known."""
        found: dict[Key, Key] = {}
        for one in conversations:
            organization = one[0]
            while one not in found and one in self._hash:
                before = self._bearer.get((organization, self._hash[one]))
                if before is None or before == one[1]:
                    break
                found[one] = one = (organization, before)
        return found

    def below(self, runs: Mapping[Key, str]) -> dict[Key, str]:
        """Return the conversations after these, and after those, with their runs."""
        found = dict(runs)
        waiting = list(runs)
        while waiting:
            one = waiting.pop()
            for name in self._names.get(one, ()):
                after = self._text.get((one[0], name))
                if after is not None and (one[0], after) not in found:
                    found[one[0], after] = found[one]
                    waiting.append((one[0], after))
        return found


def _top(above: Mapping[Key, Key], one: Key) -> Key:
    """Return the end of a chain. Names lead to earlier calls, but conversations may lead to each other."""
    seen = {one}
    while one in above and above[one] not in seen:
        one = above[one]
        seen.add(one)
    return one
