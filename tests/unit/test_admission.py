"""Memory has a bound, and somebody may always go on."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from llmtraced.admission import Admission

READ = 10


def test_everybody_reads_while_there_is_room() -> None:
    admission = Admission(100)
    admission.holds("a", 60)
    assert admission.may_read("a")
    assert admission.may_read("b")


def test_over_the_limit_the_longest_unfinished_line_alone_goes_on() -> None:
    admission = Admission(100)
    admission.holds("a", 60)
    admission.holds("b", 50)
    assert admission.may_read("a")
    assert not admission.may_read("b")
    assert not admission.may_read("new")
    admission.holds("a", 0)
    assert admission.may_read("b")


def test_bytes_that_wait_for_their_group_or_the_store_count() -> None:
    admission = Admission(100)
    admission.holds("a", 10)
    admission.holds("b", 20)
    admission.shipping = 80
    assert admission.total == 110
    assert not admission.may_read("a")
    assert admission.may_read("b")


def test_nobody_reads_while_a_whole_group_waits_for_the_disk() -> None:
    admission = Admission(100, pending_limit=30)
    admission.pending = 31
    admission.holds("a", 5)
    assert not admission.may_read("a")
    admission.pending = 30
    assert admission.may_read("a")


def test_nobody_reads_while_the_spool_is_full() -> None:
    admission = Admission(100)
    admission.spool_full = True
    assert not admission.may_read("a")


def test_a_peer_that_leaves_gives_back_what_it_held() -> None:
    admission = Admission(100)
    admission.holds("a", 70)
    admission.holds("a", 30)
    assert admission.total == 30
    admission.holds("a", 0)
    admission.holds("a", 0)
    assert admission.total == 0


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_peers_that_read_when_they_may_all_finish_within_the_bound(seed: int, peers: int) -> None:
    dice = Random(seed)
    admission = Admission(200)
    longest = 150
    left = {peer: [dice.randint(1, longest) for _ in range(3)] for peer in range(peers)}
    held = dict.fromkeys(left, 0)
    while any(left.values()):
        able = [peer for peer in left if left[peer] and admission.may_read(peer)]
        assert able, "everybody waits for ever"
        peer = dice.choice(able)
        held[peer] += READ
        if held[peer] >= left[peer][0]:
            held[peer] = 0
            left[peer].pop(0)
        admission.holds(peer, held[peer])
        assert admission.total <= 200 + peers * READ + longest
