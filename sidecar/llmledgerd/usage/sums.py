"""What a call's address and kind make of sums that do not hold, and of counts that are missing.

Invariant: the columns stay as the usage object has them; what changes is what is priced, and the doubt that
keeps a price away. Where the counts contradict each other and no rule explains it, there is a doubt.

Sources: Gemini API docs, "OpenAI compatibility" and "Thinking": ``completion_tokens`` leaves the thoughts out,
which ``total_tokens`` holds and which cost what the output costs. Mistral docs, "Audio & Transcription": audio is
billed by the minute, although its tokens are reported as well.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.usage.exchange_facts import Facts

SECONDS: Final = "audio_second"
MISMATCH: Final = "usage_mismatch"
GOOGLE: Final = frozenset({"google", "vertex"})
READS_ALONE: Final = frozenset({"embedding", "rerank"})
"""Kinds of calls that write nothing, so that a missing count of output is none."""


def settle(facts: Facts, provider: str, model: str) -> None:
    """Settle a mismatch between total and parts, a count that is missing, and audio that is billed by time."""
    if SECONDS in facts.units:
        _bill_by_time(facts)
    if facts.usage_check == "mismatch":
        _settle_total(facts, provider, model)
    if (
        facts.usage_source == "partial"
        and facts.call_type in READS_ALONE
        and facts.completion_tokens is None
        and facts.prompt_tokens is not None
    ):
        facts.usage_source = "reported"


def _bill_by_time(facts: Facts) -> None:
    """Leave out the tokens of audio that is billed by its seconds; a transcription has no other price."""
    if facts.call_type == "transcription":
        facts.priced = []
    for used in facts.priced:
        used.input, used.input_audio = max(0, used.input - used.input_audio), 0


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
