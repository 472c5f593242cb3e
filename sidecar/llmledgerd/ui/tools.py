"""Page of agents' tools and of calls that needed several attempts, in the view's range and filters."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import formatting
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import FAILED, View


class ToolsPage:
    """Built for one browser; lives as long as its connection."""

    def __init__(self, view: View, site: Site) -> None:
        if view.narrowed.get("outcome") == FAILED:  # a filter of lists only
            view = views.widen(view, "outcome")
        self._view, self._queries = view, site.queries
        Frame("/tools", view, site.queries.only)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=view.is_live)
            self._tools = Slot(render("waiting.html"))
            self._retries = Slot()

    async def _ask(self, now: datetime) -> None:
        tools, retries = await self._queries.tools(self._view, now)
        if tools:
            self._tools.show("tools.html", tools=tools, share=formatting.share)
        else:
            text = (
                "No matching calls of tools in this range."
                if self._view.narrows
                else "No calls of tools in this range."
            )
            wider = views.write("/tools", views.change(self._view, span="1y", start=None, end=None))
            self._tools.show("nothing.html", title="No tools", text=text, links=[(wider, "Show 1 year")])
        if retries:
            self._retries.show("retries.html", retries=retries)
        else:
            self._retries.clear()
