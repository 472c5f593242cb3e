"""Pages of the lists of calls and of runs: newest first, filtered by a form, paginated.

Invariant: the first page is live; later ones are as they were when they were opened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

from llmledgerd.ui import details, timeline
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import FIELDS, Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class Listed(NamedTuple):
    """One page of a list."""

    values: dict[str, Any]
    """What the template shows; empty where nothing was found."""
    cursor: str | None
    """Of the page with what is older."""


class ListPage:
    """Built for one browser. ``kind`` is what is listed: the name of its path and template."""

    def __init__(
        self, kind: str, view: View, site: Site, find: Callable[[View, datetime], Awaitable[Listed]]
    ) -> None:
        self._kind, self._path, self._find = kind, f"/{kind}", find
        self._view, self._queries = view, site.queries
        self._suggested = False
        Frame(self._path, view, site.queries.only)
        with content():
            self._asked = PageQuery(
                self._ask, site.refresh_seconds, live=view.is_live and view.cursor is None
            )
            self._list = Slot(render("waiting.html"))
            self._suggestions = Slot()

    async def _ask(self, now: datetime) -> None:
        values, cursor = await self._find(self._view, now)
        if values:
            older = cursor and views.write(self._path, views.change(self._view, cursor=cursor))
            newest = self._view.cursor and views.write(self._path, views.change(self._view))
            self._list.show(f"{self._kind}.html", **values, older=older, newest=newest)
        else:
            self._list.show_nothing(self._path, self._view, self._kind)
        if not self._suggested:
            self._suggestions.show(
                "suggestions.html", suggestions=await self._queries.suggestions(self._view, FIELDS, now)
            )
            self._suggested = True


def calls_page(view: View, site: Site) -> ListPage:
    """Build the list of calls."""

    async def find(view: View, now: datetime) -> Listed:
        page = await site.queries.calls(view, now)
        values = {"calls": page.calls, "every": site.queries.only is None, "call_address": details.address}
        return Listed(values if page.calls else {}, page.cursor)

    return ListPage("calls", view, site, find)


def runs_page(view: View, site: Site) -> ListPage:
    """Build the list of runs."""

    async def find(view: View, now: datetime) -> Listed:
        page = await site.queries.runs(view, now)
        values = {
            "runs": page.runs,
            "every": site.queries.only is None,
            "address": timeline.address,
            "names": timeline.names,
            "waiting_share": timeline.waiting_share,
        }
        return Listed(values if page.runs else {}, page.cursor)

    return ListPage("runs", view, site, find)
