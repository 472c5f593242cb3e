from __future__ import annotations

import pytest

from llmledgerd.otlp.calls import Counts
from llmledgerd.otlp.tokens import usage_of
from llmledgerd.usage.exchange import read_usage
from tests.helpers.otlp import encoded


def test_a_cache_within_the_input_is_not_added() -> None:
    usage = usage_of(Counts(input=100, output=20, cache_read=40, cache_write=10))
    assert usage is not None
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (100, 120)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 40, "cache_write_tokens": 10}


def test_a_cache_beside_the_input_is_added_where_the_emitter_is_known_to_leave_it_out() -> None:
    usage = usage_of(Counts(input=100, output=20, cache_read=40, cache_write=10, cache_is_beside=True))
    assert usage is not None
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (150, 170)


def test_a_total_of_all_parts_says_that_the_cache_stands_beside() -> None:
    usage = usage_of(Counts(input=100, output=20, total=170, cache_read=40, cache_write=10))
    assert usage is not None
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (150, 170)


def test_more_cache_than_input_stands_beside_it() -> None:
    usage = usage_of(Counts(input=12, output=20, total=32, cache_read=4000))
    assert usage is not None
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (4012, 4032)


@pytest.mark.parametrize(
    ("counts", "output"),
    [
        (Counts(input=10, output=5, reasoning=3), 5),
        (Counts(input=10, output=5, reasoning=3, total=18), 8),
        (Counts(input=10, output=5, reasoning=3, total=15), 5),
        (Counts(input=10, output=5, reasoning=30), 35),
        (Counts(input=10, output=5, reasoning=3, reasoning_is_beside=True), 8),
    ],
)
def test_reasoning_is_added_where_the_output_leaves_it_out(counts: Counts, output: int) -> None:
    usage = usage_of(counts)
    assert usage is not None
    assert usage["completion_tokens"] == output


def test_a_total_that_nothing_explains_is_a_mismatch() -> None:
    facts = read_usage(encoded(usage_of(Counts(input=100, output=20, total=500))))
    assert facts.usage_check == "mismatch"


def test_counts_that_were_not_said_are_no_usage() -> None:
    assert usage_of(Counts()) is None


def test_the_usage_object_is_read_as_it_was_meant() -> None:
    counts = Counts(
        input=100,
        output=20,
        cache_read=40,
        cache_write=10,
        cache_write_1h=4,
        reasoning=7,
        cache_is_beside=True,
    )
    facts = read_usage(encoded(usage_of(counts)))
    assert (facts.prompt_tokens, facts.completion_tokens, facts.total_tokens) == (150, 20, 170)
    assert (facts.cached_input_tokens, facts.cache_write_tokens, facts.reasoning_tokens) == (40, 10, 7)
    assert (facts.usage_source, facts.usage_check) == ("reported", "ok")
    assert facts.priced[0].cache_write_1h == 4
