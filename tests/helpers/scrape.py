"""A scrape of a running daemon, as Prometheus would make it; the identity is checked on the way."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.helpers import admin

STORE = "clickhouse"


class Scrape:
    """The samples of one moment."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """Return a value; 0 where there is no such series yet. The prefix ``llmledgerd_`` is implied."""
        return self._samples.get((f"llmledgerd_{name}", frozenset(labels.items())), 0.0)

    def of_store(self, name: str, **labels: str) -> float:
        return self(name, store=STORE, **labels)

    def check_identity(self) -> None:
        """Everything that was received is somewhere."""
        parts = ("stored_lines_total", "dead_letter_lines_total", "lost_lines_total", "control_lines_total")
        there = sum(map(self.of_store, (*parts, "waiting_lines")))
        assert self("received_lines_total") == there


def scrape(path: Path) -> Scrape:
    """Scrape the daemon whose admin socket this is."""
    code, text = admin.get(path, "/metrics")
    assert code == 200, text
    seen = Scrape(text)
    seen.check_identity()
    return seen
