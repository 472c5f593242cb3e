"""Identity of the server behind an address. Pure, but for the text of its query.

Invariant: rows of a table without replicas are inserted and looked up on one server for each address. An
address that leads to several of them (round robin in DNS, a load balancer) is refused: rows that one server
has would look missing on the other, and be stored twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.topology import placement

TRIES: Final = 6
"""Connections that are opened to find out whether an address leads to several servers."""

QUERY: Final = (
    "SELECT toString(serverUUID()) AS server, hostName() AS host,"
    " (SELECT any(path) FROM system.disks WHERE name = 'default') AS folder,"  # that of a table changes with it
    " (SELECT any(engine_full) FROM system.tables WHERE database = currentDatabase() AND name = 'llm_traces')"
    " AS engine"
)


class Server(msgspec.Struct, frozen=True):
    """One server, as it describes itself."""

    key: str
    """Unique, and the same after a restart."""
    host: str
    has_own_rows: bool
    """Its table exists, and has rows that no other server has."""


def server(row: Mapping[str, Any]) -> Server:
    """Return the server by its answer to QUERY."""
    engine, uuid = str(row["engine"] or ""), str(row["server"])
    is_known = uuid.strip("0-") != ""  # the embedded engine has none
    is_plain = engine != "" and not placement("llm_traces", engine).is_replicated
    return Server(uuid if is_known else str(row["folder"]), str(row["host"]), is_plain)


class Servers:
    """The server of each address. Safe to share between threads."""

    def __init__(self) -> None:
        self._first: dict[int, Server] = {}

    def met(self, address: int, met: Server) -> None:
        """Record who answered at an address. Raises StoreBusy for a second server with rows of its own."""
        if not met.has_own_rows:
            return
        first = self._first.setdefault(address, met)
        if first.key != met.key:
            raise StoreBusy(
                "servers",
                f"this address leads to several servers ({first.host}, {met.host}) whose tables are not replicated:"
                " list each server in clickhouse.url (docs/clusters.md), or restart the daemon if one replaced"
                " the other",
            )
