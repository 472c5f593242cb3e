"""ECharts options for the figures. Pure.

Invariants:
- Colors are variables of the stylesheet, so that the browser switches light and dark: charts are SVG,
  which supports CSS variables.
- Recorded names are used only as names of series, which ECharts escapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from llmledgerd.ui.figures import Line

COLOURS: Final = 6
"""Number of distinct series colors."""

TITLES: Final = {
    "spend": "Spend",
    "calls": "Calls",
    "tokens": "Tokens by kind",
    "errors": "Errors",
    "latency": "Latency",
    "first_token": "Time to first token",
    "speed": "Output tokens per second",
    "cache": "Cache hit ratio",
}
"""Charts of the overview, in order."""

UNITS: Final = {
    "spend": "usd", "calls": "count", "tokens": "count", "errors": "count", "latency": "ms", "cache": "percent",
    "first_token": "ms", "speed": "count",
}  # fmt: skip
"""Number format of each chart, as named in the script."""

CURVES: Final = {"latency", "first_token", "speed", "cache"}
"""Charts without stacking."""

PERCENT: Final = {"max": 100, "interval": 25}
WHOLE: Final = {"minInterval": 1}
"""Axes of what is counted have no half of a call, also where nothing is to be drawn."""
AXES: Final = {"cache": PERCENT, "calls": WHOLE, "errors": WHOLE, "tokens": WHOLE}

DAYS: Final = 48
"""Hours above which the axis is labeled by day."""

FEW: Final = 3
"""Curves of at most this many points show markers."""

LEVELS: Final = ("var(--c1)", "var(--c3)", "var(--c6)")
"""Colors of p50, p95 and p99."""

SHADES: Final = {
    "errors": ("var(--bad)", "var(--c-rest)"),
    "latency": LEVELS,
    "first_token": LEVELS,
    "speed": LEVELS,
}


def options(name: str, lines: Sequence[Line], steps: Sequence[datetime], step: str) -> dict[str, Any]:
    """Return the ECharts options of one chart."""
    unit = f"window.llmledger.{UNITS[name]}"
    return {
        "animation": False,
        "aria": {"enabled": False},  # it would read out every point; tiles and table have the totals
        "grid": {"left": 4, "right": 8, "top": 10, "bottom": 2, "containLabel": True},
        "tooltip": _tooltip(unit),
        "xAxis": _time_axis(steps, step),
        "yAxis": _value_axis(unit) | AXES.get(name, {}),
        "series": [_series(name, line, at, len(lines)) for at, line in enumerate(lines)],
    }


def color(at: int, name: str = "") -> str:
    """Return the color of a series by its index."""
    if name == "Others" or at >= COLOURS:
        return "var(--c-rest)"
    return f"var(--c{at + 1})"


def legend(name: str, lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return names and colors of a chart's series; empty for a single series."""
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
            # An hourly axis over days labels midnight only.
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
