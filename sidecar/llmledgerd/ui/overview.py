"""Overview page: spend, calls, tokens, errors, latency and cache hits, over time and by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from llmledgerd.query.results import Usage
from llmledgerd.ui import charts, figures, formatting, spans
from llmledgerd.ui import view as views
from llmledgerd.ui.figures import Line
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import GROUPS_SHOWN, Overview
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View


class OverviewPage:
    """Built for one browser; lives as long as its connection."""

    def __init__(self, view: View, site: Site) -> None:
        self._view, self._queries = views.of_sums(view), site.queries
        self._steps: list[datetime] = []
        self._step = "day"
        Frame("/", self._view, site.queries.only)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=self._view.is_live)
            self._tiles = Slot(render("waiting.html"))
            with ui.element("div").classes("charts") as self._charts:
                self._drawn = {name: _Chart(name, self._zoom) for name in charts.TITLES}
            self._split = Slot()

    async def _ask(self, now: datetime) -> None:
        found = await self._queries.overview(self._view, now)
        self._charts.set_visibility(found.whole is not None)
        if found.whole is None:
            self._show_nothing()
            return
        self._tiles.show("tiles.html", tiles=figures.tiles(found.whole))
        self._draw(found, now)
        self._show_split(found.whole, found)

    def _show_nothing(self) -> None:
        self._tiles.show_nothing("/", self._view, "calls", spans=("30d", "1y"))
        self._split.clear()

    def _draw(self, found: Overview, now: datetime) -> None:
        wanted = self._view.range(now)
        self._steps, self._step = wanted.steps(now), wanted.step
        lines = figures.split_over_time(found.over_time, found.parts, self._steps, wanted.step)
        lines |= figures.over_time(found.over_time, self._steps, wanted.step)
        for name, chart in self._drawn.items():
            chart.draw(lines[name], self._steps, wanted.step)

    def _show_split(self, whole: Usage, found: Overview) -> None:
        largest = max((usage.cost_usd for usage in found.groups), default=Decimal(0))
        self._split.show(
            "split.html",
            title=views.TITLES[self._view.split],
            split=self._view.split,
            view=self._view,
            groups=found.groups,
            parted=bool(found.parts),
            others=_others(whole, found.groups),
            address=views.write,
            narrow=views.narrow,
            shade=lambda at: charts.color(at) if at < len(found.parts) else "transparent",
            part=lambda usage: float(usage.cost_usd / largest) if largest else 0.0,
            priced=lambda usage: usage.cost_usd if usage.unknown_cost < usage.requests else None,
            counted=lambda usage, count: count if usage.unknown_usage < usage.requests else None,
            share=formatting.share,
        )

    def _zoom(self, at: int) -> None:
        start = self._steps[at]
        zoomed = views.change(self._view, start=start, end=start + spans.STEPS[self._step])
        ui.navigate.to(views.write("/", zoomed))


def _others(whole: Usage, groups: Sequence[Usage]) -> dict[str, object] | None:
    """Return the totals outside the listed groups; None if all groups are listed."""
    if len(groups) < GROUPS_SHOWN:
        return None
    return {
        "calls": whole.requests - sum(usage.requests for usage in groups),
        "cost": whole.cost_usd - sum((usage.cost_usd for usage in groups), Decimal(0)),
    }


class _Chart:
    """One chart with its title and legend."""

    def __init__(self, name: str, zoom: Callable[[int], None]) -> None:
        self._name = name
        with ui.element("figure").classes("card chart").props(f"data-chart={name}"):
            with ui.element("figcaption"):
                ui.html(charts.TITLES[name], tag="h2", sanitize=True)
                self._legend = Slot()
            self._echart = ui.echart({}, on_point_click=self._clicked, renderer="svg")
        self._zoom = zoom

    def draw(self, lines: Sequence[Line], steps: Sequence[datetime], step: str) -> None:
        """Draw the lines."""
        drawn = charts.options(self._name, lines, steps, step)
        self._legend.show("legend.html", series=charts.legend(self._name, lines))
        if drawn != self._echart.options:
            self._echart.options.clear()
            self._echart.options.update(drawn)
            self._echart.update()

    def _clicked(self, event: EChartPointClickEventArguments) -> None:
        self._zoom(event.data_index)
