"""Parsing budget of one exchange. Pure.

Invariant: the bounds are of bytes and of counted characters and never of time, so that a line comes to the
same row at every try. What is within them takes seconds at worst, and memory in proportion; what is beyond
has unknown facts (``Facts.unread``), and its row is stored all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from msgspec import Raw

from llmledgerd.json_text import TooMuch

UNCOUNTED_BYTES: Final = 4 << 20
"""What is no longer has few enough of anything, whatever it holds."""

STREAM_CHARACTERS: Final = 48 << 20
"""Of a streamed answer: what the client records of a body at most."""

STREAM_LINES: Final = 1 << 21
"""Of a streamed answer: five times those of 128,000 tokens with three lines each."""

USAGE_BYTES: Final = 1 << 20
"""Of a usage object; those that were seen have two thousand at most."""

ANSWER: Final = b"{", 1 << 20
OBJECT: Final = b":", 1 << 20
LIST: Final = b",", 1 << 22
VALUE: Final = b",", 1 << 20
STREAM: Final = b",", 1 << 22
"""What is counted in each, and how many may be in it: an object or a value is made of each. The longest
answers there are, lists of embeddings, have a few thousand objects and some million commas."""

_STEP: Final = 1 << 20

_view = cast("Callable[[bytes | memoryview | Raw], memoryview]", memoryview)
"""Raw is a buffer, as its stubs do not say."""


def spend(raw: bytes | memoryview | Raw | str, bound: tuple[bytes, int]) -> None:
    """Raise TooMuch where a long text has more of a mark than it may."""
    mark, most = bound
    if isinstance(raw, str):
        found = raw.count(mark.decode())
    else:
        view = _view(raw)
        found = sum(bytes(view[at : at + _STEP]).count(mark) for at in range(0, len(view), _STEP))
    if found > most:
        raise TooMuch(f"{found:,} of {mark.decode()!r} where {most:,} may be")


def fit(size: int, most: int) -> None:
    """Raise TooMuch where something is longer than it may be."""
    if size > most:
        raise TooMuch(f"{size:,} of at most {most:,}")
