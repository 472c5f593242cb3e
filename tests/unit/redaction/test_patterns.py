"""The named sets know their secrets, and take nothing else for one."""

from __future__ import annotations

import json

import pytest

from llmtraced.config import Config
from llmtraced.redaction import Redactor
from tests.helpers.secrets import SETS

ALL = Redactor.of(Config(redact=SETS))


def hidden(text: str) -> str:
    (line,) = ALL.lines([json.dumps(text).encode() + b"\n"])
    return str(json.loads(line))


INNOCENT = [
    "3f0e8c1e-9a1b-4c55-8f6e-0c7a7c1f4f10",
    "2026-11-21T08:33:32.123456Z",
    "1763712812000",
    "call_4111111111111111",
    "4111111111111112",  # not a card's by its last digit
    "the bearer of this letter, the bearer authentication",
    "risk-assessment-and-mitigation-framework",
    "write to jane at example.org",
    "@decorator.example",
    "2 + 2 = 4, 1+10000000000x",
    "192.168.100.200",
    "gpt-4o-2024-08-06",
    "-----BEGIN CERTIFICATE-----",
]

SECRETS = [
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("authorization: bearer abcdef0123456789", "abcdef0123456789"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl", "eyJzdWIi"),
    ("AWS_SECRET_ACCESS_KEY=" + "aB3/" * 10, "aB3/aB3/"),
    ("mail josé.müller@bücher.example.org", "josé"),
    ("amex 3782 822463 10005.", "822463"),
    ("diners 3056-930902-5904", "930902"),
    ("No.4111111111111111", "4111111111111111"),
    ("ring 0049 170 1234567 now", "1234567"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----", "lQOYBF"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\nMIIE\n-----END RSA PRIVATE KEY-----",
        "MIIE",
    ),
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_is_left(text: str) -> None:
    assert hidden(text) == text


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_what_is_one_is_hidden(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in hidden(text)


def test_what_follows_a_key_is_left() -> None:
    text = "a\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nand -- so on"
    assert hidden(text).endswith("\nand -- so on")
