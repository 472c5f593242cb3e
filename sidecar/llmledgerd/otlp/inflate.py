"""Bodies of requests, inflated piece by piece within a limit. Pure.

Invariant: a body never takes more memory than the limit and one piece, however it is compressed.
"""

from __future__ import annotations

import zlib
from typing import Final

from llmledgerd.otlp.signals import Unreadable

GZIP_OR_ZLIB: Final = 47
"""Window bits that accept both headers (zlib manual, ``inflateInit2``)."""
ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})


class TooLarge(Exception):
    """The body is larger than the limit."""


class Body:
    """A body as it arrives."""

    def __init__(self, encoding: str, limit: int) -> None:
        """``encoding`` is one of ENCODINGS; ``limit`` counts bytes after inflating."""
        self.content = bytearray()
        self._limit = limit
        self._inflater = None if encoding in ("", "identity") else zlib.decompressobj(GZIP_OR_ZLIB)

    def feed(self, piece: bytes) -> None:
        """Take a piece. Raises TooLarge, and Unreadable for damaged data."""
        if self._inflater is None:
            self._append(piece)
            return
        while piece:
            if self._inflater.eof:  # gzip allows members one after another
                self._inflater = zlib.decompressobj(GZIP_OR_ZLIB)
            room = self._limit - len(self.content)
            try:
                self._append(self._inflater.decompress(piece, room + 1))
            except zlib.error as error:
                raise Unreadable(f"gzip: {error}") from None
            piece = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    def end(self) -> bytearray:
        """Return the whole body. Raises Unreadable where it is cut off."""
        if self._inflater is not None and not self._inflater.eof:
            raise Unreadable("gzip: the data is cut off")
        return self.content

    def _append(self, piece: bytes) -> None:
        if len(self.content) + len(piece) > self._limit:
            raise TooLarge
        self.content += piece
