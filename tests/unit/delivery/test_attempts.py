"""Nothing is offered again while it may have landed, and nothing is given up unless it was refused alone."""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.backoff import Backoff
from llmledgerd.delivery.attempts import Ask, Delivery, Insert, Reject, Wait, token
from llmledgerd.errors import BatchRejected, OutcomeUnknown, StoreBusy
from llmledgerd.stores.clickhouse.cluster_hosts import Host, thin_rows

BATCH = "7d3f"


def test_the_wait_doubles_up_to_a_cap_and_begins_anew_after_a_success() -> None:
    backoff = Backoff(first=0.1, cap=1.0, dice=lambda: 1.0)
    assert [round(backoff.failed(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.succeeded()
    assert backoff.failed() == pytest.approx(0.1)


def test_a_wait_is_never_less_than_half_and_never_too_large_for_a_number() -> None:
    dice = Random(1)
    backoff = Backoff(first=0.1, cap=30.0, dice=dice.random)
    waits = [backoff.failed() for _ in range(5000)]
    assert all(15.0 <= wait <= 30.0 for wait in waits[20:])


def test_a_new_batch_is_inserted_without_asking() -> None:
    delivery = Delivery(BATCH, range(3), uncertain=False)
    assert delivery.next() == Insert([0, 1, 2], f"{BATCH}:0-2")
    delivery.inserted()
    assert delivery.next() is None


def test_an_empty_batch_is_delivered() -> None:
    assert Delivery(BATCH, [], uncertain=True).next() is None


def test_after_an_unknown_outcome_the_table_is_asked_before_anything_else() -> None:
    delivery = Delivery(BATCH, range(3), uncertain=False)
    delivery.busy(OutcomeUnknown("timeout", "no answer"))
    assert delivery.next() == Ask()
    delivery.landed({0, 1, 2})
    assert delivery.next() is None
    assert delivery.found == {0, 1, 2}


def test_rows_that_landed_are_left_out_and_the_rest_keeps_the_token_of_the_whole() -> None:
    delivery = Delivery(BATCH, range(4), uncertain=True)
    delivery.landed({1, 9})
    assert delivery.next() == Insert([0, 2, 3], token(BATCH, [0, 1, 2, 3]))
    assert delivery.found == {1}


def test_a_rest_that_was_taken_for_a_repeat_goes_under_a_token_of_its_own() -> None:
    delivery = Delivery(BATCH, range(4), uncertain=True)
    delivery.landed({1})
    delivery.inserted()
    assert delivery.next() == Ask()
    delivery.landed({1, 3})
    assert delivery.next() == Insert([0, 2], token(BATCH, [0, 2, 3]))
    delivery.inserted()
    delivery.landed({1, 3})
    assert delivery.next() == Insert([0, 2], token(BATCH, [0, 2]))
    delivery.inserted()
    assert delivery.next() is None


def test_only_a_store_that_was_never_reached_is_not_asked() -> None:
    for kind, asked in [("unreachable", False), ("timeout", True), ("memory", True), ("other", True)]:
        delivery = Delivery(BATCH, range(3), uncertain=False)
        delivery.busy(StoreBusy(kind, ""))
        assert (delivery.next() == Ask()) == asked


def test_a_store_that_goes_away_before_it_could_answer_is_asked_when_it_is_back() -> None:
    delivery = Delivery(BATCH, range(3), uncertain=True)
    delivery.busy(StoreBusy("unreachable", "connection refused"))
    assert delivery.next() == Ask()


def test_a_single_row_that_is_refused_is_rejected_with_the_reason() -> None:
    delivery = Delivery(BATCH, [5], uncertain=False)
    delivery.rejected(BatchRejected(27, "cannot parse"))
    assert delivery.next() == Ask()
    delivery.landed(set())
    assert delivery.next() == Reject(5, 27, "cannot parse")
    delivery.row_rejected()
    assert delivery.next() is None


def test_a_row_whose_refusal_came_after_it_was_stored_is_not_rejected() -> None:
    delivery = Delivery(BATCH, [5], uncertain=False)
    delivery.rejected(BatchRejected(27, "a view behind the table failed"))
    assert delivery.next() == Ask()
    delivery.landed({5})
    assert delivery.next() is None
    assert delivery.found == {5}


def test_a_token_tells_every_set_of_rows_of_every_batch_apart() -> None:
    sets = [[0], [1], [0, 1], [0, 2], [0, 1, 2], [0, 1, 3], [0, 2, 3]]
    tokens = [token(batch, rows) for batch in ("a", "b") for rows in sets]
    assert len(set(tokens)) == len(tokens)
    assert token("a", [0, 2]) == token("a", [0, 2])


class Table:
    """A store that refuses some rows, and may lose its answer or fall over at any time."""

    def __init__(self, bad: set[int], dice: Random) -> None:
        self.bad, self.dice = bad, dice
        self.rows: list[int] = []

    def insert(self, rows: list[int]) -> None:
        """Raises StoreBusy, BatchRejected."""
        if self.dice.random() < 0.2:
            raise StoreBusy("unreachable", "")
        if self.bad.intersection(rows):
            raise BatchRejected(27, "a row is at fault")
        lost = self.dice.random()
        if lost < 0.2:
            raise StoreBusy("memory", "before anything was stored")
        self.rows += rows
        if lost < 0.4:
            raise OutcomeUnknown("timeout", "after all was stored")

    def ask(self) -> set[int]:
        """Raises StoreBusy."""
        if self.dice.random() < 0.3:
            raise StoreBusy("unreachable", "")
        return set(self.rows)


def deliver(delivery: Delivery, table: Table) -> list[int]:
    """Do what a shipper does; return the rows that were rejected."""
    rejected = []
    while (step := delivery.next()) is not None:
        try:
            match step:
                case Ask():
                    delivery.landed(table.ask())
                case Insert():
                    table.insert(step.rows)
                    delivery.inserted()
                case Reject():
                    rejected.append(step.row)
                    delivery.row_rejected()
        except StoreBusy as error:
            delivery.busy(error)
        except BatchRejected as error:
            delivery.rejected(error)
    return rejected


@given(
    rows=st.integers(0, 40), bad=st.sets(st.integers(0, 39)), before=st.booleans(), seed=st.integers(0, 10**6)
)
def test_every_row_is_stored_once_or_rejected_once_whatever_the_store_does(
    rows: int, bad: set[int], before: bool, seed: int
) -> None:
    bad = {row for row in bad if row < rows}
    table = Table(bad, Random(seed))
    if before:  # an earlier process stored some and died
        table.rows = [row for row in range(rows) if row not in bad and row % 3]
    rejected = deliver(Delivery(BATCH, range(rows), uncertain=before), table)
    assert sorted(table.rows) == sorted(set(range(rows)) - bad)
    assert sorted(rejected) == sorted(bad)


class Shards:
    """A store of three shares of each block, which commits each share once for a token, and maybe late."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.rows: list[int] = []
        self.tokens: set[tuple[int, str]] = set()
        self.running: list[tuple[int, str, list[int]]] = []

    def insert(self, rows: list[int], token: str) -> None:
        """Commit the shares in any order. Raises OutcomeUnknown, while the rest is still running."""
        shares = [(shard, token, [row for row in rows if row % 3 == shard]) for shard in range(3)]
        self.dice.shuffle(shares)
        cut = self.dice.choice([0, 1, 2, 3, 3])
        for share in shares[:cut]:
            self.commit(*share)
        self.running += shares[cut:]
        if cut < 3 or self.dice.random() < 0.2:
            raise OutcomeUnknown("timeout", "")

    def commit(self, shard: int, token: str, rows: list[int]) -> None:
        if rows and (shard, token) not in self.tokens:
            self.tokens.add((shard, token))
            self.rows += rows

    def go_on(self) -> None:
        """Let what an earlier attempt left behind be committed at last, or be given up."""
        waiting, self.running = self.running, []
        for share in waiting:
            fate = self.dice.random()
            if fate < 0.3:
                self.commit(*share)
            elif fate < 0.7:
                self.running.append(share)


@given(rows=st.integers(1, 40), before=st.booleans(), seed=st.integers(0, 10**6))
def test_shares_of_a_block_that_are_committed_late_are_stored_once(
    rows: int, before: bool, seed: int
) -> None:
    table = Shards(Random(seed))
    if before:  # an earlier process began, and died
        with contextlib.suppress(OutcomeUnknown):
            table.insert(list(range(rows)), token(BATCH, list(range(rows))))
    delivery = Delivery(BATCH, range(rows), uncertain=before)
    while (step := delivery.next()) is not None:
        table.go_on()
        if isinstance(step, Ask):
            delivery.landed(set(table.rows))
            continue
        assert isinstance(step, Insert)
        try:
            table.insert(step.rows, step.token)
        except OutcomeUnknown as error:
            delivery.busy(error)
        else:
            delivery.inserted()
    while table.running:
        table.go_on()
    assert sorted(table.rows) == list(range(rows))


class Hiding(Shards):
    """The same, of which an answer shows some of the rows, and says so where others may be stored."""

    def ask(self) -> tuple[set[int], bool]:
        share = self.dice.choice([0.0, 0.3, 0.9, 1.0])
        shown = {row for row in self.rows if self.dice.random() < share}
        return shown, shown == set(self.rows)


@given(
    rows=st.integers(1, 40),
    before=st.integers(0, 3),
    bad=st.sets(st.integers(0, 39), max_size=3),
    seed=st.integers(0, 10**6),
)
def test_no_row_is_stored_twice_whatever_part_of_the_rows_the_table_shows(
    rows: int, before: int, bad: set[int], seed: int
) -> None:
    table = Hiding(Random(seed))
    bad = {row for row in bad if row < rows}
    rejected: list[int] = []

    def steps(delivery: Delivery, limit: int) -> bool:
        """Return whether the delivery came to its end within so many steps."""
        for _ in range(limit):
            table.go_on()
            match delivery.next():
                case None:
                    return True
                case Ask():
                    shown, is_whole = table.ask()
                    delivery.landed(shown, is_whole=is_whole)
                case Wait():
                    delivery.waited()
                case Reject(row):
                    rejected.append(row)
                    delivery.row_rejected()
                case Insert(chosen, name):
                    offer(delivery, chosen, name)
        return False

    def offer(delivery: Delivery, chosen: list[int], name: str) -> None:
        try:
            if bad.intersection(chosen):
                if table.dice.random() < 0.1:  # a view refuses what its table has stored
                    table.commit(chosen[0] % 3, name, [row for row in chosen if row % 3 == chosen[0] % 3])
                raise BatchRejected(27, "a row is at fault")
            table.insert(chosen, name)
            delivery.inserted()
        except OutcomeUnknown as error:
            delivery.busy(error)
        except BatchRejected as error:
            delivery.rejected(error)

    for restart in range(before):  # earlier processes died on the way
        left = [row for row in range(rows) if row not in rejected]
        steps(Delivery(BATCH, left, uncertain=restart > 0), table.dice.randrange(8))
        table.running.clear()
    left = [row for row in range(rows) if row not in rejected]
    assert steps(Delivery(BATCH, left, uncertain=before > 0), 20_000)
    while table.running:
        table.go_on()

    assert len(table.rows) == len(set(table.rows))
    assert set(table.rows) | set(rejected) == set(range(rows))


class Replicas:
    """Three replicas with a quorum of two: one commits a block alone, and another fetches it, or nobody does."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.copies: dict[int, tuple[str, int]] = {}
        """Row -> the token that it came with, and how many replicas have it."""

    def insert(self, rows: list[int], token: str) -> None:
        """Raises OutcomeUnknown."""
        if not any(known == token for known, _ in self.copies.values()):
            assert not self.copies.keys() & set(rows), "a row is stored twice"
            self.copies |= dict.fromkeys(rows, (token, 1))
        if self.dice.random() < 0.5:
            self.fetch(token)
            if self.dice.random() < 0.5:
                return
        raise OutcomeUnknown("timeout", "the quorum takes too long")

    def fetch(self, token: str) -> None:
        self.copies = {
            row: (known, 2 if known == token else copies) for row, (known, copies) in self.copies.items()
        }

    def go_on(self) -> None:
        """Let another replica fetch a block that one has alone, or the one be lost with it."""
        for alone in sorted({name for name, copies in self.copies.values() if copies < 2}):
            fate = self.dice.random()
            if fate < 0.2:
                self.fetch(alone)
            elif fate < 0.4:
                self.copies = {row: one for row, one in self.copies.items() if one[0] != alone}

    def ask(self) -> set[int]:
        """Answer as the store does. Raises StoreBusy where a row has too few copies."""
        hosts = [Host(number, 1, "x") for number in (1, 2, 3)]
        found = {row: range(1, copies + 1) for row, (_, copies) in self.copies.items()}
        if thin_rows(found, hosts, "auto", on_all=False):
            raise StoreBusy("replicas", "fewer copies than the quorum")
        return set(found)


@given(rows=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_what_one_of_three_replicas_has_alone_is_neither_stored_nor_offered_again(
    rows: int, seed: int
) -> None:
    table = Replicas(Random(seed))
    delivery = Delivery(BATCH, range(rows), uncertain=False)
    while (step := delivery.next()) is not None:
        table.go_on()
        try:
            if isinstance(step, Ask):
                delivery.landed(table.ask())
                continue
            assert isinstance(step, Insert)
            table.insert(step.rows, step.token)
        except StoreBusy as error:
            delivery.busy(error)
        else:
            delivery.inserted()
    for _ in range(100):  # what was taken for stored can be lost no more
        table.go_on()
    assert sorted(table.copies) == list(range(rows))


def test_rows_of_which_an_answer_may_lack_some_keep_the_token_that_they_have() -> None:
    delivery = Delivery(BATCH, range(3), uncertain=False)
    delivery.busy(OutcomeUnknown("timeout", ""))
    delivery.landed({0}, is_whole=False)
    assert delivery.next() == Insert([1, 2], token(BATCH, [0, 1, 2]))
    delivery.inserted()
    assert delivery.next() == Ask()
    delivery.landed({0, 1}, is_whole=False)
    assert delivery.next() == Wait()
    delivery.waited()
    assert delivery.next() == Ask()
    delivery.landed({0, 1, 2}, is_whole=False)
    assert delivery.next() is None


def test_a_row_is_not_rejected_while_it_may_be_stored() -> None:
    delivery = Delivery(BATCH, [5], uncertain=False)
    delivery.rejected(BatchRejected(27, ""))
    delivery.landed(set(), is_whole=False)
    assert delivery.next() == Wait()


def test_after_a_restart_rows_wait_for_an_answer_that_is_whole() -> None:
    delivery = Delivery(BATCH, range(3), uncertain=True)
    delivery.landed(set(), is_whole=False)
    assert delivery.next() == Wait()
