"""Topology of a table: one server, replicas, or the shards of a cluster. Pure.

Invariant: the tables themselves say it, by their engine, so that no setting of a daemon can
contradict them.
"""

from __future__ import annotations

import re

import msgspec

LOCAL = "_local"
"""Suffix of the shards' local tables; the name without it is the Distributed table."""

DDL_SETTINGS = {
    # A host that is down runs the statement from the queue after its return; the caller does not wait.
    "distributed_ddl_output_mode": "throw_only_active",
    "lightweight_deletes_sync": 1,
}
"""For statements ``ON CLUSTER``. Servers without that mode wait for every host, up to three minutes."""

_DISTRIBUTED = re.compile(r"Distributed\('([^']+)', '?[^,']*'?, '?(\w+)'?")
_REPLICATED = re.compile(r"(Replicated|Shared)\w*MergeTree")


class Placement(msgspec.Struct, frozen=True):
    """Placement of one table's rows."""

    table: str
    """Name of the table with the rows: on a cluster, the local table of each shard."""
    cluster: str = ""
    is_replicated: bool = False
    """Every address has the same rows and the same deduplication tokens."""

    @property
    def changed(self) -> str:
        """Return the table name for statements that change rows: DELETE FROM …, ALTER TABLE …."""
        return f"{self.table} ON CLUSTER '{self.cluster}'" if self.cluster else self.table

    @property
    def caught_up(self) -> str:
        """Return the statement after which replicas have all that was committed; empty without replicas."""
        on_cluster = f"ON CLUSTER '{self.cluster}' " if self.cluster else ""
        return f"SYSTEM SYNC REPLICA {on_cluster}{self.table} LIGHTWEIGHT" if self.is_replicated else ""


def placement(table: str, engine: str) -> Placement:
    """Return the placement by the table's ``engine_full`` in ``system.tables``."""
    distributed = _DISTRIBUTED.match(engine)
    if distributed:
        return Placement(distributed[2], distributed[1], is_replicated=True)
    return Placement(table, is_replicated=_REPLICATED.match(engine) is not None)
