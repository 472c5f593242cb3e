"""Hosts of a cluster: which there are, which answer, and how many copies of a row are enough.

Invariant: a host has the number that ``_shard_num`` has in ``clusterAllReplicas``, where every replica is
a shard of its own, in the order of ``system.clusters``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.topology import Placement


class Host(msgspec.Struct, frozen=True):
    """One replica of one shard."""

    number: int
    shard: int
    name: str
    answers: bool = True


def hosts(store: Store, place: Placement, at: int | None = None) -> list[Host]:
    """Return the hosts of a table's cluster. Raises StoreBusy."""
    rows = store.query(
        "SELECT shard_num, host_name, port FROM system.clusters WHERE cluster = {cluster:String}"
        " ORDER BY shard_num, replica_num",
        {"cluster": cluster_name(store, place.cluster, at)},
        at=at,
    )
    answering = store.query(
        f"SELECT DISTINCT _shard_num AS number FROM {place.on_every_host('system.one')}",  # noqa: S608 - the cluster's own name
        settings={"skip_unavailable_shards": 1},
        at=at,
    )
    up = {int(row["number"]) for row in answering}
    return [
        Host(number, int(row["shard_num"]), f"{row['host_name']}:{row['port']}", number in up)
        for number, row in enumerate(rows, 1)
    ]


def cluster_name(store: Store, cluster: str, at: int | None = None) -> str:
    """Return a cluster's name with the server's macros replaced."""
    if "{" not in cluster:
        return cluster
    for row in store.query("SELECT macro, substitution FROM system.macros", at=at):
        cluster = cluster.replace(f"{{{row['macro']}}}", str(row["substitution"]))
    return cluster


def copies_needed(insert_quorum: str, replicas: int) -> int:
    """Return how many of a shard's replicas have an acknowledged row, by the setting ``insert_quorum``."""
    if insert_quorum == "auto":
        return replicas // 2 + 1
    return max(1, int(insert_quorum)) if insert_quorum.isdecimal() else replicas


def thin_rows(
    found: Mapping[int, Collection[int]], everywhere: Sequence[Host], insert_quorum: str, *, on_all: bool
) -> set[int]:
    """Return the rows on fewer replicas than the quorum of their shard.

    ``found`` has the hosts' numbers of each row. ``on_all``: all hosts are replicas of one table.
    """
    shard = {one.number: 0 if on_all else one.shard for one in everywhere}
    needed = {
        number: copies_needed(insert_quorum, sum(one == number for one in shard.values()))
        for number in set(shard.values())
    }
    return {
        row
        for row, numbers in found.items()
        if any(
            sum(shard.get(number) == one for number in numbers) < needed.get(one, 1)
            for one in {shard.get(number, 0) for number in numbers}
        )
    }


def has_every_acknowledged_row(everywhere: Sequence[Host], insert_quorum: str) -> bool:
    """Return whether the hosts that answer include, in each shard, one of every quorum."""
    shards: dict[int, list[bool]] = {}
    for one in everywhere:
        shards.setdefault(one.shard, []).append(one.answers)
    return all(
        sum(answers) > len(answers) - copies_needed(insert_quorum, len(answers))
        for answers in shards.values()
    )
