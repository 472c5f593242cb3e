"""Erasure of payloads or whole rows in ClickHouse.

Invariant: an erasure can be interrupted at any point and repeated: objects are deleted before the rows
that refer to them, and hours are doubted before their rows are deleted. Nothing outside the condition is
changed, and erased data is removed from the disk: parts are rewritten, not masked.

Rows that are not stored yet are erased by marks (``delivery/erasure_marks.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmledgerd.errors import LlmledgerdError, StoreBusy
from llmledgerd.query.erasure import ERASED_URI, OBJECTS_AT_ONCE, PAYLOADS, Erasure, Extent, Objects, left_of
from llmledgerd.stores.clickhouse.client import UNAVAILABLE, Store
from llmledgerd.stores.clickhouse.mutations import Mutations
from llmledgerd.stores.clickhouse.rollup import Rollup

TOKENS: Final = r"""'"(?:[^"\\\\]|\\\\.)*"\\s*:|"(?:[^"\\\\]|\\\\.)*"|[^"]+'"""
BARE_USAGE: Final = (
    r"""arrayStringConcat(arrayMap(x -> if(startsWith(x, '"') AND NOT match(x, ':\\s*$'), '""', x),"""
    f" extractAll(usage_json, {TOKENS})))"
)
"""``usage_json`` with empty texts: its numbers stay, and texts can be personal data."""

TABLE: Final = "llm_traces"


class Eraser:
    """Erases in one store. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Store, objects: Objects | None = None) -> None:
        """``objects`` is the object storage of payloads; None if all payloads are in the store."""
        self._store = store
        self._objects = objects
        self._away: set[str] = set()

    def extent(self, erasure: Erasure) -> Extent:
        """Return what ``erase`` would find now."""
        return self._found(erasure)[0]

    def _found(self, erasure: Erasure) -> tuple[Extent, set[int]]:
        """Return the same, and the hours of usage that include it."""
        condition, values = _condition(erasure)
        found, hours = Extent(), set[int]()
        for at in self._store.independent_addresses(TABLE):
            (here,) = self._store.query(
                f"SELECT count() AS calls, countIf(payload_uri NOT IN ('', '{ERASED_URI}')) AS objects,"  # noqa: S608 - conditions are our own, values are bound
                f" groupUniqArray(toUnixTimestamp(toStartOfHour(created_at))) AS hours FROM {TABLE} WHERE {condition}",
                values,
                at=at,
            )
            found.calls += here["calls"]
            found.objects += here["objects"]
            hours.update(here["hours"])
        found.hours = len(hours)
        return found, hours

    def erase(self, erasure: Erasure) -> Extent:
        """Erase, and return what was erased. Raises LlmledgerdError if objects are unreachable."""
        condition, values = _condition(erasure)
        found, hours = self._found(erasure)
        self._erase_objects(erasure, found, condition, values)
        if found.calls and erasure.rows:
            Rollup(self._store).doubt_rows("erased", condition, values)
            self._change("DELETE", condition, values)
            if erasure.is_of_all:
                Rollup(self._store).forget_hours(erasure.organization_id, hours)
        elif found.calls:
            emptied = ", ".join(f"{name} = '{left_of(name)}'" for name in PAYLOADS)
            self._change(f"UPDATE {emptied}, usage_json = {BARE_USAGE}", condition, values)
        if erasure.rows and erasure.is_of_all:
            Rollup(self._store).forget_expired_usage(erasure.organization_id, erasure.before_us)
        return found

    def detached(self) -> list[str]:
        """Return detached parts, which no statement changes, and replicas that have yet to erase, a sentence each."""
        away = [f"the replica {name} is away, and erases after its return" for name in sorted(self._away)]
        return away + self._detached_parts()

    def _detached_parts(self) -> list[str]:
        try:
            rows = self._store.query(
                "SELECT table, count() AS parts FROM system.detached_parts WHERE database = currentDatabase()"
                " AND startsWith(table, 'llm_') GROUP BY table"
            )
        except StoreBusy as error:
            if error.kind in UNAVAILABLE:
                raise
            return ["detached parts of the tables: this user may not see them"]
        return [f"{row['parts']:,} detached parts of {row['table']}" for row in rows]

    def _change(self, what: str, condition: str, values: dict[str, Any]) -> None:
        mutations = Mutations(self._store)
        for at in self._store.independent_addresses(TABLE):
            self._away.update(mutations.change(TABLE, what, condition, values, at=at))

    def _erase_objects(self, erasure: Erasure, found: Extent, condition: str, values: dict[str, Any]) -> None:
        if found.objects and self._objects is None:
            raise LlmledgerdError(
                "payloads of these calls lie in object storage, which this command cannot reach: nothing is erased"
            )
        if self._objects is None:
            return
        if found.objects:
            for uris in self._uris(condition, values):
                self._objects.delete_calls(uris)
        if erasure.is_of_all and erasure.before_us is None:
            self._objects.delete_files(erasure.organization_id)

    def _uris(self, condition: str, values: dict[str, Any]) -> Iterator[list[str]]:
        for at in self._store.independent_addresses(TABLE):
            last = ""
            while True:
                rows = self._store.query(
                    f"SELECT DISTINCT payload_uri AS uri FROM {TABLE} WHERE {condition} AND payload_uri NOT IN ('', '{ERASED_URI}') AND payload_uri > {{last:String}}"  # noqa: S608 - as above
                    " ORDER BY uri LIMIT {limit:UInt32}",
                    {**values, "last": last, "limit": OBJECTS_AT_ONCE},
                    at=at,
                )
                if not rows:
                    break
                last = rows[-1]["uri"]
                yield [row["uri"] for row in rows]


def _condition(erasure: Erasure) -> tuple[str, dict[str, Any]]:
    """Return the condition for rows with data to erase."""
    conditions = ["organization_id = {org:String}"]
    values: dict[str, Any] = {"org": erasure.organization_id}
    if erasure.customer_id is not None:
        conditions.append("billing_customer_id = {customer:String}")
        values["customer"] = erasure.customer_id
    if erasure.user_id is not None:
        conditions.append("user_id = {user:String}")
        values["user"] = erasure.user_id
    if erasure.before_us is not None:
        conditions.append("created_at < fromUnixTimestamp64Micro({before:Int64})")
        values["before"] = erasure.before_us
    if erasure.until_us is not None:
        conditions.append("ingested_at <= fromUnixTimestamp64Micro({until:Int64})")
        values["until"] = erasure.until_us
    if not erasure.rows:  # so that a second time finds nothing
        held = [
            *(f"{name} NOT IN ('', '{left_of(name)}')" for name in PAYLOADS),
            f"usage_json != {BARE_USAGE}",
        ]
        conditions.append(f"({' OR '.join(held)})")
    return " AND ".join(conditions), values
