"""Request and result of an erasure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

OBJECTS_AT_ONCE: Final = 1000

PAYLOADS: Final = (
    "request_json", "response_json", "llm_config_json", "compaction_settings_json", "error_message", "payload_uri",
    "prompt_parts", "cache_diagnostics",
)  # fmt: skip
"""Columns that hold payloads."""

ERASED_URI: Final = "erased:"
"""``payload_uri`` of a row whose payloads were erased; the other columns of PAYLOADS are empty then."""


def left_of(column: str) -> str:
    """Return the value that an erasure leaves in a column of PAYLOADS."""
    return ERASED_URI if column == "payload_uri" else ""


class Objects(Protocol):
    """Erasure in object storage. Raises LlmledgerdError; a missing object is not an error."""

    def delete_calls(self, uris: Sequence[str]) -> None: ...
    def delete_files(self, organization_id: str) -> None: ...


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Selection of calls to erase, and whether their rows are erased too."""

    organization_id: str
    customer_id: str | None = None
    user_id: str | None = None
    before_us: int | None = None
    """Only calls that started before this time, in microseconds since 1970."""
    until_us: int | None = None
    """Only lines received up to this time: later ones were not part of the count."""
    rows: bool = False

    @property
    def is_of_all(self) -> bool:
        """Whether it covers the whole organization."""
        return self.customer_id is None and self.user_id is None


class Extent(msgspec.Struct, kw_only=True):
    """Number of rows to erase, or erased, in one store."""

    calls: int = 0
    hours: int = 0
    """Of usage, in which these calls are counted."""
    objects: int = 0


class Erased(msgspec.Struct, kw_only=True):
    """Amounts to erase, or erased, by kind."""

    calls: int = 0
    """Rows in the store that answers queries."""
    hours: int = 0
    """Of usage, in which these calls are counted."""
    objects: int = 0
    further_calls: dict[str, int] = {}
    """Rows in each further store, by the store's name."""
    dead_letters: int = 0
    """Lines in the spool of this daemon's host."""
    quarantined_lines: int = 0
    """Lines in copies of its damaged segments."""
    away: list[str] = []
    """Stores that were unavailable and kept their rows: repeat the erasure."""
    unread: list[str] = []
    """Descriptions of data that remains because it cannot be read or attributed."""
    confirmation: str = ""
    """Confirmation code: repeat the request with it to erase what was counted; empty after the erasure."""
    confirmation_seconds: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether no readable place holds matching data."""
        return not (
            self.calls or any(self.further_calls.values()) or self.dead_letters or self.quarantined_lines
        )
