"""What a price depends on beside usage, and what it is.

Invariant: all of ``PricedCall`` is in columns of the row, so that a price can be computed again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

CostSource = Literal["provider", "list_price", "own_price", ""]


class PricedCall(msgspec.Struct, frozen=True, gc=False):
    """What a call's price depends on beside what the exchange says of its usage."""

    provider: str
    """As in the row: the sender's word, else by URL and shape."""
    model: str
    """As in the row: the sender's word first."""
    url: str = ""
    """Who bills, and where: it wins over ``provider``, because senders name the SDK that they use."""
    created_at_us: int = 0
    organization_id: str = ""
    latency_ms: int = 0
    priced_model: str = ""
    """The row's column of that name when a stored row is priced again; empty on arrival."""


class Price(msgspec.Struct, frozen=True, gc=False):
    """What a call costs: the whole price by a named list, or ``None`` with its reason."""

    usd: Decimal | None = None
    source: CostSource = ""
    reason: str = ""
    """Why there is no cost (``reasons.REASONS``); empty where there is one."""
    model: str = ""
    """The name whose price was looked up: the reply's, else the request's, else the sender's."""
    price_list: str = ""
    """The list and its release, or the file and its date; empty where the provider said the cost."""
    parts: dict[str, Decimal] = {}
    """Dollars by part, none of them 0; their sum is ``usd``. Empty without a cost."""
    lost_rates: tuple[int | None, int | None] = (None, None)
    """Trillionths of a dollar (1e-12) that one token of the input costs more when it is sent fresh, and when it is
    written to the cache, than when it is read from it; ``None``: unknown."""
