"""Payload policy: the treatment of a row's payloads. Pure.

Invariant: the first rule that matches a row decides, and what it leaves unsaid is the default's; the
answer depends on the organization and the call type alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmledgerd.config.options import Attachments, Mode, PayloadRule


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one row's payloads."""

    mode: Mode = "inline"
    above_bytes: int = 0
    """Payloads of one row that have no more bytes together stay inline where the mode is ``offload``.

    ``metadata_only`` knows no threshold: where payloads must not be kept, small ones must not either.
    """
    sample_rate: float = 1.0
    """How many of the traces keep their payloads."""
    attachments: Attachments = "keep"

    @property
    def changes_nothing(self) -> bool:
        return self.mode == "inline" and self.sample_rate >= 1 and self.attachments == "keep"

    @property
    def needs_objects(self) -> bool:
        """Whether there has to be object storage for it."""
        return self.mode == "offload" or (self.attachments == "store" and self.mode != "metadata_only")


class Policy:
    """The default and the rules, in order."""

    def __init__(self, default: Decision, rules: Sequence[PayloadRule] = ()) -> None:
        self._default = default
        self._rules = [(rule, _over(default, rule)) for rule in rules]

    def decide(self, organization: str, call_type: str) -> Decision:
        """Return what becomes of the payloads of one organization's calls of one type."""
        for rule, decision in self._rules:
            if rule.organization_id in (None, organization) and rule.call_type in (None, call_type):
                return decision
        return self._default

    @property
    def decisions(self) -> list[Decision]:
        """Return every decision that there can be."""
        return [self._default, *(decision for _, decision in self._rules)]


def _over(default: Decision, rule: PayloadRule) -> Decision:
    said = {name: getattr(rule, name) for name in Decision.__struct_fields__}
    return msgspec.structs.replace(
        default, **{name: value for name, value in said.items() if value is not None}
    )
