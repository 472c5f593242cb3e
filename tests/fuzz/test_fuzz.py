"""A short round of the fuzzer, and that it finds what is wrong."""

from __future__ import annotations

from random import Random

import pytest

from llmledgerd.errors import Rejected
from llmledgerd.ingest.connection import Peer
from llmledgerd.ingest.framing import Block, Framer, Oversize
from llmledgerd.records import parsing
from llmledgerd.records.parsing import parse
from tests.fuzz.mutations import mutated, seeds
from tests.fuzz.run import LINES_PER_ROUND, Watch, fuzz
from tests.fuzz.scene import head


async def play(rounds: int = 1) -> None:
    await fuzz(rounds * LINES_PER_ROUND, 1, None, Watch())


async def test_some_rounds_find_nothing() -> None:
    await play(5)


def test_every_seed_is_a_good_line_or_a_hello() -> None:
    assert {reason(line) for line in seeds()} == {"", "misplaced_hello", "unsupported_protocol_version"}


def reason(line: bytes) -> str:
    try:
        parse(line)
    except Rejected as refusal:
        return refusal.reason
    return ""


def test_the_same_dice_give_the_same_lines() -> None:
    lines = seeds()
    once, again = ([mutated(Random(7), lines) for _ in range(50)] for _ in range(2))
    assert once == again


async def test_a_line_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Framer, buffer: bytearray, size: int) -> list[Block | Oversize]:
        return [item for item in feed(self, buffer, size) if not isinstance(item, Oversize)]

    feed = Framer.feed
    monkeypatch.setattr(Framer, "feed", forgetful)
    with pytest.raises(AssertionError):
        await play()


async def test_a_line_that_nobody_sent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def inventive(self: Peer, error: Exception | None) -> None:
        lost(self, error)
        self._hand_over(Block([b"{}\n"], 1, 3))

    lost = Peer.connection_lost
    monkeypatch.setattr(Peer, "connection_lost", inventive)
    with pytest.raises(AssertionError):
        await play()


async def test_a_line_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(line: bytes) -> object:
        if b"\xff" in line:
            raise ZeroDivisionError
        return parse(line)

    monkeypatch.setattr(parsing, "parse", fragile)
    with pytest.raises(ZeroDivisionError):
        await play()


def test_of_a_long_line_its_head_is_expected() -> None:
    assert len(head(b"x" * 10_000)) == 4096
