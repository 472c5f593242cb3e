"""A client that keeps what it is handed, for tests without a socket."""

from __future__ import annotations

from typing import Any

from llmledger import TraceClient


class Captured(TraceClient):
    """Takes every line and sends none."""

    def __init__(self) -> None:
        super().__init__("/nonexistent", service="tests")
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.close(0.0)

    def hand_over(self, kind: Any, fields: Any) -> bool:
        self.lines.append((kind, fields))
        return True

    def records(self) -> list[dict[str, Any]]:
        """Return the records so far."""
        return [fields for kind, fields in self.lines if kind == "record"]

    def begins(self) -> list[dict[str, Any]]:
        """Return the announcements so far."""
        return [fields for kind, fields in self.lines if kind == "begin"]

    def record_of(self) -> dict[str, Any]:
        """Return the one record."""
        (record,) = self.records()
        return record
