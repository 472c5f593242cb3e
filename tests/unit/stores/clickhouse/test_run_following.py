"""Chains of calls that name only the call before them."""

from __future__ import annotations

from llmledgerd.stores.clickhouse.run_following import Chains
from tests.helpers.growth import grows_linearly

LENGTH = 100


def chain(length: int, organization: str = "a") -> list[tuple[str, str, int, list[int]]]:
    """Return the calls after the first one: call n has the conversation n - 1, and the turns n and -n."""
    return [(organization, str(n - 1), n - 1, [n, -n]) for n in range(2, length + 1)]


def test_a_chain_is_followed_to_its_first_call_and_to_its_last() -> None:
    chains = Chains(chain(LENGTH)[::-1])

    assert chains.above([("a", "99")])["a", "2"] == ("a", "1")
    assert len(chains.above([("a", "99")])) == LENGTH - 2
    below = chains.below({("a", "1"): "run"})
    assert below == {("a", str(n)): "run" for n in range(1, LENGTH)}


def test_a_chain_does_not_lead_to_another_organization() -> None:
    chains = Chains([*chain(3), *chain(9, "b")])

    assert set(chains.below({("a", "1"): "run"})) == {("a", "1"), ("a", "2")}
    assert chains.above([("a", "8")]) == {}


def test_calls_that_name_each_other_end_the_search() -> None:
    chains = Chains([("a", "x", 1, [2]), ("a", "y", 2, [1])])

    assert chains.above([("a", "x")]) == {("a", "x"): ("a", "y"), ("a", "y"): ("a", "x")}
    assert chains.below({("a", "x"): "run"}) == {("a", "x"): "run", ("a", "y"): "run"}


def test_chains_take_time_in_proportion_to_their_length() -> None:
    def followed(calls: list[tuple[str, str, int, list[int]]]) -> None:
        chains = Chains(calls)
        chains.above([("a", str(len(calls)))])
        chains.below({("a", "1"): "run"})

    grows_linearly(followed, chain)
