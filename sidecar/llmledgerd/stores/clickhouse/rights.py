"""Rights that the daemon's user needs, by the form of the tables. Pure.

Invariant: docs/clusters.md grants what is named here, and a test compares the two.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.stores.clickhouse.options import InsertMode
from llmledgerd.stores.clickhouse.topology import Placement

TABLES: Final = ("SELECT", "INSERT", "ALTER UPDATE", "ALTER DELETE")
"""On every table of the database: rows are inserted, looked up, erased, and sums rebuilt."""

SYSTEM: Final = ("tables", "columns", "databases", "disks", "parts", "mutations")
"""Tables of ``system`` that the daemon reads on every server."""

Right = tuple[str, str]
"""A right, and what it is on."""


def needed(database: str, place: Placement, mode: InsertMode) -> list[Right]:
    """Return the rights of a daemon that writes to tables of this form.

    >>> needed("llm", Placement("llm_traces"), "sync")[:2]
    [('SELECT', '`llm`.*'), ('INSERT', '`llm`.*')]
    """
    own = f"`{database}`.*"
    found = [(right, own) for right in TABLES]
    found += [("SELECT", f"system.{table}") for table in SYSTEM]
    if place.is_replicated:
        found.append(("SELECT", "system.replicas"))
        if not place.is_shared:
            found += [("SYSTEM SYNC REPLICA", own), ("SELECT", "system.zookeeper")]
    if place.cluster:
        found += [("CLUSTER", "*.*"), ("REMOTE", "*.*")]
        found += [("SELECT", "system.clusters"), ("SELECT", "system.macros")]
    if mode == "async":
        found.append(("SYSTEM FLUSH ASYNC INSERT QUEUE", "*.*"))
    return found
