"""Dashboards as Grafana imports them: panels, laid out, and variables.

Invariants:
- Panels are laid out from left to right and from top to bottom, and none lies over another.
- Nothing names a data source; each dashboard asks for its own by a variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

CLICKHOUSE: Final = "grafana-clickhouse-datasource"
PROMETHEUS: Final = "prometheus"
WIDTH: Final = 24
"""Columns of Grafana's grid."""

Json = dict[str, Any]
Query = str | tuple[str, str]
"""A query, or one with the legend of its lines."""


class Dashboard:
    """A dashboard that is filled from left to right and from top to bottom."""

    def __init__(self, uid: str, title: str, description: str, source: str, variables: list[Json]) -> None:
        self._source = source
        self._panels: list[Json] = []
        self._x = self._y = self._row_height = 0
        self._head = {
            "uid": uid,
            "title": title,
            "description": description,
            "tags": ["llmledger"],
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "templating": {"list": variables},
        }

    def row(self, title: str) -> None:
        """Begin a row."""
        self._feed()
        self._add({"type": "row", "title": title, "collapsed": False, "panels": []}, WIDTH, 1)

    def stat(self, title: str, unit: str, query: str, **options: Any) -> None:
        """Add one number."""
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        self._panel("stat", title, unit, [query], 4, 4, {"reduceOptions": reduced}, options)

    def chart(self, title: str, unit: str, *queries: Query, stacked: bool = False, **options: Any) -> None:
        """Add a chart over time. A query may come with the legend of its lines."""
        custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto"}
        if stacked:
            custom |= {"drawStyle": "bars", "fillOpacity": 70, "stacking": {"mode": "normal", "group": "A"}}
        shown = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        self._panel("timeseries", title, unit, queries, 12, 8, shown, {"custom": custom, **options})

    def table(
        self, title: str, unit: str, query: str, units: dict[str, str], width: int = WIDTH // 2
    ) -> None:
        """Add a table; ``units`` of columns whose unit is not the table's."""
        overrides = [
            {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": its_unit}]}
            for name, its_unit in units.items()
        ]
        self._panel("table", title, unit, [query], width, 9, {"showHeader": True}, {"overrides": overrides})

    def text(self) -> str:
        """Return the dashboard as Grafana imports it."""
        since = {"time": {"from": "now-7d" if self._source == CLICKHOUSE else "now-6h", "to": "now"}}
        return json.dumps({**self._head, **since, "refresh": "1m", "panels": self._panels}, indent=1) + "\n"

    def _panel(
        self,
        kind: str,
        title: str,
        unit: str,
        queries: Iterable[Query],
        width: int,
        height: int,
        shown: Json,
        options: Json,
    ) -> None:
        overrides, description = options.pop("overrides", []), options.pop("description", "")
        source = {"type": self._source, "uid": "${datasource}"}
        targets = [
            {"refId": chr(ord("A") + number), "datasource": source, **self._target(kind, query)}
            for number, query in enumerate(queries)
        ]
        panel = {
            "type": kind,
            "title": title,
            "description": description,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit, **options}, "overrides": overrides},
            "options": shown,
            "targets": targets,
        }
        self._add(panel, width, height)

    def _target(self, kind: str, query: Query) -> Json:
        text, legend = query if isinstance(query, tuple) else (query, "")
        if self._source == PROMETHEUS:
            return {"expr": text, "legendFormat": legend or "__auto", "range": True, "instant": False}
        is_chart = kind == "timeseries"
        return {
            "editorType": "sql",
            "pluginVersion": "4.0.0",
            "queryType": "timeseries" if is_chart else "table",
            "format": 0 if is_chart else 1,
            "rawSql": text,
        }

    def _add(self, panel: Json, width: int, height: int) -> None:
        if self._x + width > WIDTH:
            self._feed()
        place = {"x": self._x, "y": self._y, "w": width, "h": height}
        self._panels.append({"id": len(self._panels) + 1, **panel, "gridPos": place})
        self._x += width
        self._row_height = max(self._row_height, height)

    def _feed(self) -> None:
        self._x, self._y, self._row_height = 0, self._y + self._row_height, 0


def datasource(kind: str) -> Json:
    """Return the variable that asks for the data source."""
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": kind,
        "hide": 0,
        "current": {},
    }


def variable(name: str, query: str | Json, kind: str) -> Json:
    """Return a variable with many values, all of them chosen at first."""
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": "query",
        "datasource": {"type": kind, "uid": "${datasource}"},
        "query": query,
        "refresh": 1,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
