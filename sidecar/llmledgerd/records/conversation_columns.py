"""What a row says of its conversation, from its record and the facts of its answer. Pure.

Invariant: request and answer are read once for all these columns.
"""

from __future__ import annotations

from llmledger.protocol import Record
from llmledgerd.conversations import (
    UNKNOWN,
    Identity,
    ToolCalls,
    identity_of,
    read_answer,
    read_request,
    tool_calls_of,
)
from llmledgerd.conversations.cache_misses import Counts
from llmledgerd.conversations.prompt import Prompt, prompt_of
from llmledgerd.conversations.token_families import family_of
from llmledgerd.records.steps import Steps
from llmledgerd.usage.exchange_facts import Exchange, Facts


def conversation_of(
    record: Record, exchange: Exchange, facts: Facts, times_us: tuple[int, int], sold: tuple[str, str]
) -> Steps[tuple[Identity, ToolCalls, Prompt]]:
    """Make out which call this one continues, its calls of tools, and what its prompt consists of.

    ``times_us`` are its start and end, ``sold`` the provider and the model that was priced.
    """
    organization, tokens = record.org_id or "", facts.prompt_tokens or 0
    asked = read_request(exchange.request)
    yield
    answered = read_answer(exchange.response or facts.response)
    yield
    identity = UNKNOWN if facts.call_type else identity_of(asked, answered, organization, *times_us)
    yield
    counts, (provider, model) = Counts(tokens, facts.cached_input_tokens, facts.cache_write_tokens), sold
    prompt = prompt_of(asked, organization, counts, provider=provider, model=model)
    yield
    tools = tool_calls_of(
        asked,
        answered,
        organization=organization,
        identity=identity,
        family=family_of(provider, model),
        scale=prompt.scale,
        is_whole=facts.stream_complete and record.outcome in (None, "ok"),
    )
    yield
    return identity, tools, prompt
