"""One flipped byte costs at most the group that it is in, is said, and never stops the start."""

from __future__ import annotations

import os
from random import Random

import pytest

from llmledgerd.spool import Damage, Spool
from tests.helpers.crashing_files import PAGE, CrashingFiles
from tests.unit.spool.examples import append, lines_in, one_of_everything

FLIPS = int(os.environ.get("LLMLEDGER_FLIPS", "250")) // 2
SEED = 20


class Intact:
    """The spool as it was, and which lines were flushed together."""

    def __init__(self, block: int) -> None:
        files = CrashingFiles(Random(SEED), block)
        spool = one_of_everything(files)
        self.image = files.image()
        self.lines = lines_in(spool)
        self.groups = [
            set(bytes(found.body or b"").split(b"\n")[:-1])
            for segment in [*spool.segments.values(), spool.open]
            if segment is not None
            for found in spool.read(segment)
        ]


@pytest.fixture(scope="module", params=[1, PAGE], ids=["close together", "in whole blocks"])
def intact(request: pytest.FixtureRequest) -> Intact:
    return Intact(request.param)


def folder_of(image: dict[str, bytes]) -> CrashingFiles:
    files = CrashingFiles(Random(SEED))
    for name, data in image.items():
        files.put(name, data)
    return files


def place(intact: Intact, dice: Random) -> tuple[str, int, int]:
    """Return a file, an offset and the bits to be flipped; every byte is as likely."""
    at = dice.randrange(sum(map(len, intact.image.values())))
    for name, data in sorted(intact.image.items()):
        if at < len(data):
            return name, at, dice.randint(1, 255)
        at -= len(data)
    raise AssertionError("beyond the last file")


@pytest.mark.parametrize("flip", range(FLIPS))
def test_a_flipped_byte_loses_at_most_its_group_and_says_which(intact: Intact, flip: int) -> None:
    name, at, bits = place(intact, Random(SEED * 1_000_003 + flip))
    damaged = bytearray(intact.image[name])
    damaged[at] ^= bits
    files = folder_of({**intact.image, name: bytes(damaged)})
    spool = Spool(files)
    said = spool.recover()
    left = lines_in(spool)

    gone = set(intact.lines) - set(left)
    assert not set(left) - set(intact.lines), "a line is there that nobody sent"
    assert len(left) == len(set(left)), "a line is there twice"
    assert not gone or gone in intact.groups, f"{name} at {at}: more than one group is gone"
    if gone:
        assert is_said(said, spool, name), f"{name} at {at}: the loss is not said"
        assert files.image()[f"quarantine/{name}"] == bytes(damaged)
    assert_identity_holds(spool)
    assert_life_goes_on(files, spool, left)


def is_said(said: list[Damage], spool: Spool, name: str) -> bool:
    """Return whether recovery or a later reading names the segment."""
    read = [
        segment.name
        for segment in spool.segments.values()
        if any(found.body is None for found in spool.read(segment))
    ]
    return name in [*read, *(damage.segment for damage in said)]


def assert_identity_holds(spool: Spool) -> None:
    for name, store in spool.state.snapshot.stores.items():
        counted = store.stored + store.dead + store.lost + store.control
        assert store.received == counted + spool.waiting(name)
    for segment in spool.segments.values():
        readable = sum(found.group.lines for found in spool.read(segment) if found.body is not None)
        assert readable <= segment.rows  # what is missing is counted as lost when it is written off


def assert_life_goes_on(files: CrashingFiles, spool: Spool, left: list[bytes]) -> None:
    append(spool, [b'{"after":1}'], first=1000)
    files.power_fails()
    again = Spool(files)
    assert not [damage for damage in again.recover() if damage.lines]
    assert lines_in(again) == [*left, b'{"after":1}']
    assert_identity_holds(again)
