"""Lines that are nearly right: seeds, changed where senders, wires and attackers change them.

Invariant: the same dice give the same lines, so that whatever is found can be found again.

Changes know what a line is made of: they cut between members, put in what JSON parsers trip over, and
join two seeds. No coverage leads them; a million of them a few minutes apart from each other do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

SEEDS: Final = Path(__file__).with_name("seeds")

TOKENS: Final = (
    b"null", b"true", b"0", b"-1", b"-0", b"1e999", b"-1e999", b"1e-999", b"0.1", b"4.0", b"99999999999999999999",
    b"18446744073709551615", b"18446744073709551616", b"9223372036854775807", b"-9223372036854775808",
    b"4611686018427387904", b"NaN", b"Infinity", b'""', b'"4"', b"{}", b"[]", b"[{}]", b'{"":0}',
    b'"\\u0000"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\ud83d\\ude00"', b"\x00", b"\xff", b"\xc0\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r", b"\t", b"\x1b[2J", b"\\", b'"', b"'",
    b",", b":", b"{", b"}", b"[", b"]", b"/*", b"//", b"data: ", b"event: x\\n", b"\\n\\n", b"[DONE]", b"\n",
    b'"2026-06-01T12:00:00Z"', b'"9999-12-31T23:59:59.999999+14:00"', b'"0001-01-01"', b'"provider_trace-"',
)  # fmt: skip
"""What goes wrong somewhere, by experience."""

NAMES: Final = (
    b"protocol_version", b"hello", b"begin", b"dropped", b"end", b"session", b"first", b"last", b"provider_trace_id",
    b"org_id", b"tags", b"type", b"request", b"response", b"response_stream", b"response_headers", b"error", b"usage",
    b"error_type", b"timestamp", b"llm_config", b"billing", b"latency_ms", b"attempt", b"status_code", b"model",
    b"prompt_tokens", b"input_tokens", b"usageMetadata", b"iterations", b"choices", b"taken", b"pid", b"url",
)  # fmt: skip
"""Keys that mean something, for doubling and for misplacing."""

MEMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:')
VALUE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|null|true|false')
DEEP: Final = (3, 30, 300, 3000)

Change = Callable[[Random, bytes, bytes], bytes]


def seeds() -> list[bytes]:
    """Return every line of every seed, without its newline."""
    return [line for path in sorted(SEEDS.glob("*.ndjson")) for line in path.read_bytes().splitlines()]


def mutated(dice: Random, lines: list[bytes]) -> bytes:
    """Return one line, changed up to four times; one in sixteen stays as it is."""
    line, other = dice.choice(lines), dice.choice(lines)
    for _ in range(dice.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4))):
        line = dice.choice(CHANGES)(dice, line, other)
    return line


def _place(dice: Random, line: bytes) -> int:
    return dice.randrange(len(line) + 1)


def flip_a_bit(dice: Random, line: bytes, _: bytes) -> bytes:
    at = _place(dice, line)
    return line[:at] + bytes(byte ^ (1 << dice.randrange(8)) for byte in line[at : at + 1]) + line[at + 1 :]


def cut_off(dice: Random, line: bytes, _: bytes) -> bytes:
    return line[: _place(dice, line)]


def leave_out(dice: Random, line: bytes, _: bytes) -> bytes:
    at = _place(dice, line)
    return line[:at] + line[at + dice.choice((1, 2, 7, 60)) :]


def double(dice: Random, line: bytes, _: bytes) -> bytes:
    at, size = _place(dice, line), dice.choice((1, 5, 40, 400))
    return line[: at + size] + line[at:]


def splice(dice: Random, line: bytes, other: bytes) -> bytes:
    return line[: _place(dice, line)] + other[_place(dice, other) :]


def put_in(dice: Random, line: bytes, _: bytes) -> bytes:
    at = _place(dice, line)
    return line[:at] + dice.choice(TOKENS) + line[at:]


def another_value(dice: Random, line: bytes, _: bytes) -> bytes:
    found = list(VALUE.finditer(line))
    if not found:
        return line
    one = dice.choice(found)
    return line[: one.start()] + dice.choice(TOKENS) + line[one.end() :]


def another_name(dice: Random, line: bytes, _: bytes) -> bytes:
    found = list(MEMBER.finditer(line))
    if not found:
        return line
    one = dice.choice(found)
    return line[: one.start()] + b'"' + dice.choice(NAMES) + b'":' + line[one.end() :]


def one_more_member(dice: Random, line: bytes, other: bytes) -> bytes:
    found = list(MEMBER.finditer(line))
    at = dice.choice(found).start() if found else 0
    value = dice.choice((dice.choice(TOKENS), other))
    return line[:at] + b'"' + dice.choice(NAMES) + b'":' + value + b"," + line[at:]


def nest(dice: Random, line: bytes, _: bytes) -> bytes:
    found = list(VALUE.finditer(line))
    if not found:
        return line
    one, depth = dice.choice(found), dice.choice(DEEP)
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b'{"usage":', b"}")))
    return line[: one.start()] + opening * depth + one[0] + closing * depth + line[one.end() :]


def stretch(dice: Random, line: bytes, _: bytes) -> bytes:
    at = _place(dice, line)
    return (
        line[:at]
        + dice.choice((b"x", b"9", b" ", b"\\n", b"\xc3\xbc")) * dice.choice((130, 1000, 9000))
        + line[at:]
    )


CHANGES: Final[tuple[Change, ...]] = (
    flip_a_bit, cut_off, leave_out, double, splice, put_in, another_value, another_value, another_name,
    one_more_member, nest, stretch,
)  # fmt: skip
