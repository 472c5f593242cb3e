"""``python -m deploy.grafana.make`` writes the dashboards beside itself; a test says when that is due."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.grafana.health import health_dashboard
from deploy.grafana.usage import usage_dashboard

FOLDER: Final = Path(__file__).parent

BOARDS: Final = {"llmledger-usage.json": usage_dashboard, "llmledgerd-health.json": health_dashboard}

if __name__ == "__main__":
    for file, board in BOARDS.items():
        (FOLDER / file).write_text(board().text())
