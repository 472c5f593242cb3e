"""Dashboards that Grafana can import: whole, laid out, and asking for what there is."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from deploy.grafana.make import BOARDS, FOLDER
from tests.helpers.grafana import dashboards, panels
from tests.helpers.promql import labels_of

each = pytest.mark.parametrize("name", BOARDS)


def test_the_files_are_what_the_script_writes() -> None:
    assert set(dashboards()) == set(BOARDS)
    for name, board in BOARDS.items():
        assert (FOLDER / name).read_text() == board().text(), "python -m deploy.grafana.make"


def test_dashboards_have_ids_of_their_own_and_panels_too() -> None:
    assert len({board["uid"] for board in dashboards().values()}) == len(BOARDS)
    for board in dashboards().values():
        ids = Counter(panel["id"] for panel in board["panels"])
        assert max(ids.values()) == 1
        titles = Counter(panel["title"] for panel in panels(board))
        assert max(titles.values()) == 1
        assert "id" not in board, "an import gives it one"


@each
def test_every_query_goes_to_the_data_source_that_was_chosen(name: str) -> None:
    board = dashboards()[name]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    kind = variables["datasource"]["query"]
    wanted = {"type": kind, "uid": "${datasource}"}
    for variable in board["templating"]["list"]:
        assert variable["name"] == "datasource" or variable["datasource"] == wanted
    for panel in panels(board):
        assert panel["datasource"] == wanted
        assert [target["datasource"] for target in panel["targets"]] == [wanted] * len(panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0


@each
def test_every_panel_has_a_title_and_a_unit(name: str) -> None:
    for panel in panels(dashboards()[name]):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@each
def test_no_panel_lies_over_another_or_beyond_the_edge(name: str) -> None:
    places = [panel["gridPos"] for panel in dashboards()[name]["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        assert not _overlap(one, other), (one, other)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or below)


@each
def test_every_variable_that_is_used_is_there_and_the_other_way_round(name: str) -> None:
    board = dashboards()[name]
    queries = " ".join(_query(target) for panel in panels(board) for target in panel["targets"])
    used = {used for used in re.findall(r"\$\{?(\w+)", queries) if not used.startswith("__")}
    assert used | {"datasource"} == {variable["name"] for variable in board["templating"]["list"]}


def test_every_expression_parses_and_names_metrics_and_labels_that_there_are() -> None:
    for panel in panels(dashboards()["llmledgerd-health.json"]):
        for target in panel["targets"]:
            labels = labels_of(promql(target))
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= labels, target


def test_health_shows_only_the_chosen_instances() -> None:
    for panel in panels(dashboards()["llmledgerd-health.json"]):
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"]


def test_a_macro_is_given_a_column_because_its_argument_ends_at_the_first_bracket() -> None:
    for panel in panels(dashboards()["llmledger-usage.json"]):
        for target in panel["targets"]:
            for argument in re.findall(r"\$__time\w+\((.*?)\)", target["rawSql"]):
                assert argument.isidentifier(), argument


def promql(target: dict[str, Any]) -> str:
    """Return the expression with Grafana's own intervals filled in."""
    text = str(target["expr"]).replace("$__rate_interval", "5m").replace("$__range", "6h")
    return text.replace("$instance", ".*")


def _query(target: dict[str, Any]) -> str:
    return str(target.get("rawSql") or target["expr"])
