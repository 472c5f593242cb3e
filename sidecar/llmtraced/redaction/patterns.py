"""The named sets of patterns: what is secret or personal by its look alone.

Invariant: nothing here matches the names, numbers and short words that providers write for machines,
so that usage is read the same with every set switched on. Patterns are RE2's, and see text as
``view`` shows it. Where a pattern has a group, the group is what is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

Check = Callable[[bytes], bool]


class Pattern(msgspec.Struct, frozen=True):
    """One regular expression, and what else its match has to be."""

    expression: str
    check: Check | None = None


def is_card(text: bytes) -> bool:
    """Whether the digits are a card's number by Luhn's sum, as one arbitrary number in ten is."""
    digits = [byte - 0x30 for byte in reversed(text) if 0x30 <= byte <= 0x39]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def is_token(text: bytes) -> bool:
    """Whether what follows "bearer" is a credential, and not the next word of a sentence."""
    return len(text) >= 24 or any(byte in b"0123456789" for byte in text)


_API_KEYS: Final = (
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse; Cerebras.
    r"\bc?sk-[A-Za-z0-9_-]{20,}",
    # Google: API keys, and what its OAuth gives.
    r"\bAIza[A-Za-z0-9_-]{35}",
    r"\bya29\.[A-Za-z0-9_-]{20,}",
    # AWS: key ids, Bedrock's own keys, and a secret key where it is called one.
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bABSK[A-Za-z0-9+/=]{40,}",
    r"\bbedrock-api-key-[A-Za-z0-9+/=_-]{20,}",
    r"(?i:\baws_?secret_?(?:access_?)?key)[ \t]{0,3}[=:][ \t'\\]{0,4}([A-Za-z0-9+/]{40,})",
    # Groq, xAI, Hugging Face, Replicate, Perplexity, Fireworks, NVIDIA, Together, Tavily, LangSmith.
    r"\b(?:gsk_|xai-|hf_|r8_|pplx-|fw_|nvapi-|tgp_v1_|tvly-)[A-Za-z0-9_-]{20,}",
    r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b",
    # What agents are handed besides: GitHub, GitLab, Slack, Stripe, SendGrid, npm, Databricks.
    r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,})",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"\b(?:npm_[A-Za-z0-9]{36}|dapi[a-f0-9]{32})\b",
)
_LETTER: Final = r"A-Za-z0-9\x{80}-\x{10FFFF}"
_EMAIL: Final = (
    rf"[{_LETTER}][{_LETTER}.!#$%&'*+/=?^_{{|}}~-]*@[{_LETTER}](?:[{_LETTER}-]*\.)+[{_LETTER}]{{2,24}}"
)

_REST: Final = r"[.~]{0,2}[A-Za-z0-9_+/=-][A-Za-z0-9._~+/=-]*"
"""The rest of a secret of which a stream's chunk held enough to be hidden before the spool."""
_KEY_END: Final = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

SETS: Final[Mapping[str, tuple[Pattern, ...]]] = {
    "api_key": (
        *map(Pattern, _API_KEYS),
        Pattern(rf"\[redacted:api_key\]\**({_REST})"),
    ),
    "bearer_token": (
        Pattern(r"(?i:\bbearer)[ \t]{1,4}([A-Za-z0-9._~+/=-]{8,})", is_token),
        Pattern(r"(?i:\bauthorization)[ \t]{0,2}:[ \t]{0,4}(?i:basic)[ \t]{1,4}([A-Za-z0-9+/=]{8,})"),
        Pattern(rf"(?:\[redacted:bearer_token\]|(?i:\bbearer)[ \t]{{1,4}}\*)\**({_REST})"),
        Pattern(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a JWT, wherever it stands
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
"""By the name that a mask and a counter carry."""

SETTINGS: Final[Mapping[str, str]] = {
    "api_keys": "api_key",
    "bearer_tokens": "bearer_token",
    "private_keys": "private_key",
    "emails": "email",
    "phones": "phone",
    "cards": "card",
}
"""The names of the setting ``redact``."""
