"""Built-in pattern sets: secrets and personal data recognized by their form.

Invariant: no pattern matches the names, numbers and short words in providers' structured fields, so that
usage is the same with every set enabled. Patterns are RE2's, and match the text of ``view``. If a pattern has a
group, only the group is masked.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from llmledgerd.redaction.kinds import (
    HEADS,
    LEFT,
    MIDDLES,
    NAMES,
    Span,
    from_head,
    from_middle,
    is_opaque,
    jwt_from_head,
)

Check = Callable[[bytes], bool]
Whole = Callable[[bytes, int, int], Span | None]


class Pattern(msgspec.Struct, frozen=True):
    """Regular expression with further conditions on its match."""

    expression: str
    check: Check | None = None
    of_value: bool = False
    """The match is a name; the value after it is checked and masked."""
    whole: Whole | None = None
    """Function that extends a partial match to the whole secret, given the text, start and end."""


def is_card(text: bytes) -> bool:
    """Return whether the digits pass Luhn's check, as one in ten numbers does."""
    digits = [byte - 0x30 for byte in reversed(text) if 0x30 <= byte <= 0x39]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def is_token(text: bytes) -> bool:
    """Return whether the text after "bearer" is a credential, and not the next word of a sentence."""
    return len(text) >= 24 or any(byte in b"0123456789" for byte in text)


def is_basic(text: bytes) -> bool:
    """Return whether the text is a user and password in the encoding of HTTP's Basic scheme."""
    with suppress(ValueError):
        return b":" in base64.b64decode(text + b"=" * (-len(text) % 4), b"-_" if b"_" in text else None)
    return False


_LETTER: Final = r"A-Za-z0-9\x{80}-\x{10FFFF}"
_EMAIL: Final = (
    rf"[{_LETTER}][{_LETTER}.!#$%&'*+/=?^_{{|}}~-]*@[{_LETTER}](?:[{_LETTER}-]*\.)+[{_LETTER}]{{2,24}}"
)

_GAP: Final = r"(?:[ \t:=]|%20|%3[AaDd]|\x1b){1,6}"
"""Characters between a scheme's name and its credentials."""
_USERINFO: Final = r"://[!-.0-9;=?A-~]*:([!-.0-;=?A-~]+)@[A-Za-z0-9\[]"
_IN_URLS: Final = (
    # A token in place of a user, and parameters.
    r"://([A-Za-z0-9_-]{20,})@[A-Za-z0-9\[]",
    r"(?i:[?&;](?:amp;)?(?:[a-z-]*api[_-]?key|key|[a-z_-]*token|sig|signature|secret|client_secret|password"
    r"|x-(?:amz|goog)-(?:signature|credential|security-token)|code|subscription-key))=([!-%\'-:=?-~]{8,})",
)
_REST: Final = r"[.~]{0,2}[A-Za-z0-9_+/=-][A-Za-z0-9._~+/=-]*"
"""The rest of a secret of which a stream's chunk held enough to be hidden before the spool."""
_KEY_END: Final = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

SETS: Final[Mapping[str, tuple[Pattern, ...]]] = {
    "api_key": (
        Pattern(HEADS, whole=from_head),
        Pattern(f"({MIDDLES})", whole=from_middle),
        Pattern(NAMES, is_opaque, of_value=True),
        Pattern(_USERINFO),  # in any form: its position identifies it
        *(Pattern(expression, is_token) for expression in _IN_URLS),
        Pattern(rf"\[redacted:api_key\]\**({_REST})"),
    ),
    "bearer_token": (
        Pattern(rf"{LEFT}(?i:bearer){_GAP}([A-Za-z0-9._~+/=\x1b-]{{8,}})", is_token),
        Pattern(rf"{LEFT}(?i:basic){_GAP}([A-Za-z0-9+/=_\x1b-]{{8,}})", is_basic),
        Pattern(
            rf"{LEFT}(?i:token|api-?key|ssws|authorization[ \t]{{0,2}}[:=]){_GAP}([A-Za-z0-9._~+/=\x1b-]{{20,}})",
            is_opaque,
        ),
        Pattern(
            rf"(?:\[redacted:bearer_token\]|(?i:\b(?:bearer|basic|token|ssws))[ \t]{{1,4}}\*)\**({_REST})"
        ),
        Pattern(rf"{LEFT}(eyJ)", whole=jwt_from_head),  # wherever it stands
    ),
    # To its end, or to where it was cut. No body holds "--", so that the search ends at the next key.
    "private_key": (
        Pattern(rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-[^-])*(?:{_KEY_END})?"),
        Pattern(rf"\[redacted:private_key\][* ]*((?:[^-]|-[^-])*{_KEY_END})"),
    ),
    "email": (Pattern(_EMAIL),),
    # Only what nobody takes for a number: with a plus, two zeros, brackets, or separators.
    "phone": (
        Pattern(r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}\b"),
        Pattern(r"\b00[1-9][0-9](?:[ ./-]?[0-9]){6,12}\b"),
        Pattern(r"\([2-9][0-9]{2}\)[ .-]?[0-9]{3}[ .-][0-9]{4}\b"),
        Pattern(r"\b[2-9][0-9]{2}[.-][2-9][0-9]{2}[.-][0-9]{4}\b"),
        Pattern(r"\b[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}\b"),
    ),
    "card": (
        Pattern(r"\b(?:[2-6][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4})\b", is_card),
        Pattern(r"\b(?:3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})\b", is_card),
        # Not the digits behind a number's point, of which arrays of floats are full.
        Pattern(r"(?m:^|[^0-9A-Za-z_.]|[^0-9]\.|^\.)([2-6][0-9]{12,18})\b", is_card),
    ),
}
"""Patterns by name, which masks and counters contain."""

SETTINGS: Final[Mapping[str, str]] = {
    "api_keys": "api_key",
    "bearer_tokens": "bearer_token",
    "private_keys": "private_key",
    "emails": "email",
    "phones": "phone",
    "cards": "card",
}
"""The names of the setting ``redact``."""
