"""What a call's address and kind make of sums that do not hold, and of counts that are missing.

Invariant: the columns stay as the usage object has them; what changes is what is priced, and the doubt that
keeps a price away. Where the counts contradict each other and no rule explains it, there is a doubt.

Source: Gemini API docs, "OpenAI compatibility" and "Thinking": ``completion_tokens`` leaves the thoughts out,
which ``total_tokens`` holds and which cost what the output costs.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.usage.exchange_facts import Facts

MISMATCH: Final = "usage_mismatch"
GOOGLE: Final = frozenset({"google", "vertex"})
READS_ALONE: Final = frozenset({"embedding", "rerank"})
"""Kinds of calls that write nothing, so that a missing count of output is none."""


def settle(facts: Facts, provider: str, model: str) -> None:
    """Settle a mismatch between total and parts, and a count that is missing."""
    if facts.usage_check == "mismatch":
        _settle_total(facts, provider, model)
    if (
        facts.usage_source == "partial"
        and facts.call_type in READS_ALONE
        and facts.completion_tokens is None
        and facts.prompt_tokens is not None
    ):
        facts.usage_source = "reported"


def _settle_total(facts: Facts, provider: str, model: str) -> None:
    known = (facts.prompt_tokens or 0) + (facts.completion_tokens or 0)
    rest = (facts.total_tokens or 0) - known
    is_gemini = provider in GOOGLE or "gemini" in model.lower()
    if not is_gemini or rest <= 0 or facts.completion_tokens is None or len(facts.priced) != 1:
        if facts.usage_source == "reported":
            facts.doubt = facts.doubt or MISMATCH
        return
    facts.priced[0].output += rest
    facts.usage_check = "ok"
