"""Secrets that nobody has, of many kinds, and the text in which each is known for one.

Invariant: made of the formats that issuers document, and not of the daemon's patterns.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Mapping

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM = LOWER + UPPER + DIGITS
HEX = DIGITS + "abcdef"
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"

Maker = Callable[[random.Random], tuple[str, str]]
"""Returns what to look for, and the text that holds it."""


def some(dice: random.Random, alphabet: str, length: int) -> str:
    """Return so many characters, with a digit and a letter among them, as nearly every secret has."""
    text = "".join(dice.choices(alphabet, k=length - 2))
    return text + dice.choice([c for c in alphabet if c.isalpha()] or ["7"]) + dice.choice(DIGITS)


def bare(prefix: str, alphabet: str, length: int, suffix: str = "") -> Maker:
    """A key that is known by its look."""

    def make(dice: random.Random) -> tuple[str, str]:
        secret = some(dice, alphabet, length)
        return secret, prefix + secret + suffix

    return make


def named(name: str, alphabet: str, length: int) -> Maker:
    """A key that is known by its name alone."""

    def make(dice: random.Random) -> tuple[str, str]:
        secret = some(dice, alphabet, length)
        return secret, name.replace("@", secret)

    return make


def private_key(dice: random.Random) -> tuple[str, str]:
    body = [base64.b64encode(dice.randbytes(48)).decode() for _ in range(3)]
    kind = dice.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED "])
    lines = "\n".join(body)
    return body[1], f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def basic(dice: random.Random) -> tuple[str, str]:
    secret = base64.b64encode(f"user:{some(dice, ALNUM, 18)}".encode()).decode()
    return secret.rstrip("="), dice.choice(["Basic ", "basic ", "BASIC "]) + secret


def bearer(dice: random.Random) -> tuple[str, str]:
    secret = some(dice, ALNUM + "-._~+/", 40)
    return secret, dice.choice(["Bearer ", "bearer ", "Authorization: Bearer ", "BEARER "]) + secret


def jwt(dice: random.Random) -> tuple[str, str]:
    body, signature = some(dice, URLSAFE, 60), some(dice, URLSAFE, 43)
    return signature, f"eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{signature}"


def azure(dice: random.Random) -> tuple[str, str]:
    head, tail = some(dice, ALNUM, 52), some(dice, ALNUM, 15)
    return head, f"{head}JQQJ99{tail}ACOGabcd"


KINDS: Mapping[str, Maker] = {
    "openai": bare("sk-", ALNUM, 48), "openai project": bare("sk-proj-", URLSAFE, 120),
    "openai service": bare("sk-svcacct-", URLSAFE, 80), "openai session": bare("sess-", ALNUM, 40),
    "anthropic": bare("sk-ant-api03-", URLSAFE, 93, "AA"), "openrouter": bare("sk-or-v1-", HEX, 64),
    "deepseek": bare("sk-", HEX, 32), "langfuse": bare("sk-lf-", HEX + "-", 36), "cerebras": bare("csk-", LOWER + DIGITS, 48),
    "google": bare("AIza", URLSAFE, 35), "google oauth": bare("ya29.", URLSAFE, 100),
    "google client": bare("GOCSPX-", URLSAFE, 28), "google refresh": bare("1//0", URLSAFE, 60),
    "groq": bare("gsk_", ALNUM, 52), "xai": bare("xai-", ALNUM, 80), "hugging face": bare("hf_", ALNUM, 34),
    "replicate": bare("r8_", ALNUM, 37), "perplexity": bare("pplx-", ALNUM, 48), "fireworks": bare("fw_", ALNUM, 24),
    "nvidia": bare("nvapi-", URLSAFE, 64), "together": bare("tgp_v1_", URLSAFE, 43), "voyage": bare("pa-", URLSAFE, 43),
    "elevenlabs": bare("sk_", HEX, 48), "tavily": bare("tvly-dev-", ALNUM, 32), "jina": bare("jina_", ALNUM, 60),
    "pinecone": bare("pcsk_", ALNUM + "_", 70), "langsmith": bare("lsv2_pt_", HEX, 32, "_0a1b2c3d4e"),
    "azure openai": azure, "azure openai, older": named("api-key: @", HEX, 32),
    "mistral": named("MISTRAL_API_KEY=@", ALNUM, 32), "cohere": named("CO_API_KEY=@", ALNUM, 40),
    "cohere in json": named('{"cohere_api_key": "@"}', ALNUM, 40), "together, older": named("TOGETHER_API_KEY: @", HEX, 64),
    "azure storage": named("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=@==;", BASE64, 86),
    "azure sas": named("https://a.blob.example/c?sv=2024-01-01&sp=r&sig=@%3D", ALNUM, 43),
    "azure client": named("abc8Q~@", ALNUM + "_.~-", 34),
    "aws id": bare("AKIA", UPPER + DIGITS, 16), "aws session id": bare("ASIA", UPPER + DIGITS, 16),
    "aws secret in env": named("AWS_SECRET_ACCESS_KEY=@", BASE64, 40),
    "aws secret in json": named('{"aws_secret_access_key": "@"}', BASE64, 40),
    "aws secret in sts": named('{"SecretAccessKey":"@"}', BASE64, 40),
    "aws session token": named("aws_session_token = @", BASE64, 200), "bedrock": bare("ABSK", BASE64, 120),
    "github": bare("ghp_", ALNUM, 36), "github oauth": bare("gho_", ALNUM, 36), "github app": bare("ghs_", ALNUM, 36),
    "github fine": bare("github_pat_", ALNUM + "_", 82), "gitlab": bare("glpat-", URLSAFE, 20),
    "slack": bare("xoxb-", DIGITS + "-" + ALNUM, 50), "slack app": bare("xapp-1-", UPPER + DIGITS + "-", 60),
    "slack webhook": bare("https://hooks.slack.com/services/T0ABCDEF1/B0ABCDEF2/", ALNUM, 24),
    "stripe": bare("sk_live_", ALNUM, 24), "stripe restricted": bare("rk_live_", ALNUM, 24),
    "webhook secret": bare("whsec_", BASE64, 32), "shopify": bare("shpat_", HEX, 32),
    "square": bare("EAAA", URLSAFE, 60), "twilio": bare("SK", HEX, 32), "sendgrid": bare("SG.", URLSAFE, 22, "." + "aB3" * 14),
    "mailgun": bare("key-", HEX, 32), "npm": bare("npm_", ALNUM, 36), "pypi": bare("pypi-AgEIcHlwaS5vcmc", URLSAFE, 100),
    "docker": bare("dckr_pat_", URLSAFE, 27), "digitalocean": bare("dop_v1_", HEX, 64),
    "notion": bare("ntn_", ALNUM, 46), "notion, older": bare("secret_", ALNUM, 43), "linear": bare("lin_api_", ALNUM, 40),
    "airtable": bare("patAbCdEfGhIjKlMn.", HEX, 64), "atlassian": bare("ATATT3xFfGF0", URLSAFE, 170),
    "grafana": bare("glsa_", ALNUM, 32, "_0a1b2c3d"), "vault": bare("hvs.", URLSAFE, 90),
    "terraform": bare("AbCdEfGhIjKlMn.atlasv1.", URLSAFE, 67), "doppler": bare("dp.pt.", ALNUM, 43),
    "fly": bare("FlyV1 fm2_", BASE64, 80), "netlify": bare("nfp_", ALNUM, 36), "heroku": bare("HRKU-AA", URLSAFE, 58),
    "okta": named("Authorization: SSWS @", URLSAFE, 42), "postman": bare("PMAK-0123456789abcdef01234567-", HEX, 34),
    "databricks": bare("dapi", HEX, 32), "supabase": bare("sbp_", HEX, 40), "new relic": bare("NRAK-", UPPER + DIGITS, 27),
    "datadog": named("DD_API_KEY=@", HEX, 32), "cloudflare": named("CLOUDFLARE_API_TOKEN=@", URLSAFE, 40),
    "vercel": named("VERCEL_TOKEN=@", ALNUM, 24), "sentry dsn": named("https://@@o1.ingest.sentry.example/1".replace("@@", "@\0"), HEX, 32),
    "sentry": bare("sntryu_", HEX, 64), "discord": bare("MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.", URLSAFE, 38),
    "telegram": bare("123456789:AA", URLSAFE, 33), "figma": bare("figd_", URLSAFE, 40),
    "postgres dsn": named("postgres://app:@\0db.example:5432/app", ALNUM, 20),
    "redis url": named("redis://:@\0cache.example:6379/0", ALNUM, 20),
    "bearer": bearer, "basic": basic, "jwt": jwt, "pem": private_key,
    "header in json": named('{"Authorization": "Token @"}', HEX, 40), "x-api-key": named('{"x-api-key": "@"}', ALNUM, 40),
    "curl": named("curl -H 'x-api-key: @' https://api.example", ALNUM, 40), "yaml": named("  api_key: '@'", ALNUM, 32),
    "client secret": named("client_secret=@&grant_type=x", ALNUM, 40), "har": named('{"name": "x-api-key", "value": "@"}', ALNUM, 40),
    "python": named('client = Mistral(api_key="@")', ALNUM, 32), "flag": named("tool --api-key @ run", ALNUM, 32),
    "xml attribute": named('<add key="ApiKey" value="@"/>', ALNUM, 32),
    "entities": named("{&quot;api_key&quot;: &quot;@&quot;}", ALNUM, 32), "entities of numbers": named("api_key&#61;&#39;@&#39;", ALNUM, 32),
    "xml": named("<ApiKey>@</ApiKey>", ALNUM, 32), "token in url": named("https://@\0github.example/o/r", ALNUM, 40),
}  # fmt: skip
"""By a name for people. A ``\\0`` in a text stands for ``@``."""
