"""Identity of the server behind an address. Pure, but for the text of its query.

Invariant: rows are inserted and looked up on one server for each address, unless every server answers for
all. An address that leads to several that answer for themselves (round robin in DNS, a load balancer) is
refused: rows that one server has, or has already fetched, would look missing on the other, and be stored
twice. A Distributed table asks every replica, and tables of ClickHouse Cloud share their parts.
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
    answers_alone: bool
    """Its table exists, and an answer covers what this server has, and not what another has."""


def server(row: Mapping[str, Any]) -> Server:
    """Return the server by its answer to QUERY."""
    engine, uuid = str(row["engine"] or ""), str(row["server"])
    is_known = uuid.strip("0-") != ""  # the embedded engine has none
    place = placement("llm_traces", engine)
    answers_alone = engine != "" and not place.cluster and not place.is_shared
    return Server(uuid if is_known else str(row["folder"]), str(row["host"]), answers_alone)


class Servers:
    """The server of each address. Safe to share between threads."""

    def __init__(self) -> None:
        self._first: dict[int, Server] = {}

    def met(self, address: int, met: Server) -> None:
        """Record who answered at an address. Raises StoreBusy for a second server that answers alone."""
        if not met.answers_alone:
            return
        first = self._first.setdefault(address, met)
        if first.key != met.key:
            raise StoreBusy(
                "servers",
                f"this address leads to several servers ({first.host}, {met.host}), of which each answers for its"
                " own rows or its own replica: list each server in clickhouse.url (docs/clusters.md), or restart"
                " the daemon if one replaced the other",
            )
