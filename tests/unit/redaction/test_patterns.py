"""The named sets know their secrets, and take nothing else for one."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from llmledgerd.config.settings import Config
from llmledgerd.redaction import Redactor
from llmledgerd.redaction.finding import hits
from llmledgerd.redaction.patterns import SETTINGS
from llmledgerd.redaction.rules import compiled
from tests.helpers.secrets import SETS
from tests.security.attack_redaction import CONTEXTS
from tests.security.planted import KINDS

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
    "api_key=os.environ['OPENAI_API_KEY'], api_key: str, the api key is required",
    "password: correct horse, password=get_password(), authorization header",
    "access_token = settings.providers.access_token",
    "api_key_file=/run/secrets/providers/key1",
    "xai-image-generation-tool-for-grok-4, global-one-registerinstrumentations, hf_model_configuration_name",
    "a basic understanding, Basic authentication, basic YWJjZGVm",
    "http://localhost:8080/path?email=a&key=name, https://example.org/@somebody/post",
    "sk-learn, sk-..., task-0123456789abcdefghijklmnop, sk_SK",
    "8 backslashes \\\\\\\\ and C:\\new\\table\\fruit\\books",
]

SECRETS = [
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("authorization: bearer abcdef0123456789", "abcdef0123456789"),
    ("postgres://app:CorrectHorseBattery@db.internal/llm", "CorrectHorse"),
    ("| MISTRAL_API_KEY | 8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA |", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key&#61;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    (
        "{&quot;api_key&quot;: &quot;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA&quot;}",
        "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA",
    ),
    ("api_key&#x3D;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key&equals;&#39;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA&#39;", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key&#58; &#34;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA&#34;", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("password=&apos;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA&apos;", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ('<add key="ApiKey" value="8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"/>', "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    (
        "&lt;add key=&quot;ApiKey&quot; value=&quot;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA&quot;/&gt;",
        "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA",
    ),
    (
        "{\\u0026quot;api_key\\u0026quot;:\\u0026quot;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA\\u0026quot;}",
        "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA",
    ),
    ("-Dapi.key=8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("MISTRAL_API_KEY ?= 8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key <- '8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA'", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key;8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("Ocp-Apim-Subscription-Key: 8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("GITHUB_PAT=8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("DB_PASS=8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("MYSQL_PWD=8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key=${X:-8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA}", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
    ("api_key={{8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA}}", "8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA"),
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


KINDS_SEED = 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_hidden_in_every_context(kind: str) -> None:
    dice = random.Random(KINDS_SEED)
    for context, around in CONTEXTS.items():
        secret, text = KINDS[kind](dice)
        whole = around.format(text.replace("\0", "@"))
        assert secret in whole
        assert secret not in hidden(whole), context


@pytest.mark.parametrize(
    "name",
    ["api_key", "secret_key", "secret_token", "secret_access_key", "access-key", "access-token", "api_token"],
)
@pytest.mark.parametrize("before", ["", "use ", "a\n", "x\t", "(", "--", "MY_"])
def test_a_name_that_begins_as_a_key_does_is_a_name(before: str, name: str) -> None:
    for value in ("8f3kQ2mZ7xP1vB9nR4tY6wL0cJ5hD2sA", "ujOeHwdFcAefAZhnM6Jy8c1rihtYlKO3"):
        for text in (f"{before}{name}={value}", f"{before}{name}: '{value}' and more"):
            assert value not in hidden(text), text


def test_a_key_that_a_terminal_has_broken_or_colored_is_one_key() -> None:
    for middle in ("\x1b[0m", "\x1b[1;31m", "\n", "\r\n"):
        text = f"X=ghp_aB3dE6gH9jK2mN5p{middle}Q8rS1tU4vW7xY0zA3bC6\n$ ls aB3dE6gH9jK2mN5p"
        assert hidden(text).endswith("$ ls aB3dE6gH9jK2mN5p")
        assert not re.search("H9jK2mN5p.*Q8r|S1tU4vW7x", hidden(text), re.DOTALL)


def test_a_named_value_that_changes_color_is_one_value() -> None:
    for middle in ("\x1b[0m", "\x1b[01;31m\x1b[m"):
        said = hidden(f"MISTRAL_API_KEY=8f3kQ2mZ7xP1vB9n{middle}R4tY6wL0sD5gH3jK next")
        assert "8f3kQ2mZ" not in said
        assert "R4tY6wL0" not in said
        assert said.endswith(" next")
        innocent = f"password=correct{middle}horse\x1b[0m and more"
        assert hidden(innocent) == innocent


def test_the_next_line_of_a_key_is_left_where_it_is_none() -> None:
    text = "sk-proj-aB3dE6gH9jK2mN5pQ8rS1t\nHello world"
    assert hidden(text).endswith("\nHello world")


@pytest.mark.parametrize(
    "part", ["sk-", "-sk", "eyJ.", "api_key", "api_key=", "a-us1", "://a:b.", "pat1", "SG.", "x\\n"]
)
def test_a_text_of_beginnings_takes_time_in_proportion_to_its_length(part: str) -> None:
    """Counted in looks around a match, of which each has a bound: twice the text, twice the looks."""
    patterns = compiled(Config(redact=SETS)).patterns
    assert patterns is not None
    counts = []
    for times in (500, 1000):
        raw = json.dumps(part * times).encode()
        counts.append(sum(1 for each in patterns.expressions for _ in each.engine.finditer(raw)))
        list(hits(raw, patterns))
    assert counts[1] <= 2 * counts[0] + 2


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


def test_every_set_is_in_the_settings_reference_and_in_the_document() -> None:
    root = Path(__file__).resolve().parents[3]
    for page in ("docs/settings.md", "docs/redaction.md"):
        text = (root / page).read_text()
        assert [name for name in SETTINGS if f"`{name}`" not in text] == []
