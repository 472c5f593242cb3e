"""Amounts of money: rounding, and what others state.

Invariant: parts that were rounded add up to their rounded sum exactly; no amount is clamped.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

MAX_COST: Final = Decimal("999999999.999999999")
"""The largest that Decimal(18, 9) holds."""

ATTO_PER_NANO: Final = 10**9
_HALF: Final = ATTO_PER_NANO // 2
_NANO: Final = Decimal("1e-9")
_MAX_NANO: Final = int(MAX_COST.scaleb(9))


def dollars(atto: Mapping[str, int]) -> tuple[Decimal, dict[str, Decimal]] | None:
    """Return the sum and its parts in dollars at nine places; ``None`` where no column holds the sum.

    The sum is rounded once, half up, and the parts so that they add up to it: down first, then those
    with the largest remainders up (the largest remainder method). Parts of 0 are left out.
    """
    total, odd = divmod(sum(atto.values()), ATTO_PER_NANO)
    if odd >= _HALF:
        total += 1
    if total > _MAX_NANO:
        return None
    nano = {part: amount // ATTO_PER_NANO for part, amount in atto.items()}
    missing = total - sum(nano.values())
    if missing:
        by_remainder = sorted(atto, key=lambda part: -(atto[part] % ATTO_PER_NANO))
        for part in by_remainder[:missing]:
            nano[part] += 1
    return total * _NANO, {part: amount * _NANO for part, amount in nano.items() if amount}


def reported_cost(text: float | str | Decimal) -> Decimal | None:
    """Return the dollars that somebody else states; ``None`` where that is no number that a column holds."""
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount <= MAX_COST:
        return None
    return amount.quantize(_NANO)
