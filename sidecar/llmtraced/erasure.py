"""Taking away what was stored of somebody: payloads, or whole rows.

Invariant: it is done in an order that can be interrupted anywhere and begun again: objects before
the rows that name them, hours put in doubt before their rows go. Nothing outside the condition is
touched, and what is gone is gone from the disk: parts are rewritten, not masked.

What has not landed yet cannot be found here. Whoever erases runs it again once the spool is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from llmtraced.dead_letters import DeadLetter, line_of
from llmtraced.errors import LlmtracedError
from llmtraced.placement import DDL_SETTINGS
from llmtraced.rollup import Rollup
from llmtraced.store import Store

PAYLOADS: Final = (
    "request_json", "response_json", "llm_config_json", "compaction_settings_json", "error_message", "payload_uri",
)  # fmt: skip
"""What holds what was said. ``usage_json`` holds numbers, and stays."""

TABLE: Final = "llm_traces"
OBJECTS_AT_ONCE: Final = 1000


class Objects(Protocol):
    """Object storage, as far as it is erased. Raises LlmtracedError; what is gone already is no error."""

    def delete_calls(self, uris: Sequence[str]) -> None: ...
    def delete_files(self, organization_id: str) -> None: ...


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose calls, and whether their rows go too."""

    organization_id: str
    customer_id: str | None = None
    user_id: str | None = None
    before_us: int | None = None
    """Only calls that started before, in microseconds since 1970."""
    rows: bool = False

    @property
    def is_of_all(self) -> bool:
        """Whether it is of everybody in the organisation."""
        return self.customer_id is None and self.user_id is None


class Extent(msgspec.Struct, kw_only=True):
    """How much there is to erase, or was erased."""

    calls: int = 0
    hours: int = 0
    """Of usage, in which these calls are counted."""
    objects: int = 0


class Eraser:
    """Erases in one store. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Store, objects: Objects | None = None) -> None:
        """``objects`` None stands for a store whose payloads are all in it."""
        self._store = store
        self._objects = objects

    def extent(self, erasure: Erasure) -> Extent:
        """Return what ``erase`` would find now."""
        condition, values = _condition(erasure)
        found, hours = Extent(), set[int]()
        for at in self._store.apart(TABLE):
            (here,) = self._store.query(
                "SELECT count() AS calls, countIf(payload_uri != '') AS objects,"  # noqa: S608 - conditions are our own, values are bound
                f" groupUniqArray(toUnixTimestamp(toStartOfHour(created_at))) AS hours FROM {TABLE} WHERE {condition}",
                values,
                at=at,
            )
            found.calls += here["calls"]
            found.objects += here["objects"]
            hours.update(here["hours"])
        found.hours = len(hours)
        return found

    def erase(self, erasure: Erasure) -> Extent:
        """Erase, and return what there was. Raises LlmtracedError where objects are out of reach."""
        condition, values = _condition(erasure)
        found = self.extent(erasure)
        self._erase_objects(erasure, found, condition, values)
        if found.calls and erasure.rows:
            Rollup(self._store).doubt_rows("erased", condition, values)
            self._change(f"DELETE WHERE {condition}", values)
        elif found.calls:
            emptied = ", ".join(f"{name} = ''" for name in PAYLOADS)
            self._change(f"UPDATE {emptied} WHERE {condition}", values)
        if erasure.rows and erasure.is_of_all:
            Rollup(self._store).forget_expired_usage(erasure.organization_id, erasure.before_us)
        return found

    def _change(self, change: str, values: dict[str, Any]) -> None:
        place = self._store.placement(TABLE)
        settings = {"mutations_sync": 2, **(DDL_SETTINGS if place.cluster else {})}
        for at in self._store.apart(TABLE):
            self._store.run(f"ALTER TABLE {place.changed} {change}", values, settings, at=at)

    def _erase_objects(self, erasure: Erasure, found: Extent, condition: str, values: dict[str, Any]) -> None:
        if found.objects and self._objects is None:
            raise LlmtracedError(
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
        for at in self._store.apart(TABLE):
            last = ""
            while True:
                rows = self._store.query(
                    f"SELECT DISTINCT payload_uri AS uri FROM {TABLE} WHERE {condition} AND payload_uri > {{last:String}}"  # noqa: S608 - as above
                    " ORDER BY uri LIMIT {limit:UInt32}",
                    {**values, "last": last, "limit": OBJECTS_AT_ONCE},
                    at=at,
                )
                if not rows:
                    break
                last = rows[-1]["uri"]
                yield [row["uri"] for row in rows]


def _condition(erasure: Erasure) -> tuple[str, dict[str, Any]]:
    """Return the rows that there is something to erase of."""
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
    if not erasure.rows:  # so that a second time finds nothing
        conditions.append(f"({' OR '.join(f'notEmpty({name})' for name in PAYLOADS)})")
    return " AND ".join(conditions), values


class _Billing(msgspec.Struct):
    customer_id: str | None = None


class _Whose(msgspec.Struct):
    """Whose a refused line is, as far as it says."""

    org_id: str | None = None
    user_id: str | None = None
    billing: _Billing | None = None


def concerns(erasure: Erasure, letter: DeadLetter) -> bool:
    """Whether a dead letter is of the calls that are erased, as far as its line can be read."""
    if erasure.before_us is not None and letter.received_us >= erasure.before_us:
        return False
    line = line_of(letter)
    try:
        whose = msgspec.json.decode(line or b"", type=_Whose)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _mentions(erasure, letter.line or "")
    customer = whose.billing.customer_id if whose.billing else None
    return (
        whose.org_id == erasure.organization_id
        and erasure.customer_id in (None, customer)
        and erasure.user_id in (None, whose.user_id)
    )


def _mentions(erasure: Erasure, text: str) -> bool:
    """Whether text that is no record any more names what the erasure names."""
    named = (
        ("org_id", erasure.organization_id),
        ("customer_id", erasure.customer_id),
        ("user_id", erasure.user_id),
    )
    return all(
        re.search(rf'"{field}"\s*:\s*{re.escape(msgspec.json.encode(value).decode())}', text)
        for field, value in named
        if value is not None
    )
