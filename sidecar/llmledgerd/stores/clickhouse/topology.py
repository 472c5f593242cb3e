"""Topology of a table: one server, replicas, or the shards of a cluster. Pure.

Invariant: the tables themselves say it, by their engine, so that no setting of a daemon can
contradict them.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

LOCAL = "_local"
"""Suffix of the shards' local tables; the name without it is the Distributed table."""

DDL_SETTINGS: Final = {
    # A host that is down runs the statement after its return; the caller does not wait for it. The mode
    # for hosts has an effect since 24.11 only: a limit in seconds serves the servers before that.
    "distributed_ddl_output_mode": "throw_only_active",
    "distributed_ddl_task_timeout": 30,
    # The worker that runs these statements runs one after another. A statement that waits in it for a
    # replica that is down is tried again for ever, and all later ones wait behind it.
    "mutations_sync": 0,
    "alter_sync": 0,
    "lightweight_deletes_sync": 0,
}
"""For every statement ``ON CLUSTER``: it returns when the hosts that are up have taken it."""

CHANGE_SETTINGS: Final = {"mutations_sync": 0, "lightweight_deletes_sync": 0}
"""For changes of rows of replicated tables without ``ON CLUSTER``: they wait for no replica."""

_DISTRIBUTED = re.compile(r"Distributed\('([^']+)', '?[^,']*'?, '?(\w+)'?")
_REPLICATED = re.compile(r"(Replicated|Shared)\w*MergeTree")


class Placement(msgspec.Struct, frozen=True):
    """Placement of one table's rows."""

    table: str
    """Name of the table with the rows: on a cluster, the local table of each shard."""
    cluster: str = ""
    is_replicated: bool = False
    """Every address has the same rows and the same deduplication tokens."""
    is_shared: bool = False
    """Replicas share one set of parts in object storage, as in ClickHouse Cloud."""

    @property
    def changed(self) -> str:
        """Return the table name for statements that change rows: DELETE FROM …, ALTER TABLE …."""
        return f"{self.table} ON CLUSTER '{self.cluster}'" if self.cluster else self.table

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings of statements that change rows."""
        if self.cluster:
            return dict(DDL_SETTINGS)
        return dict(CHANGE_SETTINGS) if self.is_replicated else {}

    @property
    def caught_up(self) -> str:
        """Return the statement after which the replica that runs it has all that was committed.

        Empty without replicas; on a cluster, where the question goes to every replica; and where replicas
        share their parts, where the question itself waits (``select_sequential_consistency``).
        """
        needs = self.is_replicated and not self.cluster and not self.is_shared
        return f"SYSTEM SYNC REPLICA {self.table} LIGHTWEIGHT" if needs else ""

    @property
    def everywhere(self) -> str:
        """Return the table expression for the rows of every replica; on one host, of the table."""
        return self.on_every_host(f"currentDatabase(), {self.table}", self.table)

    def on_every_host(self, table: str, alone: str = "") -> str:
        """Return the expression for a table of every host, such as ``system.parts``."""
        return f"clusterAllReplicas('{self.cluster}', {table})" if self.cluster else alone or table


def placement(table: str, engine: str) -> Placement:
    """Return the placement by the table's ``engine_full`` in ``system.tables``."""
    distributed = _DISTRIBUTED.match(engine)
    if distributed:
        return Placement(distributed[2], distributed[1], is_replicated=True)
    found = _REPLICATED.match(engine)
    return Placement(table, is_replicated=found is not None, is_shared=bool(found and found[1] == "Shared"))
