"""What is kept of a begun call makes its abandoned row, and has a bound."""

from __future__ import annotations

import pytest

from llmledger.protocol import Begin, Billing
from llmledgerd.records import begun_calls, parsing

ORDINARY = Begin(
    provider_trace_id="provider_trace-1",
    timestamp="2026-01-01T00:00:00Z",
    org_id="org",
    agent_id="agent",
    tags=["one", "two"],
    type="agent_step",
    provider="openai",
    model="gpt-4o",
    is_byok=True,
    attempt=2,
    url="https://api.openai.com/v1/chat/completions",
    billing=Billing("basic", "quota", "customer"),
)


def test_an_ordinary_call_is_kept_as_it_was_sent() -> None:
    assert parsing.parse(begun_calls.kept(ORDINARY)) == ORDINARY


@pytest.mark.parametrize("character", ["a", "\x01", "\N{PILE OF POO}", "\u0800"])
def test_whatever_is_sent_what_is_kept_has_a_bound_and_identifiers_stay_whole(character: str) -> None:
    name = character * 128
    long = character * 100_000
    sent = Begin(
        provider_trace_id=name, trace_id=name, span_id=name, org_id=name, project_id=name, user_id=name,
        agent_id=name, run_id=name, step_id=name, timestamp=long, type=long, provider=long,
        model=long, source=long, url=long, tags=[long] * 1000, attempt=10**4000,
        billing=Billing(long, long, name),
    )  # fmt: skip
    line = begun_calls.kept(sent)
    assert len(line) <= begun_calls.MOST_BYTES
    kept = parsing.parse(line)
    assert isinstance(kept, Begin)
    assert (kept.provider_trace_id, kept.org_id, kept.span_id) == (name, name, name)
    assert kept.billing is not None
    assert kept.billing.customer_id == name
