"""Page of the list of runs: the one with the latest call first, filtered by a form, paginated."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import timeline
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import FIELDS, Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class RunsPage:
    """Built for one browser. The first page is live; later pages are static."""

    def __init__(self, view: View, site: Site) -> None:
        self._view, self._queries = view, site.queries
        self._suggested = False
        Frame("/runs", view, site.queries.only)
        with content():
            self._asked = PageQuery(
                self._ask, site.refresh_seconds, live=view.is_live and view.cursor is None
            )
            self._list = Slot(render("waiting.html"))
            self._suggestions = Slot()

    async def _ask(self, now: datetime) -> None:
        page = await self._queries.runs(self._view, now)
        if page.runs:
            older = page.cursor and views.write("/runs", views.change(self._view, cursor=page.cursor))
            newest = self._view.cursor and views.write("/runs", views.change(self._view))
            self._list.show(
                "runs.html",
                runs=page.runs,
                older=older,
                newest=newest,
                every=self._queries.only is None,
                address=timeline.address,
                names=timeline.names,
                waiting_share=timeline.waiting_share,
            )
        else:
            text = "No matching runs in this range." if self._view.narrows else "No runs in this range."
            wider = views.write("/runs", views.change(self._view, span="1y", start=None, end=None))
            self._list.show("nothing.html", title="No runs", text=text, links=[(wider, "Show 1 year")])
        if not self._suggested:
            self._suggestions.show(
                "suggestions.html", suggestions=await self._queries.suggestions(self._view, FIELDS, now)
            )
            self._suggested = True
