"""Memory has a bound, nobody takes it all, and somebody may always go on."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.flow_control import Admission

READ = 10


def test_everybody_reads_while_there_is_room() -> None:
    admission = Admission(100)
    admission.holds("a", 1, 40)
    assert admission.may_read("a", 1)
    assert admission.may_read("a", 2)
    assert admission.may_read("b", 3)


def test_a_sender_has_as_much_as_is_still_free_and_beyond_it_one_line_goes_on() -> None:
    admission = Admission(100)
    admission.holds("a", 1, 40)
    admission.holds("a", 2, 15)
    assert admission.may_read("a", 1), "its longest line is never stopped while there is room"
    assert not admission.may_read("a", 2)
    assert not admission.may_read("a", 3)
    assert admission.may_read("b", 4)


def test_over_the_limit_the_longest_unfinished_line_alone_goes_on() -> None:
    admission = Admission(100)
    admission.holds("a", 1, 60)
    admission.holds("b", 2, 50)
    assert admission.may_read("a", 1)
    assert not admission.may_read("b", 2)
    admission.holds("a", 1, 0)
    assert admission.may_read("b", 2)


def test_a_sender_of_whom_nothing_is_held_reads_whatever_the_others_hold() -> None:
    admission = Admission(100, pending_limit=30)
    admission.holds("a", 1, 150)
    admission.waits("a", 90)
    assert admission.may_read("new", 2)
    admission.waits("new", 1)
    assert not admission.may_read("new", 2), "once"
    admission.written("new", 1)
    assert admission.may_read("new", 2)


@pytest.mark.parametrize("senders", [1, 2, 5])
def test_of_what_waits_for_the_disk_senders_that_flood_get_equal_parts_and_one_is_left(senders: int) -> None:
    admission = Admission(10_000, pending_limit=1200)
    waiting = dict.fromkeys(range(senders), 0)
    while able := [sender for sender in waiting if admission.may_read(sender, sender)]:
        for sender in able:
            admission.waits(sender, 1)
            waiting[sender] += 1
    share = 1200 // (senders + 1)
    assert all(share <= size <= share + 1 for size in waiting.values())
    assert admission.may_read("new", "new")


def test_bytes_that_the_store_is_offered_count() -> None:
    admission = Admission(100)
    admission.holds("a", 1, 10)
    admission.holds("b", 2, 20)
    admission.ships("batch", 80)
    assert admission.total == 110
    assert not admission.may_read("a", 1)
    assert admission.may_read("b", 2)


def test_nobody_reads_while_the_spool_is_full() -> None:
    admission = Admission(100)
    admission.spool_full = True
    assert not admission.may_read("a", 1)


def test_a_connection_that_leaves_gives_back_what_it_held() -> None:
    admission = Admission(100)
    admission.holds("a", 1, 70)
    admission.holds("a", 1, 30)
    assert admission.total == 30
    admission.holds("a", 1, 0)
    admission.holds("a", 1, 0)
    assert admission.total == 0


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 4))
def test_connections_that_read_when_they_may_all_finish_within_the_bound(
    seed: int, connections: int, senders: int
) -> None:
    dice = Random(seed)
    admission = Admission(200, pending_limit=60)
    longest = 150
    left = {peer: [dice.randint(1, longest) for _ in range(3)] for peer in range(connections)}
    held = dict.fromkeys(left, 0)
    waiting: list[tuple[int, int]] = []
    while any(left.values()):
        able = [peer for peer in left if left[peer] and admission.may_read(peer % senders, peer)]
        if waiting and (not able or dice.random() < 0.3):
            admission.written(*waiting.pop(0))
            continue
        assert able, "everybody waits for ever"
        peer = dice.choice(able)
        held[peer] += READ
        if held[peer] >= left[peer][0]:
            waiting.append((peer % senders, left[peer].pop(0)))
            admission.waits(*waiting[-1])
            held[peer] = 0
        admission.holds(peer % senders, peer, held[peer])
        assert admission.total <= 200 + connections * READ + 2 * longest
        assert admission.total == sum(held.values()) + sum(size for _, size in waiting)
