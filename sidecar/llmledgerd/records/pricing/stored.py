"""Price of a row that is stored already.

Invariant: priced by the same lists, a row has the price that it had on arrival, because all that a price
depends on is in ``COLUMNS`` or follows from ``usage_json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from llmledgerd.records.pricing.price import Price, PricedCall
from llmledgerd.records.pricing.pricer import Pricer
from llmledgerd.usage import read_usage

COLUMNS: Final = (
    "provider", "model", "url", "request_model", "organization_id", "latency_ms", "service_tier", "region", "is_batch",
    "usage_json", "usage_source", "usage_check", "usage_units", "priced_model",
)  # fmt: skip
"""What the price of a row is computed from, beside ``created_at``; ``usage_json`` as bytes."""


def price(pricer: Pricer, row: Mapping[str, Any], created_at_us: int) -> Price:
    """Return what a row costs whose cost was not the provider's word."""
    named = row["priced_model"] or row["model"]
    facts = read_usage(row["usage_json"], url=row["url"], model=named)
    # A cost in the usage that was not taken on arrival was an estimate, or no amount.
    facts.cost_usd = None
    facts.model, facts.request_model = named, row["request_model"]
    facts.service_tier, facts.region, facts.is_batch = (
        row["service_tier"],
        row["region"],
        bool(row["is_batch"]),
    )
    facts.usage_source, facts.usage_check = row["usage_source"], row["usage_check"]
    facts.units = {part: Decimal(count) for part, count in row["usage_units"].items()}
    call = PricedCall(
        provider=row["provider"],
        model=row["model"],
        url=row["url"],
        created_at_us=created_at_us,
        organization_id=row["organization_id"],
        latency_ms=row["latency_ms"],
        priced_model=row["priced_model"],
    )
    return pricer.price(facts, call)


def is_same(priced: Price, row: Mapping[str, Any]) -> bool:
    """Return whether a row may keep what it says of its cost.

    The list that a row names stays where another list says the same amounts: that list's price was and is
    right, and a new release of a list rewrites no row without need.
    """
    parts = {part: Decimal(amount) for part, amount in row["cost_parts"].items()}
    return (priced.usd, priced.reason, priced.parts) == (row["cost_usd"], row["cost_reason"], parts)


_EMPTIED: Final = re.compile(
    rb'"(?!(?:service_?tier|speed|inference_?geo|traffic_?type)")[^"]*"\s*:\s*""|[\[,]\s*""\s*[,\]]',
    re.IGNORECASE,
)
"""An emptied text of a usage object, but for those that a column has."""


def is_emptied(row: Mapping[str, Any]) -> bool:
    """Return whether texts of the usage are missing, as after an erasure: they may have said what is billed.

    Gemini names modalities in texts, Anthropic the models of iterations; numbers alone have another price.
    """
    return _EMPTIED.search(row["usage_json"]) is not None
