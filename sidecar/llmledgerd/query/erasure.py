"""What an erasure is asked for, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

OBJECTS_AT_ONCE: Final = 1000

PAYLOADS: Final = (
    "request_json", "response_json", "llm_config_json", "compaction_settings_json", "error_message", "payload_uri",
)  # fmt: skip
"""What holds what was said."""


class Objects(Protocol):
    """Object storage, as far as it is erased. Raises LlmledgerdError; what is gone already is no error."""

    def delete_calls(self, uris: Sequence[str]) -> None: ...
    def delete_files(self, organization_id: str) -> None: ...


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose calls, and whether their rows go too."""

    organization_id: str
    customer_id: str | None = None
    user_id: str | None = None
    before_us: int | None = None
    """Only calls that started before, in microseconds since 1970."""
    until_us: int | None = None
    """Only what was received until then: what came after a count was not counted."""
    rows: bool = False

    @property
    def is_of_all(self) -> bool:
        """Whether it is of everybody in the organization."""
        return self.customer_id is None and self.user_id is None


class Extent(msgspec.Struct, kw_only=True):
    """How much there is to erase, or was erased."""

    calls: int = 0
    hours: int = 0
    """Of usage, in which these calls are counted."""
    objects: int = 0


class Erased(msgspec.Struct, kw_only=True):
    """How much there is to erase, or was erased, of each kind."""

    calls: int = 0
    """In ClickHouse."""
    hours: int = 0
    """Of usage, in which these calls are counted."""
    objects: int = 0
    postgres_calls: int = 0
    dead_letters: int = 0
    """Of this daemon's host."""
    quarantined_lines: int = 0
    """In copies of its damaged segments."""
    away: list[str] = []
    """Stores that did not answer, which have what they had: erase again."""
    unread: list[str] = []
    """What stays because it cannot be read or attributed, a sentence each."""
    confirmation: str = ""
    """With which the same request erases what was counted; empty where it did."""
    confirmation_seconds: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing of theirs in any place that could be read."""
        return not (self.calls or self.postgres_calls or self.dead_letters or self.quarantined_lines)
