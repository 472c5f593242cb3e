"""Why a call has no cost: the words of ``cost_reason``, each listed once.

Invariant: a word never changes its meaning, because people filter and alert by it.
"""

from __future__ import annotations

from typing import Final

NO_PRICE: Final = "no_price"
NO_PRICE_FOR_TIER: Final = "no_price_for_tier"
NO_PRICE_FOR_REGION: Final = "no_price_for_region"
NO_PRICE_FOR_PART: Final = "no_price_for_part:"
USAGE_UNKNOWN: Final = "usage_unknown"
USAGE_PARTIAL: Final = "usage_partial"
USAGE_MISMATCH: Final = "usage_mismatch"
USAGE_OUT_OF_RANGE: Final = "usage_out_of_range"
COST_OUT_OF_RANGE: Final = "cost_out_of_range"
OWN_MODEL: Final = "own_model"
OTHER_CURRENCY: Final = "other_currency"

REASONS: Final = {
    NO_PRICE: "No list has a price for this provider and model at this moment.",
    NO_PRICE_FOR_TIER: "The model has a price, and none for this service tier, speed or batch.",
    NO_PRICE_FOR_REGION: "The model costs more in this region, and no list says how much.",
    f"{NO_PRICE_FOR_PART}<part>": "Everything has a price but this part: a modality, a kind of cache, a fee.",
    USAGE_UNKNOWN: "The answer reports no usage, or only a total.",
    USAGE_PARTIAL: "The usage is a lower bound: the answer was cut, or a count was not a count.",
    USAGE_MISMATCH: "The counts contradict each other: the total is not the sum, or a part exceeds its whole.",
    USAGE_OUT_OF_RANGE: "A count is larger than its column holds.",
    COST_OUT_OF_RANGE: "The cost is larger than its column holds.",
    OWN_MODEL: "The call was served at a private address or by a self-hosted server; own prices may say a price.",
    OTHER_CURRENCY: "The provider says its cost, or sells, in another currency than US dollars.",
}
"""Each reason and its meaning, as docs/prices.md lists them."""


def missing(part: str) -> str:
    """Return the reason of a call whose part has no price."""
    return NO_PRICE_FOR_PART + part
