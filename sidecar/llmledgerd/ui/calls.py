"""Page of the list of calls: newest first, filtered by a form, paginated."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import details
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import FIELDS, Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class CallsPage:
    """Built for one browser. The first page is live; older pages are static."""

    def __init__(self, view: View, site: Site) -> None:
        self._view, self._queries = view, site.queries
        self._suggested = False
        Frame("/calls", view, site.queries.only)
        with content():
            self._asked = PageQuery(
                self._ask, site.refresh_seconds, live=view.is_live and view.cursor is None
            )
            self._list = Slot(render("waiting.html"))
            self._suggestions = Slot()

    async def _ask(self, now: datetime) -> None:
        page = await self._queries.calls(self._view, now)
        if page.calls:
            older = page.cursor and views.write("/calls", views.change(self._view, cursor=page.cursor))
            newest = self._view.cursor and views.write("/calls", views.change(self._view))
            self._list.show(
                "calls.html",
                calls=page.calls,
                older=older,
                newest=newest,
                every=self._queries.only is None,
                call_address=details.address,
            )
        else:
            text = "No matching calls in this range." if self._view.narrows else "No calls in this range."
            wider = views.write("/calls", views.change(self._view, span="1y", start=None, end=None))
            self._list.show("nothing.html", title="No calls", text=text, links=[(wider, "Show 1 year")])
        if not self._suggested:
            self._suggestions.show(
                "suggestions.html", suggestions=await self._queries.suggestions(self._view, FIELDS, now)
            )
            self._suggested = True
