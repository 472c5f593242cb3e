"""Facts of an exchange with a provider: usage, model, errors, the assembled response.

Invariant: ``read_exchange`` never raises, for any payload; unreadable facts are unknown.
"""

from __future__ import annotations

from llmledgerd.usage.exchange import read_exchange, read_usage
from llmledgerd.usage.exchange_facts import Exchange, Facts, PricedUsage

__all__ = ["Exchange", "Facts", "PricedUsage", "read_exchange", "read_usage"]
