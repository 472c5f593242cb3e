"""Quorums of a replicated table that no cluster is known of, as Keeper counts the copies.

Invariant: a row is stored when no part that it came in waits for its quorum or failed it. One replica that
answers has rows that no other has; the replicas count the copies of each such part in Keeper, under
``quorum/status`` or, with ``insert_quorum_parallel``, ``quorum/parallel``, and remove the node when there
are enough. (ClickHouse's source, ``ReplicatedMergeTreeSink`` and ``ReplicatedMergeTreeQuorumEntry``.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.price_updates import quoted
from llmledgerd.stores.clickhouse.topology import Placement

_PART: Final = re.compile(r"part_name: (\S+)")


class Quorums(msgspec.Struct, frozen=True):
    """Names of the parts that are not stored yet."""

    pending: frozenset[str] = frozenset()
    """Too few replicas have the part by now."""
    failed: frozenset[str] = frozenset()
    """Given up: a replica that still has the part removes it."""

    def lack(self, part: str) -> bool:
        """Return whether rows of a part that a replica has may be removed again."""
        return part in self.failed or any(_covers(part, one) for one in self.pending)


def of_table(store: Store, place: Placement, at: int) -> Quorums:
    """Return the quorums of a table that are not reached. Raises StoreBusy."""
    replicas = store.query(
        "SELECT zookeeper_path AS path FROM system.replicas"
        " WHERE database = currentDatabase() AND table = {table:String}",
        {"table": place.table},
        at=at,
    )
    if not replicas:
        return Quorums()
    root = f"{replicas[0]['path']}/quorum"
    paths = ", ".join(quoted(path) for path in (root, f"{root}/parallel", f"{root}/failed_parts"))
    return read(
        root,
        store.query(f"SELECT path, name, value FROM system.zookeeper WHERE path IN ({paths})", at=at),  # noqa: S608 - quoted, since Keeper takes only constants
    )


def read(root: str, nodes: Iterable[Mapping[str, Any]]) -> Quorums:
    """Return the parts that the nodes below ``quorum`` name."""
    pending, failed = set(), set()
    for node in nodes:
        if node["path"] == f"{root}/parallel":
            pending.add(str(node["name"]))
        elif node["path"] == f"{root}/failed_parts":
            failed.add(str(node["name"]))
        elif node["name"] == "status" and (found := _PART.search(str(node["value"]))):
            pending.add(found[1])
    return Quorums(frozenset(pending), frozenset(failed))


def rows_without(found: Mapping[int, Collection[str]], quorums: Quorums) -> set[int]:
    """Return the rows that may be removed again, of rows with the parts that they are in."""
    lacking = {part for parts in found.values() for part in parts if quorums.lack(part)}
    return {row for row, parts in found.items() if not lacking.isdisjoint(parts)}


def _covers(part: str, other: str) -> bool:
    """Return whether a part is another one or was merged from it."""
    ours, theirs = part.split("_"), other.split("_")
    if len(ours) < 4 or len(theirs) < 4 or ours[0] != theirs[0]:
        return part == other
    return int(ours[1]) <= int(theirs[1]) and int(theirs[2]) <= int(ours[2])
