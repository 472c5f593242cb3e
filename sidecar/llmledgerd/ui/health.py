"""Page of delivery health: the daemon's status and the losses. For operators."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.errors import LlmledgerdError
from llmledgerd.telemetry.status import Status
from llmledgerd.ui import formatting
from llmledgerd.ui.figures import Tile
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class HealthPage:
    """Built for one browser."""

    def __init__(self, site: Site) -> None:
        self._queries, self._ask_status = site.queries, site.ask_status
        Frame("/health", View(), site.queries.only, controls=False, live=True)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=True)
            self._status, self._losses = Slot(render("waiting.html")), Slot()

    async def _ask(self, now: datetime) -> None:
        status, trouble = None, ""
        try:
            status = await self._ask_status()
        except LlmledgerdError as error:
            trouble = f"{error}."
        self._status.show(
            "health.html",
            status=status,
            trouble=trouble,
            tiles=tiles(status) if status else [],
            places=places(status) if status else [],
            facts=facts(status) if status else [],
        )
        self._losses.show("losses.html", losses=await self._queries.losses(now))


def tiles(status: Status) -> list[Tile]:
    """Return the figures of a daemon. Pure."""
    rates = (status.received_per_second, status.stored_per_second)
    return [
        Tile("ready", "Daemon", "ready" if status.ready else "not ready", "", f"version {status.version}"),
        Tile(
            "speed",
            "Received per second",
            f"{rates[0]:,.1f}",
            "",
            f"{rates[1]:,.1f} stored; over the last minute",
        ),
        Tile(
            "lag",
            "Lag",
            formatting.milliseconds(status.lag_seconds * 1000),
            "",
            "age of the oldest waiting line",
        ),
        Tile(
            "spool",
            "Spool",
            formatting.size(status.spool_bytes),
            str(status.spool_bytes),
            f"{status.spool_segments:,} segments",
        ),
        Tile("lost", "Lost", f"{status.lost:,}", str(status.lost), "since the spool was created"),
        Tile(
            "dead_letters",
            "Dead letters",
            f"{status.dead_letters:,}",
            str(status.dead_letters),
            "lines that could not be stored as rows",
        ),
    ]


def places(status: Status) -> list[tuple[str, int]]:
    """Return the counters of the identity: the first is the sum of the others. Pure."""
    return [
        ("received", status.received),
        ("stored", status.stored),
        ("dead letters", status.dead_letters),
        ("lost", status.lost),
        ("control lines", status.control_lines),
        ("in the spool", status.in_spool),
    ]


def facts(status: Status) -> list[tuple[str, str]]:
    """Return the remaining fields of the status. Pure."""
    retries = ", ".join(f"{count:,} {kind}" for kind, count in status.retries.items())
    others = [
        (store.name, f"{store.trouble or 'accepts records'}; {store.in_spool:,} lines waiting")
        for store in status.stores[1:]
    ]
    return [
        ("store", status.store or "accepts records"),
        *others,
        ("disk", status.spool or "ok"),
        (
            "senders",
            f"{status.connections:,} connections, {status.sessions:,} sessions, {status.begun_calls:,} calls in progress",
        ),
        ("inserts", f"{status.inserts_in_flight:,} in flight"),
        ("queries", f"{status.queries_in_flight:,} in flight"),
        ("retries", retries or "none"),
    ]
