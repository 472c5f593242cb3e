"""Page of what was not read from providers' caches, and of what prompts consist of, in the view's range and filters."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import details, prompts
from llmledgerd.ui import view as views
from llmledgerd.ui.markup import render
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class CachePage:
    """Built for one browser; lives as long as its connection."""

    def __init__(self, view: View, site: Site) -> None:
        self._view, self._queries = views.of_sums(view), site.queries
        Frame("/cache", self._view, site.queries.only)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=self._view.is_live)
            self._misses = Slot(render("waiting.html"))
            self._anatomy = Slot()

    async def _ask(self, now: datetime) -> None:
        groups, calls, agents = await self._queries.prompts(self._view, now)
        if groups:
            self._misses.show("cache.html", groups=groups, calls=calls, address=details.address)
        else:
            text = "Calls of this range read what earlier calls had left in their providers' caches."
            self._misses.show_nothing("/cache", self._view, "cache misses", text)
        names = [one.group["agent"] for one in agents]
        addresses = [views.write("/cache", views.narrow(self._view, "agent", name)) for name in names]
        bars = prompts.bars(agents, names, addresses)
        if bars:
            self._anatomy.show(
                "anatomy.html", **prompts.picture(bars, "What prompts consist of", "Tokens by agent")
            )
        else:
            self._anatomy.clear()
