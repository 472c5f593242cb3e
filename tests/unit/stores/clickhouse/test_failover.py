"""An address that works is kept, and a batch stays where it may have landed."""

from __future__ import annotations

from llmledgerd.stores.clickhouse.failover import REMEMBERED, Addresses

BATCH = ("llm_traces", "7d3f")


def test_an_address_is_kept_while_it_works_and_followed_by_the_next_when_it_fails() -> None:
    addresses = Addresses(3)
    assert addresses.in_turn() == [0, 1, 2]
    addresses.failed(0)
    assert addresses.in_turn() == [1, 2, 0]
    addresses.failed(1)
    addresses.failed(2)
    assert addresses.in_turn() == [0, 1, 2]


def test_two_calls_that_fail_at_one_address_make_one_turn() -> None:
    addresses = Addresses(3)
    addresses.failed(0)
    addresses.failed(0)
    assert addresses.current == 1


def test_a_batch_stays_where_it_began_although_others_go_on() -> None:
    addresses = Addresses(2)
    assert addresses.begin(BATCH) == (0, False)
    addresses.failed(0)
    assert addresses.begin(("llm_traces", "other")) == (1, False)
    assert addresses.begin(BATCH) == (0, True)
    assert addresses.where(BATCH) == 0


def test_a_batch_that_is_settled_begins_anew_and_one_that_is_unknown_is_nowhere() -> None:
    addresses = Addresses(2)
    assert addresses.where(BATCH) is None
    addresses.begin(BATCH)
    addresses.settled(BATCH)
    addresses.failed(0)
    assert addresses.where(BATCH) is None
    assert addresses.begin(BATCH) == (1, False)


def test_a_batch_of_two_tables_is_two() -> None:
    addresses = Addresses(2)
    addresses.begin(BATCH)
    assert addresses.where(("llm_trace_losses", BATCH[1])) is None


def test_batches_that_never_settle_are_forgotten_in_the_end() -> None:
    addresses = Addresses(2)
    for number in range(REMEMBERED + 1):
        addresses.begin(("llm_traces", str(number)))
    assert addresses.where(("llm_traces", "0")) is None
    assert addresses.where(("llm_traces", "1")) == 0
