"""What the form of genai-prices' list cannot say, so that a price of it may not hold.

Invariant: where the list's own comment, or its own dates, say that a price is not the call's, the call has
none. Nothing here adds a price.

Sources: genai-prices, ``deepseek.yml`` ("peak prices here are an upper bound") and ``zhipuai.yml`` ("CNY is the
only billing currency"); Anthropic docs, "Pricing",
section on long context (requests above 200,000 tokens of input, by models whose usual window is as large).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from llmledgerd.records.pricing.list_data import Model
from llmledgerd.records.pricing.rates import Rates, Sheet

CONVERTED: Final = frozenset({"zhipuai"})
"""Providers that sell in another currency alone; the list has their prices at a rate of its own."""
_SATURDAY: Final = 5
_WINDOW: Final = 200_000
_LONG_CONTEXT: Final = re.compile(r"claude-(?:sonnet-4-(?:0|5|2025)|4-sonnet)")
"""Models that could be asked for a longer context, at twice the price of the input."""


def hides_price(model: Model, moment: datetime) -> bool:
    """Return whether a daily window of prices is open that may not hold on this day.

    A condition of the list is a date or a time of day and never both: a window that came with a later
    price covers the days before as well, and one that is closed on weekends covers them too.
    """
    if not isinstance(model.prices, tuple):
        return False
    conditions = [one.constraint for one in model.prices if one.constraint is not None]
    if not any(one.start_time is not None and one.active(moment) for one in conditions):
        return False
    starts = [one.start_date for one in conditions if one.start_date is not None]
    is_weekend = moment.weekday() >= _SATURDAY
    return any(moment.date() < start for start in starts) or (
        is_weekend and "weekend" in (model.price_comments or "").lower()
    )


def without_long_context(sheet: Sheet, model: Model) -> Sheet:
    """Return the rates without any beyond the context window, where a longer one cost more."""
    if sheet.thresholds or model.context_window != _WINDOW or not _LONG_CONTEXT.search(model.id):
        return sheet
    return Sheet((_WINDOW,), (*sheet.rates, Rates()))
