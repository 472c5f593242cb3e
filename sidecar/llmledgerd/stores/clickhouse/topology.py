"""Topology of a table: one server, replicas, or the shards of a cluster. Pure.

Invariant: the tables themselves say it, by their engine, so that no setting of a daemon can
contradict them.
"""

from __future__ import annotations

import re

import msgspec

LOCAL = "_local"
"""What the shards' own tables have after the name by which everybody reads and writes."""

DDL_SETTINGS = {
    # A host that is down finds the statement in the queue when it is back; nobody waits for it.
    "distributed_ddl_output_mode": "throw_only_active",
    "lightweight_deletes_sync": 1,
}
"""For statements ``ON CLUSTER``. Servers without that mode wait for every host, up to three minutes."""

_DISTRIBUTED = re.compile(r"Distributed\('([^']+)', '?[^,']*'?, '?(\w+)'?")
_REPLICATED = re.compile(r"(Replicated|Shared)\w*MergeTree")


class Placement(msgspec.Struct, frozen=True):
    """Where one table's rows are."""

    table: str
    """The table that holds rows: on a cluster, one on each shard."""
    cluster: str = ""
    is_replicated: bool = False
    """Every address shows the same rows, and knows the same deduplication tokens."""

    @property
    def changed(self) -> str:
        """Return what a statement names that changes rows: DELETE FROM …, ALTER TABLE …."""
        return f"{self.table} ON CLUSTER '{self.cluster}'" if self.cluster else self.table

    @property
    def caught_up(self) -> str:
        """Return the statement after which replicas have all that was committed; empty without replicas."""
        on_cluster = f"ON CLUSTER '{self.cluster}' " if self.cluster else ""
        return f"SYSTEM SYNC REPLICA {on_cluster}{self.table} LIGHTWEIGHT" if self.is_replicated else ""


def placement(table: str, engine: str) -> Placement:
    """Return where a table's rows are, by the text of its engine in ``system.tables.engine_full``."""
    distributed = _DISTRIBUTED.match(engine)
    if distributed:
        return Placement(distributed[2], distributed[1], is_replicated=True)
    return Placement(table, is_replicated=_REPLICATED.match(engine) is not None)
