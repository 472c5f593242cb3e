"""What a PromQL expression selects, and the labels of its answer, by the parser's own tree.

Invariant: a metric or a label that the daemon does not expose is an AssertionError that names it.
"""

from __future__ import annotations

import promql_parser as promql
from prometheus_client import CollectorRegistry, ProcessCollector

from llmledgerd.telemetry import definitions

TARGET = {"instance", "job"}
"""What Prometheus adds to every series of a target."""


def _exposed() -> dict[str, set[str]]:
    """Return every series that a scrape has, with its labels."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    series = {sample.name: TARGET for family in registry.collect() for sample in family.samples}
    series["up"] = TARGET
    for metric in definitions.ALL:
        labels = TARGET | set(metric.labels)
        if metric.kind == "histogram":
            series |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            series[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            series[metric.name] = labels
    return series


EXPOSED = _exposed()


def labels_of(expression: str) -> set[str]:
    """Return the labels that the answer may have. Raises ValueError where it is no PromQL."""
    return _labels(promql.parse(expression))


def _labels(node: object) -> set[str]:
    match node:
        case promql.VectorSelector():
            return _selected(node)
        case promql.MatrixSelector():
            return _selected(node.vector_selector)
        case promql.Call():
            found = set().union(*(_labels(argument) for argument in node.args))
            return found - {"le"} if node.func.name == "histogram_quantile" else found
        case promql.AggregateExpr():
            return _grouped(node)
        case promql.BinaryExpr():
            return _joined(node)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr)
        case _:
            return set()


def _selected(selector: promql.VectorSelector) -> set[str]:
    name = selector.name or ""
    assert name in EXPOSED, f"{name} is exposed by nobody"
    for matcher in selector.matchers.matchers:
        assert matcher.name in EXPOSED[name], f"{name} has no label {matcher.name}"
    return EXPOSED[name]


def _grouped(node: promql.AggregateExpr) -> set[str]:
    inner = _labels(node.expr)
    if node.modifier is None:
        return set()
    named = set(node.modifier.labels)
    assert named <= inner, f"{node} groups by {named - inner}, which nothing in it has"
    return named if node.modifier.type == promql.AggModifierType.By else inner - named


def _joined(node: promql.BinaryExpr) -> set[str]:
    left, right = _labels(node.lhs), _labels(node.rhs)
    matching = node.modifier.matching if node.modifier else None
    if matching is not None:
        missing = set(matching.labels) - (left & right)
        assert not missing, f"{node} matches by {missing}, which not both sides have"
    return left | right if str(node.op) == "or" else left
