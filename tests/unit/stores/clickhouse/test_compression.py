"""Inserts are compressed on a network, and not on the loopback."""

from __future__ import annotations

import pytest
import zstandard

from llmledgerd.stores.clickhouse import compression
from llmledgerd.stores.clickhouse.compression import Buffer, compressed, is_compressed
from llmledgerd.stores.clickhouse.options import Compression
from llmledgerd.stores.clickhouse.url import targets


@pytest.mark.parametrize(
    ("chosen", "url", "expected"),
    [
        ("auto", "http://127.0.0.1:8123", False),
        ("auto", "http://[::1]:8123", False),
        ("auto", "http://localhost", False),
        ("auto", "http://ch.internal", True),
        ("auto", "http://127.0.0.1,ch.internal", True),
        ("zstd", "http://127.0.0.1:8123", True),
        ("none", "https://a.clickhouse.cloud", False),
        ("zstd", "chdb:///data", False),
    ],
)
def test_bodies_are_compressed_off_the_loopback(chosen: Compression, url: str, expected: bool) -> None:
    assert is_compressed(chosen, targets(url, {})) is expected


def test_blocks_make_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "PIECE", 7)
    blocks: list[Buffer] = [b"first block " * 9, bytearray(b"second"), memoryview(b"x" * 1000), b""]
    body = b"".join(compressed(blocks))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == b"".join(map(bytes, blocks))
    assert len(body) < 100
