"""How modules with questions of their own run statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Ask(Protocol):
    """Runs a statement with bound values within the bounds of an answer. Raises ValueError for a larger answer."""

    def __call__(
        self, sql: str, values: Mapping[str, Any], hints: Mapping[str, Any] | None = None, /
    ) -> list[dict[str, Any]]:
        """Return the rows; ``hints`` are those of ``Store.query``."""
