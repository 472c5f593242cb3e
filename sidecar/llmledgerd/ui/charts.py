"""Figures as options of ECharts. Pure.

Invariants:
- Colors are the stylesheet's variables, so that light and dark are the browser's affair: the charts
  are SVG, where a variable is a color like another.
- Names that were recorded go into names of series alone, which ECharts escapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from llmledgerd.ui.figures import Line

COLOURS: Final = 6
"""Series that are told apart by color."""

TITLES: Final = {
    "spend": "Spend",
    "calls": "Calls",
    "tokens": "Tokens by kind",
    "errors": "Errors",
    "latency": "Latency",
    "cache": "Cache-hit share",
}
"""The charts of the overview, in order."""

UNITS: Final = {
    "spend": "usd", "calls": "count", "tokens": "count", "errors": "count", "latency": "ms", "cache": "percent",
}  # fmt: skip
"""Which of the script's formats each has."""

CURVES: Final = {"latency", "cache"}
"""Charts of what cannot be stacked."""

PERCENT: Final = {"max": 100, "interval": 25}

DAYS: Final = 48
"""Hours from which on a chart shows days."""

FEW: Final = 3
"""Points of a curve that are drawn as such, since so few make no curve."""

SHADES: Final = {
    "errors": ("var(--bad)", "var(--c-rest)"),
    "latency": ("var(--c1)", "var(--c3)", "var(--c6)"),
}


def options(name: str, lines: Sequence[Line], steps: Sequence[datetime], step: str) -> dict[str, Any]:
    """Return the chart of that name."""
    unit = f"window.llmledger.{UNITS[name]}"
    return {
        "animation": False,
        "aria": {"enabled": False},  # it would read out every point; tiles and table say what they amount to
        "grid": {"left": 4, "right": 8, "top": 10, "bottom": 2, "containLabel": True},
        "tooltip": _tooltip(unit),
        "xAxis": _time_axis(steps, step),
        "yAxis": _value_axis(unit) | (PERCENT if name == "cache" else {}),
        "series": [_series(name, line, at, len(lines)) for at, line in enumerate(lines)],
    }


def color(at: int, name: str = "") -> str:
    """Return the color of a series by its place."""
    if name == "Others" or at >= COLOURS:
        return "var(--c-rest)"
    return f"var(--c{at + 1})"


def legend(name: str, lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return names and colors of a chart's series; one alone needs none."""
    return [(line.name, _shade(name, at, line)) for at, line in enumerate(lines)] if len(lines) > 1 else []


def _shade(chart: str, at: int, line: Line) -> str:
    shades = SHADES.get(chart)
    return shades[at] if shades else color(at, line.name)


def _series(chart: str, line: Line, at: int, count: int) -> dict[str, Any]:
    shade = _shade(chart, at, line)
    common = {"name": line.name, "data": line.values, "emphasis": {"disabled": True}, "color": shade}
    if chart in CURVES:
        known = sum(value is not None for value in line.values)
        return common | {
            "type": "line",
            "lineStyle": {"width": 2, "color": shade},
            "showSymbol": known <= FEW,
            "symbolSize": 6,
        }
    top = at == count - 1
    return common | {
        "type": "bar",
        "stack": "all",
        "barCategoryGap": "25%",
        "itemStyle": {"color": shade, "borderRadius": [2, 2, 0, 0] if top else 0},
        "cursor": "pointer",
    }


def _time_axis(steps: Sequence[datetime], step: str) -> dict[str, Any]:
    return {
        "type": "category",
        "data": [moment.strftime("%b %d" if step == "day" else "%b %d %H:%M") for moment in steps],
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": "var(--line)"}},
        "axisLabel": {
            "color": "var(--muted)",
            "hideOverlap": True,
            "fontSize": 11,
            ":formatter": "window.llmledger.step",
            # Where days are drawn by the hour, their beginnings are named.
            **({":interval": "window.llmledger.isMidnight"} if step == "hour" and len(steps) > DAYS else {}),
        },
    }


def _value_axis(unit: str) -> dict[str, Any]:
    return {
        "type": "value",
        "min": 0,
        "splitNumber": 3,
        "splitLine": {"lineStyle": {"color": "var(--grid)"}},
        "axisLabel": {"color": "var(--muted)", "fontSize": 11, ":formatter": unit},
    }


def _tooltip(unit: str) -> dict[str, Any]:
    return {
        "trigger": "axis",
        "confine": True,
        "axisPointer": {"type": "line", "lineStyle": {"color": "var(--muted)", "type": "solid"}},
        "backgroundColor": "var(--card)",
        "borderColor": "var(--line)",
        "textStyle": {"color": "var(--text)", "fontSize": 12},
        ":valueFormatter": unit,
    }
