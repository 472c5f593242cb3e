"""Which rule a usage object falls under, told by its own member names.

Invariant: the choice needs nothing but the object, so that the SQL view can make the same one.
"""

from __future__ import annotations

from collections.abc import Callable

from llmledgerd.usage.decode import Json, Members
from llmledgerd.usage.exchange_facts import Facts
from llmledgerd.usage.providers import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    openai_chat,
    openai_responses,
    root_counts,
)

Rule = Callable[[Json], Facts]

RESPONSES_ALONE = frozenset({"total_tokens", "input_tokens_details", "input_token_details"})
"""Members that OpenAI's ``input_tokens`` has beside it and Anthropic's never has."""

RULES: tuple[tuple[Rule, frozenset[str]], ...] = (
    (
        gemini.tokens,
        frozenset(
            {
                "promptTokenCount",
                "candidatesTokenCount",
                "responseTokenCount",
                "thoughtsTokenCount",
                "toolUsePromptTokenCount",
                "totalTokenCount",
            }
        ),
    ),
    (bedrock.tokens, frozenset({"inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount"})),
    (cohere.tokens, frozenset({"tokens", "billed_units"})),
    (gemini.interaction_tokens, frozenset({"total_input_tokens", "total_output_tokens"})),
    (root_counts.tokens, frozenset(root_counts.RootCounts.__struct_encode_fields__)),
    (openai_chat.tokens, frozenset({"total_tokens"})),
)
"""In order; one name is enough. Before them come the two pairs of names that are shared."""


def rule_for(usage: Members) -> Rule | None:
    """Return the rule of a usage object, or None where no name is known."""
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return openai_chat.tokens
    if "input_tokens" in usage or "output_tokens" in usage:
        is_anthropic = RESPONSES_ALONE.isdisjoint(usage)
        return anthropic.tokens if is_anthropic else openai_responses.tokens
    return next((rule for rule, names in RULES if not names.isdisjoint(usage)), None)
