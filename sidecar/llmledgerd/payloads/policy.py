"""Payload policy: the treatment of a row's payloads. Pure.

Invariant: the first matching rule decides, and the default supplies its missing settings. The decision
depends on the organization and the call type alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmledgerd.config.options import Attachments, Mode, PayloadRule


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Treatment of one row's payloads."""

    mode: Mode = "inline"
    above_bytes: int = 0
    """Size up to which all payloads of a row stay inline in the mode ``offload``.

    ``metadata_only`` has no threshold: if payloads must not be stored, small ones must not either.
    """
    sample_rate: float = 1.0
    """Share of the traces that keep their payloads."""
    attachments: Attachments = "keep"

    @property
    def changes_nothing(self) -> bool:
        return self.mode == "inline" and self.sample_rate >= 1 and self.attachments == "keep"

    @property
    def needs_objects(self) -> bool:
        """Whether the decision requires object storage."""
        return self.mode == "offload" or (self.attachments == "store" and self.mode != "metadata_only")


class Policy:
    """The default and the rules, in order."""

    def __init__(self, default: Decision, rules: Sequence[PayloadRule] = ()) -> None:
        self._default = default
        self._rules = [(rule, _over(default, rule)) for rule in rules]

    def decide(self, organization: str, call_type: str) -> Decision:
        """Return the treatment of payloads for an organization and call type."""
        for rule, decision in self._rules:
            if rule.organization_id in (None, organization) and rule.call_type in (None, call_type):
                return decision
        return self._default

    @property
    def decisions(self) -> list[Decision]:
        """Return every possible decision."""
        return [self._default, *(decision for _, decision in self._rules)]


def _over(default: Decision, rule: PayloadRule) -> Decision:
    said = {name: getattr(rule, name) for name in Decision.__struct_fields__}
    return msgspec.structs.replace(
        default, **{name: value for name, value in said.items() if value is not None}
    )
