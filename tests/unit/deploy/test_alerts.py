"""Alert rules ask for what the daemon exposes, and say what to do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmledgerd.config import settings
from llmledgerd.telemetry import definitions
from tests.helpers.promql import EXPOSED, labels_of

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "alerts" / "llmledgerd.rules.yml"
DURATION = re.compile(r"\d+[smhd]")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


by_name = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])


@by_name
def test_an_alert_parses_and_names_metrics_and_labels_that_there_are(alert: dict[str, Any]) -> None:
    labels_of(alert["expr"])


@by_name
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description"}
    assert len(alert["annotations"]["summary"]) < 140
    assert len(alert["annotations"]["description"]) > 80, "what is an operator to do?"
    assert DURATION.fullmatch(alert.get("for", "0s"))


@by_name
def test_what_an_alert_shows_is_in_its_answer(alert: dict[str, Any]) -> None:
    shown = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    assert shown <= labels_of(alert["expr"])


@by_name
def test_a_summary_is_a_template_that_prometheus_knows(alert: dict[str, Any]) -> None:
    for part in re.findall(r"\{\{(.*?)\}\}", alert["annotations"]["summary"]):
        assert re.fullmatch(r" (\$labels\.\w+|\$value( \| humanize\w*)?|with \$labels\.\w+|\.|end) ", part), (
            part
        )
    assert "{{" not in alert["annotations"]["description"]


@by_name
def test_settings_and_metrics_that_an_alert_speaks_of_exist(alert: dict[str, Any]) -> None:
    text = alert["annotations"]["description"]
    named = set(re.findall(r"\b(?:max|spool|batch|dead_letters|socket|on_full)_\w+", text))
    assert named - {"buffer_max_bytes"} <= set(settings.Config.__struct_fields__)
    exposed = {metric.name for metric in definitions.ALL} | set(EXPOSED)
    assert set(re.findall(r"\b(?:llmledgerd|process)_\w+", text)) <= exposed


def test_names_are_unique_and_what_is_lost_is_critical() -> None:
    names = Counter(alert["alert"] for alert in alerts())
    assert max(names.values()) == 1
    critical = {alert["alert"] for alert in alerts() if alert["labels"]["severity"] == "critical"}
    assert {"LlmledgerdDown", "LlmledgerdRecordsLost", "LlmledgerdSpoolFilling"} <= critical


@pytest.mark.parametrize(
    "wrong",
    [
        "llmledgerd_lost_records_total",
        'llmledgerd_lost_lines_total{shop="x"}',
        "sum by (reason) (rate(llmledgerd_lost_lines_total[5m]))",
        "llmledgerd_accepting == 0 and on (store) llmledgerd_spool_bytes",
    ],
)
def test_the_check_would_find_a_name_that_is_not_there(wrong: str) -> None:
    with pytest.raises(AssertionError):
        labels_of(wrong)
