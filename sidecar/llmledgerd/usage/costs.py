"""The cost that a provider itself reports.

Invariant: the digits are the provider's own, in US dollars; nothing is rounded on the way. What a proxy
estimates from a price list of its own is no provider's word.

Sources: OpenRouter docs, "Usage accounting" (``cost``, in credits of one USD) and "BYOK" (``is_byok``, and
``cost_details.upstream_inference_cost``, which the provider bills beside OpenRouter's fee); Perplexity API
docs, "Chat completions" (``cost.total_cost``) and "Agent API: Pricing" (``cost.currency``); xAI docs, "Usage"
(``cost_in_usd_ticks``); LiteLLM docs, "Response headers" (``x-litellm-response-cost``, an estimate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from msgspec import Raw

from llmledgerd.usage.decode import (
    Json,
    Members,
    as_bytes,
    count,
    is_null,
    is_object,
    members,
    text,
    value,
)
from llmledgerd.usage.exchange_facts import Facts

USD_PER_TICK: Final = Decimal(1).scaleb(-10)
"""xAI counts in ten-billionths of a dollar; its models at Azure always say 0, which is no cost."""

LONGEST_AMOUNT, LARGEST_EXPONENT = 64, 30
"""A cost beyond them is a mistake or an attack: "1e-999999999" would take a gigabyte to write out."""

AMOUNT: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
DOLLARS: Final = frozenset({"", "USD", "US$", "$"})
OTHER_CURRENCY: Final = "other_currency"

SAYS_FREE: Final = frozenset({"is_byok", "cost_details"})
"""OpenRouter's members beside the cost."""

ESTIMATES: Final = "x-litellm-"
"""Beginning of the headers of a proxy that adds its own estimate to the usage."""


def add_cost(facts: Facts, usage: Members) -> None:
    """Set the cost in US dollars that a usage object names, and whose key was used."""
    own_key = value(usage.get("is_byok"))
    facts.is_byok = own_key if isinstance(own_key, bool) else None
    if facts.is_byok and is_object(details := usage.get("cost_details")):
        facts.upstream_cost_usd = _amount(members(details).get("upstream_inference_cost"))
    cost = usage.get("cost")
    if is_null(cost) or _currency(usage) in DOLLARS:
        said = cost_in(usage)
        # Many proxies write 0 where they do not know; OpenRouter's members make its 0 a price.
        facts.cost_usd = said if said is None or Decimal(said) or not SAYS_FREE.isdisjoint(usage) else None
    else:
        facts.doubt = OTHER_CURRENCY


def cost_in(usage: Members) -> str | None:
    """Return the cost in USD as a plain decimal, or None where the usage names none."""
    cost = usage.get("cost")
    if cost:
        return _amount(members(cost).get("total_cost") if is_object(cost) else cost)
    ticks = count(value(usage["cost_in_usd_ticks"])) if "cost_in_usd_ticks" in usage else None
    return f"{ticks * USD_PER_TICK:f}" if ticks else None


def is_estimate(usage: Members, headers: Mapping[str, str] | None, *, is_proxied: bool) -> bool:
    """Whether the cost is a proxy's estimate: LiteLLM's, or any at an address where no provider is.

    A proxy that passes on OpenRouter's or xAI's usage passes on the members that only these have.
    """
    if "cost_details" in usage or "cost_in_usd_ticks" in usage:
        return False
    return is_proxied or any(name.lower().startswith(ESTIMATES) for name in headers or ())


def _currency(usage: Members) -> str:
    cost = usage.get("cost")
    inner = members(cost) if is_object(cost) else {}
    named = (inner.get("currency"), usage.get("cost_currency"), usage.get("currency"))
    return next((said.strip().upper() for raw in named if (said := text(raw))), "")


def _amount(raw: Json | None) -> str | None:
    """Return a number of dollars, or a text of one, that is not negative and of a sensible size."""
    found = value(raw)
    # A number with more digits than a double has comes as its literal.
    if raw is None or isinstance(found, bool) or not isinstance(found, int | float | str | Raw):
        return None
    literal = found if isinstance(found, str) else as_bytes(raw).decode()
    if len(literal) > LONGEST_AMOUNT or not AMOUNT.fullmatch(literal):
        return None
    amount = Decimal(literal)
    return f"{amount:f}" if abs(amount.adjusted()) <= LARGEST_EXPONENT else None
