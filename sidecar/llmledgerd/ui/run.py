"""Page of one run: its figures and its timeline, whose rows the script asks for as they come into sight."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.ui import details, prompts, timeline, view
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import RunKey
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class RunPage:
    """Built for one browser. Its figures are live, and so is the number of rows that the script may ask for."""

    def __init__(self, key: RunKey, site: Site) -> None:
        self._key, self._queries = key, site.queries
        self._is_drawn = False
        Frame("/runs", View(), site.queries.only, controls=False, live=True)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=True)
            self._head = Slot(render("waiting.html"))
            self._prompts = Slot()
            self._timeline = Slot()

    async def _ask(self, now: datetime) -> None:
        found = await self._queries.run(self._key, limit=1)
        if found is None:
            text = f"There is no run with the id {self._key.id}, or its calls have expired."
            self._head.show("nothing.html", title="Run not found", text=text, links=[("/runs", "All runs")])
            self._timeline.clear()
            self._prompts.clear()
            self._is_drawn = False
            return
        run = found.run
        name = "run" if run.is_named else "conversation"
        calls = view.write("/calls", View(span="1y", narrowed={name: run.id}))
        self._head.show(
            "run.html", run=run, tiles=timeline.tiles(run), calls=calls, every=self._queries.only is None
        )
        steps = await self._queries.run_prompts(run, prompts.STEPS)
        names = [str(number) for number in range(1, len(steps) + 1)]
        bars = prompts.bars(steps, names, [details.address(one.group["call"]) for one in steps])
        note = f"Tokens of the first {prompts.STEPS} steps" if run.steps > len(steps) else "Tokens by step"
        if bars:
            self._prompts.show("anatomy.html", **prompts.picture(bars, "What the prompts consist of", note))
        if not self._is_drawn:  # the script fills it, and follows the count above
            self._timeline.show("timeline.html", key=self._key, here=None)
            self._is_drawn = True
