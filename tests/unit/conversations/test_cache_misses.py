"""What a call leaves in a cache, and which cause is named."""

from __future__ import annotations

import pytest

from llmledgerd.conversations.cache_misses import (
    ABOUT,
    CAUSES,
    EXACT,
    NOTHING_LEFT,
    TOO_SHORT,
    UNKNOWN,
    Counts,
    Evidence,
    Left,
    cause,
    left,
)
from llmledgerd.conversations.cache_rules import rule_for

CLAUDE = rule_for("anthropic", "claude-sonnet-4-5")
GPT = rule_for("openai", "gpt-4o")
NOTHING = dict.fromkeys(Evidence._fields, False)


def test_what_is_left_follows_the_provider_s_counts_where_it_counts_writes() -> None:
    counts = Counts(10_000, 6000, 3500)
    assert left(CLAUDE, counts, marked_tokens=9400, seconds=0) == Left(9500, 300, EXACT)
    assert left(CLAUDE, counts, marked_tokens=9400, seconds=3600).seconds == 3600


def test_what_is_left_is_the_prompt_in_steps_where_nothing_is_marked() -> None:
    assert left(GPT, Counts(2000, 0, None), marked_tokens=None, seconds=0) == Left(1920, 300, EXACT)
    gemini = rule_for("google", "gemini-2.5-pro")
    assert left(gemini, Counts(5001, 0, None), marked_tokens=None, seconds=0) == Left(5001, 3600, ABOUT)


def test_a_prompt_below_the_minimum_leaves_nothing_and_says_so() -> None:
    assert left(GPT, Counts(900, 0, None), marked_tokens=None, seconds=0) == Left(896, 300, TOO_SHORT)
    assert left(CLAUDE, Counts(900, 0, 0), marked_tokens=880, seconds=0) == Left(880, 300, TOO_SHORT)


def test_a_prompt_that_has_read_was_not_too_short_whatever_the_documented_minimum() -> None:
    gemini = rule_for("google", "gemini-2.5-flash")
    assert left(gemini, Counts(1500, 1300, None), marked_tokens=None, seconds=0).state == ABOUT


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4-turbo-2024-04-09"),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct"),
        ("google", "gemini-2.0-flash"),
        ("groq", "llama-3.3-70b-versatile"),
    ],
)
def test_of_a_model_whose_provider_states_no_cache_an_entry_is_known_by_reads_alone(
    provider: str, model: str
) -> None:
    rule = rule_for(provider, model)
    for cached in (0, None):
        assert left(rule, Counts(9000, cached, None), marked_tokens=None, seconds=0) == NOTHING_LEFT
    assert left(rule, Counts(9000, 4000, None), marked_tokens=None, seconds=0).state == ABOUT


def test_without_marks_or_counts_nothing_is_left() -> None:
    assert left(CLAUDE, Counts(9000, 0, 0), marked_tokens=None, seconds=0) == NOTHING_LEFT
    assert left(GPT, Counts(9000, None, None), marked_tokens=None, seconds=0) == NOTHING_LEFT
    assert left(GPT, Counts(0, 0, None), marked_tokens=None, seconds=0) == NOTHING_LEFT


@pytest.mark.parametrize("name", Evidence._fields)
def test_each_fact_alone_has_a_cause_of_its_own(name: str) -> None:
    assert cause(Evidence(**{**NOTHING, name: True})) in CAUSES


def test_every_cause_can_be_named_and_nothing_shown_is_unknown() -> None:
    named = {cause(Evidence(**{**NOTHING, name: True})) for name in Evidence._fields}
    assert named | {UNKNOWN} == set(CAUSES)
    assert cause(Evidence(**NOTHING)) == UNKNOWN


def test_a_change_of_the_prompt_is_named_before_its_age() -> None:
    assert cause(Evidence(**{**NOTHING, "system": True, "late": True})) == "system_changed"
