"""Plays a client whose first line is odd, and says whether the daemon answers it.

    python3 conformance/first_lines.py SOCKET

Invariant: whoever says hello hears something. A hello that JSON and PROTOCOL.md allow begins a session; one
that they do not, or that is no JSON any more, is refused with a reason and closed; and whatever is no hello
is answered nothing. Needs Python 3.11 and nothing else. The exit status is the number of cases that failed.
"""

from __future__ import annotations

import json
import socket
import sys
import uuid
from typing import Final

PATIENCE_SECONDS = 20.0
SILENCE_SECONDS = 0.5
"""How long a line that is no hello is watched for an answer, which would be wrong."""

DURABLE: Final = "durable"
INVALID: Final = "invalid_hello"
UNSUPPORTED: Final = "unsupported_protocol_version"
NOTHING: Final = ""

SESSION: Final = b'"session":"7c8f5d1e-4b0a-4f7e-8f55-0c2a9d3f6b21"'
GOOD: Final = b'{%s,"first":1}' % SESSION
DEEP: Final = b"[" * 3000 + b"]" * 3000


def hello(body: bytes = GOOD, version: bytes = b"4", more: bytes = b"") -> bytes:
    """Return a hello of any body and version, with further members."""
    return b'{"protocol_version":%s,"hello":%s%s}' % (version, body, more)


def with_fields(fields: bytes) -> bytes:
    return hello(b'{%s,"first":1,%s}' % (SESSION, fields))


CASES: Final[tuple[tuple[str, bytes, str], ...]] = (
    ("plain", hello(), DURABLE),
    ("white space around", b" \t" + hello() + b" \r", DURABLE),
    ("white space within", b'{ "protocol_version" : 4 , "hello" : ' + GOOD + b" }", DURABLE),
    ("hello first", b'{"hello":%s,"protocol_version":4}' % GOOD, DURABLE),
    ("a name with escapes", b'{"protocol_version":4,"h\\u0065llo":%s}' % GOOD, DURABLE),
    ("all names with escapes", b'{"protocol\\u005fversion":4,"\\u0068ello":%s}' % GOOD, DURABLE),
    ("unknown member", hello(more=b',"x":{"y":[1,null]}'), DURABLE),
    ("unknown member that nests deep", hello(more=b',"x":' + DEEP), DURABLE),
    ("unknown member of the hello that nests deep", with_fields(b'"x":' + DEEP), DURABLE),
    ("unknown member that is half a surrogate", hello(more=b',"x":"\\ud800"'), DURABLE),
    ("unknown name that is half a surrogate", hello(more=b',"\\udfff":1'), DURABLE),
    ("service with half a surrogate", with_fields(b'"service":"api\\ud83d"'), DURABLE),
    ("host with the other half", with_fields(b'"host":"\\ude00"'), DURABLE),
    ("service with a whole pair", with_fields(b'"service":"\\ud83d\\ude00"'), DURABLE),
    ("service with a NUL", with_fields(b'"service":"a\\u0000b"'), DURABLE),
    ("unknown number that no float holds", hello(more=b',"x":1e999'), DURABLE),
    ("unknown number of 400 digits", hello(more=b',"x":' + b"9" * 400), DURABLE),
    ("hello twice", hello(b"{}", more=b',"hello":' + GOOD), DURABLE),
    ("first twice, and once wrong", hello(b'{"first":"x",%s,"first":1}' % SESSION), INVALID),
    ("version twice", hello(version=b"9", more=b',"protocol_version":4'), DURABLE),
    ("session without dashes", hello(b'{"session":"7c8f5d1e4b0a4f7e8f550c2a9d3f6b21","first":1}'), DURABLE),
    ("first is a float", hello(b'{%s,"first":1.0}' % SESSION), INVALID),
    ("first is 0", hello(b'{%s,"first":0}' % SESSION), INVALID),
    ("first is below 0", hello(b'{%s,"first":-1}' % SESSION), INVALID),
    ("first is null", hello(b'{%s,"first":null}' % SESSION), INVALID),
    ("first is missing", hello(b"{%s}" % SESSION), INVALID),
    ("first is huge", hello(b'{%s,"first":%s}' % (SESSION, b"9" * 400)), INVALID),
    ("first is beyond any float", hello(b'{%s,"first":1e999}' % SESSION), INVALID),
    ("last is below first - 1", hello(b'{%s,"first":41,"last":39}' % SESSION), INVALID),
    ("last is first - 1", hello(b'{%s,"first":41,"last":40}' % SESSION), DURABLE),
    ("last is below 0", with_fields(b'"last":-1'), INVALID),
    ("pid is below 0", with_fields(b'"pid":-1'), INVALID),
    ("last is a float", with_fields(b'"last":1.5'), INVALID),
    ("last is 2^63", with_fields(b'"last":9223372036854775808'), INVALID),
    ("pid is 2^80", with_fields(b'"pid":1208925819614629174706176'), INVALID),
    ("pid is text", with_fields(b'"pid":"12"'), INVALID),
    ("session is no UUID", hello(b'{"session":"x","first":1}'), INVALID),
    ("session is half a surrogate", hello(b'{"session":"\\ud800","first":1}'), INVALID),
    ("session nests deep", hello(b'{"session":%s,"first":1}' % DEEP), INVALID),
    ("the hello is a list", hello(b"[]"), INVALID),
    ("the hello is a text", hello(b'"world"'), INVALID),
    ("service is not UTF-8", with_fields(b'"service":"\xff"'), INVALID),
    ("garbage behind", hello() + b" x", INVALID),
    ("a second object behind", hello() + hello(), INVALID),
    ("a comma behind", hello() + b",", INVALID),
    ("a NUL behind", hello() + b"\0", INVALID),
    ("a NUL before", b"\0" + hello(), INVALID),
    ("a byte order mark before", b"\xef\xbb\xbf" + hello(), INVALID),
    ("a last comma", hello(b'{%s,"first":1,}' % SESSION), INVALID),
    ("a raw control character", with_fields(b'"service":"a\x01b"'), INVALID),
    ("NaN", with_fields(b'"pid":NaN'), INVALID),
    ("cut off", hello()[:-2], INVALID),
    ("longer than 8,192 bytes", with_fields(b'"service":"%s"' % (b"x" * 9000)), INVALID),
    ("longer than any read", with_fields(b'"service":"%s"' % (b"x" * 600_000)), INVALID),
    ("version missing", b'{"hello":%s}' % GOOD, UNSUPPORTED),
    ("version null", hello(version=b"null"), UNSUPPORTED),
    ("version 5", hello(version=b"5"), UNSUPPORTED),
    ("version 0", hello(version=b"0"), UNSUPPORTED),
    ("version below 0", hello(version=b"-4"), UNSUPPORTED),
    ("version is a text", hello(version=b'"4"'), UNSUPPORTED),
    ("version is half a surrogate", hello(version=b'"\\ud800"'), UNSUPPORTED),
    ("version is a float", hello(version=b"4.0"), UNSUPPORTED),
    ("version is true", hello(version=b"true"), UNSUPPORTED),
    ("version is huge", hello(version=b"9" * 400), UNSUPPORTED),
    ("version is beyond any float", hello(version=b"1e999"), UNSUPPORTED),
    ("version nests deep", hello(version=DEEP), UNSUPPORTED),
    ("a record whose hello is null", hello(b"null", more=b',"request":{}'), NOTHING),
    ("an older sender's field", hello(version=b"3"), NOTHING),
    (
        "an older sender's field in a long line",
        hello(version=b"1", more=b',"x":"%s"' % (b"x" * 9000)),
        NOTHING,
    ),
    ("an older sender's field in no JSON", hello(version=b"2") + b"x", NOTHING),
    ("hello in a payload", b'{"protocol_version":4,"request":{"hello":%s}}' % GOOD, NOTHING),
    ("hello in a long payload", b'{"request":{"hello":{"x":"%s"}}}' % (b"x" * 9000), NOTHING),
    ("hello in text", b'{"protocol_version":4,"error":"\\"hello\\":{}"}', NOTHING),
    ("a list", b'["hello",{}]', NOTHING),
    ("a text", b'"hello"', NOTHING),
    ("no JSON", b"hello", NOTHING),
)
"""What a first line is, its bytes, and what is answered: ``durable``, an error and a close, or nothing."""


def answered(path: str, line: bytes, patience: float) -> str:
    """Return what the daemon answers to a first line: ``durable``, an error's name, or nothing."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        try:
            connection.sendall(line + b"\n")
            answer = json.loads(connection.makefile("rb").readline() or b"{}")
            closed = "durable" in answer or not connection.recv(1)
        except TimeoutError:
            return NOTHING
        except ConnectionError:
            return "a reset"
    if not closed:
        return "an answer and no close"
    return DURABLE if "durable" in answer else str(answer.get("error", ""))


def main() -> int:
    """Try every case, and say how each went."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    failed = 0
    for name, line, expected in CASES:
        own = line.replace(b"7c8f5d1e-4b0a-4f7e-8f55-0c2a9d3f6b21", str(uuid.uuid4()).encode())
        found = answered(sys.argv[1], own, PATIENCE_SECONDS if expected else SILENCE_SECONDS)
        failed += found != expected
        verdict = "ok  " if found == expected else f"FAIL ({found or 'nothing'}, not {expected or 'nothing'})"
        sys.stdout.write(f"{verdict} {name}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
