"""Parsing budget of one exchange. Pure.

Invariant: the bounds are bytes and counted characters, never time, so that a line always becomes the same
row. Exchanges within the bounds take seconds at worst, and proportional memory. Larger ones have unknown facts
(``Facts.unread``), and their rows are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from msgspec import Raw

from llmledgerd.json_text import TooMuch

UNCOUNTED_BYTES: Final = 4 << 20
"""Size up to which counting is unnecessary."""

STREAM_CHARACTERS: Final = 48 << 20
"""Limit of a streamed answer: the maximum that the client records of a body."""

STREAM_LINES: Final = 1 << 21
"""Limit of a streamed answer: five times 128,000 tokens with three lines each."""

USAGE_BYTES: Final = 1 << 20
"""Limit of a usage object; observed ones have at most two thousand bytes."""

ANSWER: Final = b"{", 1 << 20
OBJECT: Final = b":", 1 << 20
LIST: Final = b",", 1 << 22
VALUE: Final = b",", 1 << 20
STREAM: Final = b",", 1 << 22
"""Counted characters and their limits: each creates an object or a value. The longest
answers there are, lists of embeddings, have a few thousand objects and some million commas."""

_STEP: Final = 1 << 20

_view = cast("Callable[[bytes | memoryview | Raw], memoryview]", memoryview)
"""Raw is a buffer, as its stubs do not say."""


def spend(raw: bytes | memoryview | Raw | str, bound: tuple[bytes, int]) -> None:
    """Raise TooMuch if a long text exceeds the limit of a counted character."""
    mark, most = bound
    if isinstance(raw, str):
        found = raw.count(mark.decode())
    else:
        view = _view(raw)
        found = sum(bytes(view[at : at + _STEP]).count(mark) for at in range(0, len(view), _STEP))
    if found > most:
        raise TooMuch(f"{found:,} of {mark.decode()!r} where {most:,} may be")


def fit(size: int, most: int) -> None:
    """Raise TooMuch if a part is longer than its limit."""
    if size > most:
        raise TooMuch(f"{size:,} of at most {most:,}")
