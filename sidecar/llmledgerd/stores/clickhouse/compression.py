"""Compression of inserts on their way to a server.

Invariant: bodies are compressed unless every address is on this host, or the operator chose otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import zstandard

from llmledgerd.stores.clickhouse.options import Compression
from llmledgerd.stores.clickhouse.url import Target

LEVEL: Final = 1
"""Higher levels take several times the CPU for a tenth of the bytes: the engine compresses again for its disk."""

PIECE: Final = 1 << 20
"""Bytes that are compressed at once: a block of 128 MiB is not copied as a whole."""

Buffer = bytes | bytearray | memoryview


def is_compressed(chosen: Compression, targets: Iterable[Target]) -> bool:
    """Return whether bodies are compressed.

    >>> is_compressed("auto", [Target(scheme="http", host="127.0.0.1")])
    False
    """
    targets = list(targets)
    if any(target.path is not None for target in targets):
        return False  # the engine takes the blocks from this process's memory
    return chosen == "zstd" or (chosen == "auto" and not all(_is_loopback(target.host) for target in targets))


def compressed(blocks: Sequence[Buffer]) -> list[bytes]:
    """Return the blocks as pieces of one zstd frame."""
    packer = zstandard.ZstdCompressor(level=LEVEL).compressobj()
    pieces = [packer.compress(piece) for block in blocks for piece in _pieces(block)]
    return [piece for piece in (*pieces, packer.flush()) if piece]


def _pieces(block: Buffer) -> Iterator[memoryview]:
    view = memoryview(block).cast("B")
    for start in range(0, len(view), PIECE):
        yield view[start : start + PIECE]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
