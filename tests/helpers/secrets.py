"""Secrets that nobody has: made at random, in the shapes that the named sets know."""

from __future__ import annotations

import base64
import random
import string

ALNUM = string.ascii_letters + string.digits
SETS = ("api_keys", "bearer_tokens", "private_keys", "emails", "phones", "cards")


def some(dice: random.Random, alphabet: str, length: int) -> str:
    return "".join(dice.choices(alphabet, k=length))


def api_key(dice: random.Random) -> str:
    return dice.choice(
        [
            "sk-proj-" + some(dice, ALNUM + "_-", 60) + "1a",
            "sk-ant-api03-" + some(dice, ALNUM + "_-", 80) + "AA",
            "AIza" + some(dice, ALNUM + "_-", 34) + "x",
            "AKIA" + some(dice, string.ascii_uppercase + string.digits, 16),
            "gsk_" + some(dice, ALNUM, 52),
            "xai-" + some(dice, ALNUM, 60),
            "hf_" + some(dice, ALNUM, 34),
            "ghp_" + some(dice, ALNUM, 36),
            "sk_live_" + some(dice, ALNUM, 24),
        ]
    )


def bearer_token(dice: random.Random) -> str:
    """Return the token; ``planted`` puts its word before it."""
    return some(dice, ALNUM + "-._~+/", 40) + "0A"


def private_key(dice: random.Random) -> str:
    """Return the second line of the body, by which it is looked for; ``planted`` builds the key."""
    return base64.b64encode(dice.randbytes(48)).decode()


def email(dice: random.Random) -> str:
    return f"{some(dice, string.ascii_lowercase, 9)}.{some(dice, ALNUM, 4)}+x@mail.{some(dice, 'abcdef', 6)}.example"


def phone(dice: random.Random) -> str:
    area, office, line = dice.randint(201, 989), dice.randint(200, 999), some(dice, string.digits, 4)
    return dice.choice(
        [
            f"+49 170 {some(dice, string.digits, 7)}",
            f"+1{area}{office}{line}",
            f"({area}) {office}-{line}",
            f"{area}-{office}-{line}",
        ]
    )


def card(dice: random.Random) -> str:
    digits = [4, *(dice.randrange(10) for _ in range(14))]
    doubled = sum(d * 2 - 9 * (d > 4) for d in digits[::2])
    digits.append(-(doubled + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    return dice.choice([text, " ".join(text[at : at + 4] for at in range(0, 16, 4))])


MAKERS = (api_key, bearer_token, private_key, email, phone, card)


def planted(dice: random.Random) -> tuple[str, str]:
    """Return a secret to look for, and a text that holds it as people and programs write it."""
    maker = dice.choice(MAKERS)
    secret = maker(dice)
    if maker is bearer_token:
        return secret, f"curl -H 'Authorization: Bearer {secret}' there"
    if maker is private_key:
        kind = dice.choice(["RSA ", "EC ", "", "OPENSSH "])
        body = f"{private_key(dice)}\n{secret}\n{private_key(dice)}"
        return (
            secret,
            f"the key:\n-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\nthat was it",
        )
    around = dice.choice(
        ["{}", "use {} please", "first\n{}\nlast", 'he said "{}".', "key={}", "\t{}\t", "é{} ü"]
    )
    # A letter right before a word is part of it, to a pattern and to people.
    return secret, around.format(secret) if around[0] != "é" else f"é {secret} ü"
