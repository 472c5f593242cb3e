"""What a PromQL expression asks for: the engine's own parser, and a walk over its tree."""

from __future__ import annotations

import promql_parser as promql

TARGET_LABELS = {"instance", "job"}
"""What Prometheus adds to every series of a target."""

Selected = tuple[str, set[str]]
"""A series' name, and the labels that it is narrowed by."""


def selectors(expression: str) -> list[Selected]:
    """Return what the expression selects. Raises ValueError where it is no PromQL."""
    found: list[Selected] = []

    class Visitor(promql.Visitor):  # type: ignore[name-defined,misc]
        def pre_visit(self, node: object) -> bool:
            return True

    return found
