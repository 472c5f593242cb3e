from __future__ import annotations

import gzip
import zlib

import pytest

from llmledgerd.otlp.inflate import Body, TooLarge
from llmledgerd.otlp.signals import Unreadable

TEXT = b"some text, " * 1000


def read(encoding: str, data: bytes, limit: int = 1 << 20, step: int = 7) -> bytes:
    body = Body(encoding, limit)
    for start in range(0, len(data), step):
        body.feed(data[start : start + step])
    return bytes(body.end())


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_body_is_the_same_however_it_is_cut(step: int) -> None:
    assert read("gzip", gzip.compress(TEXT), step=step) == TEXT
    assert read("deflate", zlib.compress(TEXT), step=step) == TEXT
    assert read("", TEXT, step=step) == TEXT
    assert read("gzip", gzip.compress(TEXT) + gzip.compress(TEXT), step=step) == TEXT + TEXT


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    body = Body("gzip", 1 << 20)
    with pytest.raises(TooLarge):
        body.feed(bomb)
    assert len(body.content) <= 1 << 20


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert len(read("gzip", gzip.compress(TEXT), limit=len(TEXT))) == len(TEXT)
    with pytest.raises(TooLarge):
        read("gzip", gzip.compress(TEXT), limit=len(TEXT) - 1)


def test_damaged_and_torn_data_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        read("gzip", b"no gzip at all")
    with pytest.raises(Unreadable):
        read("gzip", gzip.compress(TEXT)[:-9])
