"""The cost that a provider itself reports.

Invariant: the digits are the provider's own; nothing is rounded on the way.

Sources: OpenRouter docs, "Usage accounting" (``cost``, in credits of one USD); Perplexity API docs,
"Chat completions" (``cost.total_cost``); xAI docs, "Usage" (``cost_in_usd_ticks``).
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Raw

from llmledgerd.usage.decode import Json, Members, as_bytes, count, is_object, members, value

USD_PER_TICK = Decimal(1).scaleb(-10)
"""xAI counts in ten-billionths of a dollar; its models at Azure always say 0, which is no cost."""


LONGEST_AMOUNT, LARGEST_EXPONENT = 64, 30
"""A cost beyond them is a mistake or an attack: "1e-999999999" would take a gigabyte to write out."""


def cost_in(usage: Members) -> str | None:
    """Return the cost in USD as a plain decimal, or None where the usage names none."""
    cost = usage.get("cost")
    if cost:
        return _amount(members(cost).get("total_cost") if is_object(cost) else cost)
    ticks = count(value(usage["cost_in_usd_ticks"])) if "cost_in_usd_ticks" in usage else None
    return f"{ticks * USD_PER_TICK:f}" if ticks else None


def _amount(raw: Json | None) -> str | None:
    """Return a number of dollars that is not negative and of a sensible size."""
    found = value(raw)
    # A number with more digits than a double has comes as its literal.
    if raw is None or isinstance(found, bool) or not isinstance(found, int | float | Raw):
        return None
    literal = as_bytes(raw)
    amount = Decimal(literal.decode()) if len(literal) <= LONGEST_AMOUNT else Decimal(-1)
    is_sensible = amount >= 0 and abs(amount.adjusted()) <= LARGEST_EXPONENT
    return f"{amount:f}" if is_sensible else None
