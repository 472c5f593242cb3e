"""Stages of redaction: patterns before the spool, all rules on the finished row.

Invariant: sizes, tokens and identifiers are those of the original. Lines before the spool keep their
length; a row's sizes and usage were read from it before it comes here.

Both stages are needed, because a streamed answer is complete only in its row: a secret may begin in one
chunk of a stream and end in the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from llmledgerd.config.settings import Config
from llmledgerd.records.schema import COLUMNS, Row
from llmledgerd.redaction.lines import Masker
from llmledgerd.redaction.paths import PAYLOADS, TEXTS
from llmledgerd.redaction.payloads import Keys, cut, hide_path
from llmledgerd.redaction.rules import Rules, compiled

HIDDEN: Final = "[redacted]"
_PAYLOADS: Final = {name: COLUMNS.index(name) for name in PAYLOADS.values()}
_TEXTS: Final = {name: COLUMNS.index(name) for name in TEXTS.values()}


class Redactor:
    """Application of the rules. Lines, texts and rows each belong to one thread, possibly different ones."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._rows: Counter[str] = Counter()
        self._of_lines = Masker(rules.patterns) if rules.patterns else None
        self._of_text = Masker(rules.patterns) if rules.patterns else None
        self._of_rows = Masker(rules.patterns) if rules.patterns else None
        self._keys = Keys(rules.keys, self._rows) if rules.keys else None

    @classmethod
    def of(cls, config: Config) -> Redactor:
        """Compile the rules in the settings. Raises ConfigError."""
        return cls(compiled(config))

    @property
    def has_patterns(self) -> bool:
        """Whether lines must pass ``lines`` before they are stored."""
        return self._of_lines is not None

    @property
    def is_on(self) -> bool:
        """Whether rows must pass ``row`` before they are stored."""
        return self._rules != Rules()

    @property
    def counts(self) -> Counter[str]:
        """Number of masked or truncated values since the start, by rule."""
        every = (self._of_lines, self._of_text, self._of_rows)
        maskers = [masker.counts for masker in every if masker is not None]
        return sum((Counter(dict(found)) for found in maskers), Counter(dict(self._rows)))

    def lines(self, pieces: list[bytes | bytearray]) -> list[bytes | bytearray]:
        """Return pieces of whole lines for the spool, with the same number of bytes.

        A line on which redaction fails is masked as a whole, and becomes a dead letter.
        """
        if self._of_lines is None:
            return pieces
        raw = b"".join(pieces)
        try:
            return [self._of_lines.lines(raw)]
        except Exception:  # noqa: BLE001 -- whatever it is, it would end the daemon at every start
            lines = raw.split(b"\n")[:-1]
            return [_alone(self._of_lines, self._of_lines.lines, line + b"\n") for line in lines]

    def head(self, pieces: list[bytes | bytearray]) -> list[bytes | bytearray]:
        """Return the beginning of a line over the limit, which ends with a newline."""
        if self._of_lines is None:
            return pieces
        masker = self._of_lines
        return [_alone(masker, lambda line: masker.head(line[:-1]) + b"\n", b"".join(pieces))]

    def text(self, text: str) -> str:
        """Return a masked text outside of lines, such as a hello's; for one thread, which may be another."""
        if self._of_text is None or not text:
            return text
        return msgspec.json.decode(self._of_text.payload(msgspec.json.encode(text)), type=str)

    def row(self, row: Row) -> Row:
        """Return the masked row of ``llm_traces``."""
        values = list(row)
        for column, index in _PAYLOADS.items():
            payload = values[index]
            if payload and isinstance(payload, bytes):
                values[index] = self._payload(column, payload)
        for column, index in _TEXTS.items():
            if values[index]:
                values[index] = self._text(column, values[index])
        return tuple(values)

    def label(self, column: str, value: str) -> str:
        """Return a column's value, masked as in rows, for use outside of them."""
        return str(self._text(column, value))

    def _payload(self, column: str, text: bytes) -> bytes:
        if self._keys is not None:
            text = self._keys.hide(text)
        for path in self._rules.paths:
            if path.column == column:
                text = hide_path(text, path, self._rows)
        if self._of_rows is not None:
            text = self._of_rows.payload(text)
        for path, limit in self._rules.limits:
            if path.column == column:
                text = cut(text, path, limit, self._rows)
        return text

    def _text(self, column: str, value: object) -> object:
        for path in self._rules.paths:
            if path.column == column:
                self._rows[f"path:{path.text}"] += 1
                value = HIDDEN if isinstance(value, str) else []
        if self._of_rows is None:
            return value
        encoded = msgspec.json.encode(value)
        hidden = self._of_rows.payload(encoded)
        return value if hidden is encoded else msgspec.json.decode(hidden)


def _alone(masker: Masker, hide: Callable[[bytes], bytes | bytearray], line: bytes) -> bytes | bytearray:
    try:
        return hide(line)
    except Exception:  # noqa: BLE001 -- as above
        masker.counts["unreadable"] += 1
        return b"*" * (len(line) - 1) + b"\n"
