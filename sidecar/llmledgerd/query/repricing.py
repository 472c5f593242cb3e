"""Request and result of a recomputation of costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

Microseconds = Annotated[int, Meta(ge=0, le=10**16)]


class Reprice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls are priced again: those that started between two times, in microseconds since 1970."""

    from_us: Microseconds
    to_us: Microseconds
    """Exclusive."""
    dry_run: bool = False
    """Compute everything and change nothing."""
    run: Annotated[str, Meta(pattern="^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")] = ""
    """UUID under which ``llm_price_changes`` records it; empty: a new one."""


class ModelChange(msgspec.Struct, kw_only=True):
    """Changed calls of one model, by one list."""

    provider: str
    model: str
    price_list: str
    """The list of the new costs; empty where they are unknown."""
    calls: int = 0
    old_unknown: int = 0
    new_unknown: int = 0
    old_usd: Decimal = Decimal(0)
    new_usd: Decimal = Decimal(0)

    def add(self, old: Decimal | None, new: Decimal | None) -> None:
        """Count one call."""
        self.calls += 1
        self.old_unknown += old is None
        self.new_unknown += new is None
        self.old_usd += old or 0
        self.new_usd += new or 0

    def add_all(self, other: ModelChange) -> None:
        """Count another's calls."""
        self.calls += other.calls
        self.old_unknown += other.old_unknown
        self.new_unknown += other.new_unknown
        self.old_usd += other.old_usd
        self.new_usd += other.new_usd


class Repriced(msgspec.Struct, kw_only=True):
    """What a recomputation of costs found and changed."""

    run: str = ""
    total: int = 0
    """Calls in the range whose cost is not the provider's word."""
    looked_at: int = 0
    changed: int = 0
    unpriced: int = 0
    """Calls without a cost, now as before."""
    erased: int = 0
    """Calls that keep their cost because an erasure emptied a part of their usage."""
    models: list[ModelChange] = []

    def change(self, provider: str, model: str, price_list: str) -> ModelChange:
        """Return the entry of a model and a list."""
        for one in self.models:
            if (one.provider, one.model, one.price_list) == (provider, model, price_list):
                return one
        self.models.append(ModelChange(provider=provider, model=model, price_list=price_list))
        return self.models[-1]

    def add_all(self, other: Repriced) -> None:
        """Count another's calls, of a further part of the range."""
        self.run = other.run
        self.total += other.total
        self.looked_at += other.looked_at
        self.changed += other.changed
        self.unpriced += other.unpriced
        self.erased += other.erased
        for one in other.models:
            self.change(one.provider, one.model, one.price_list).add_all(one)
