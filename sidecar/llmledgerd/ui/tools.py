"""Page of agents' tools and of calls that needed several attempts, in the view's range and filters."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import formatting
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class ToolsPage:
    """Built for one browser; lives as long as its connection."""

    def __init__(self, view: View, site: Site) -> None:
        self._view, self._queries = views.of_sums(view), site.queries
        Frame("/tools", self._view, site.queries.only)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=self._view.is_live)
            self._tools = Slot(render("waiting.html"))
            self._retries = Slot()

    async def _ask(self, now: datetime) -> None:
        tools, retries = await self._queries.tools(self._view, now)
        if tools:
            self._tools.show("tools.html", tools=tools, share=formatting.share)
        else:
            self._tools.show_nothing("/tools", self._view, "calls of tools")
        if retries:
            self._retries.show("retries.html", retries=retries)
        else:
            self._retries.clear()
