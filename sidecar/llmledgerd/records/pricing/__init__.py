"""Cost of a call in US dollars: the provider's own word, an own price, the list price, or unknown with a reason.

Invariant: a cost is the whole price of the call by the list that it names, or there is none and the
reason says why; the parts add up to it exactly. Nothing here reads files, clocks or the network.
"""

from __future__ import annotations

from llmledgerd.records.pricing.amounts import MAX_COST, reported_cost
from llmledgerd.records.pricing.price import Price, PricedCall
from llmledgerd.records.pricing.price_list import PriceList
from llmledgerd.records.pricing.pricer import Pricer
from llmledgerd.records.pricing.rates import MOST_UNITS

__all__ = ["MAX_COST", "MOST_UNITS", "Price", "PriceList", "PricedCall", "Pricer", "reported_cost"]
