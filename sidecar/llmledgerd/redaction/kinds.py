r"""Formats of keys, by issuer.

Invariant: every kind has a fixed prefix of its issuer, or a fixed part in its middle. RE2 searches all text
for these parts alone, at the beginning of a word (``LEFT``); the standard library's ``re`` then checks the
surroundings. So the automaton that reads every byte is small: with the kinds' lengths in it, base64 alone would
drive it through thousands of states per kilobyte. A failed check ends within the kind's length, and a match is
not searched again, so the time is linear in the text.

``~`` before a repetition stands for a character of a key's body: ``[A-Za-z0-9_-]`` and ``CSI``, by which
``view`` writes a terminal's control sequence, so that a key with a change of color inside is one key.
"""

from __future__ import annotations

import re
import string
from typing import Final

BODY: Final = r"[A-Za-z0-9_\x1b-]"

# Before a key may stand whatever is no letter and no digit; `_`, as in PREFIX_sk-…; and what is left of
# an escape that was written out: [31m, %3D, %253D (encoded again), =3D (quoted-printable), \x1b, \033, \u001b, \n, and
# a terminal's choice of a character set, (B.
LEFT: Final = (
    r"(?:\b|_|\[[0-9;:?]*[A-Za-z]|\([AB0]|%(?:25){0,4}[0-9A-Fa-f]{2}|=(?:3[AD]|2[0267]|0[AD])"
    r"|\\(?:[abefnrtv0]|x[0-9A-Fa-f]{2}|[0-7]{3}|u\{?[0-9A-Fa-f]{4}\}?))"
)

# `view` shows an escaped \n, \t, \r, \b or \f as spaces. A backslash before a key that begins with such a letter
# looks the same, so there a space may stand for the letter.
MODELS: Final = (
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, Langfuse, Stability, LiteLLM; Cerebras; OpenAI's sessions.
    (r"c?sk-", r"~{20,}"),
    (r"sess-", r"~{32,}"),
    # Google: API keys, old and new; OAuth's access tokens, refresh tokens and clients' secrets.
    (r"AIza", r"~{35,}"),
    (r"AQ\.Ab", r"~{30,}"),
    (r"ya29\.", r"~{20,}"),
    (r"1//0", r"~{30,}"),
    (r"GOCSPX-", r"~{20,}"),
    # AWS: key ids; Bedrock's own keys, long and short.
    (r"A(?:KIA|SIA|ROA|IDA)", r"[A-Z0-9\x1b]{16,}"),
    (r"ABSK", r"[A-Za-z0-9+/=\x1b]{40,}"),
    (r"bedrock-api-key-", r"[A-Za-z0-9+/=_\x1b-]{20,}"),
    # Groq, xAI, Perplexity, NVIDIA, Together, Tavily; Hugging Face, Replicate; Fireworks.
    (r"(?:gsk_|xai-|pplx-|hf_|api_org_|[r ]8_)", r"[A-Za-z0-9\x1b]{20,}"),
    (r"(?:[n ]vapi-|[t ]gp_v1_|[t ]vly-)", r"~{20,}"),
    (r"[f ]w_", r"[A-Za-z0-9\x1b]{20,}"),
    # Voyage; Jina, E2B, RunPod, PostHog, Neon, Cursor; Pinecone, LangSmith, Firecrawl; ElevenLabs.
    (r"pa-", r"~{40,}"),
    (r"(?:jina_|e2b_|rpa_|ph[cxs]_|[n ]api_|key_)", r"[A-Za-z0-9\x1b]{32,}"),
    (r"pcsk_", r"[A-Za-z0-9_\x1b]{40,}"),
    (r"lsv2_", r"(?:pt|sk)_[a-f0-9\x1b]{32,}_[a-f0-9\x1b]{10,}"),
    (r"[f ]c-", r"[a-f0-9\x1b]{32,}"),
    (r"sk_", r"(?:(?:live|test|prod)_[A-Za-z0-9\x1b]{16,}|[A-Za-z0-9\x1b]{24,})"),
)
TOOLS: Final = (
    # GitHub, GitLab, Bitbucket and Atlassian, Sourcegraph.
    (r"gh[pousr]_", r"[A-Za-z0-9\x1b]{36,}"),
    (r"github_pat_", r"~{22,}"),
    (r"gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|oas|soat|ffct)-", r"~{20,}"),
    (r"AT[AC]TT3", r"[A-Za-z0-9_=\x1b-]{20,}"),
    (r"ATBB", r"[A-Za-z0-9\x1b]{28,}"),
    (r"sg[pdl]_", r"~{32,}"),
    # Slack's tokens, and addresses that are a secret: of Slack, of Discord; Telegram's bots.
    (r"xox[abceoprs]", r"(?:\.xox[bp])?-[A-Za-z0-9\x1b-]{10,}"),
    (r"xapp-", r"[0-9]-[A-Za-z0-9\x1b-]{20,}"),
    (r"(?:services|workflows|triggers)/", r"[A-Z][A-Z0-9]{7,}/[A-Za-z0-9_/\x1b-]{20,}"),
    (r"webhooks/", r"[0-9]{15,}/~{40,}"),
    # Stripe, Square, Plaid, Shopify, Flutterwave; webhooks of Stripe, Svix and others.
    (r"(?:[r ]k|pk)_", r"(?:live|test|prod)_[A-Za-z0-9\x1b]{16,}"),
    (r"EAA", r"(?:A~{56,}|[A-Za-z0-9\x1b]{80,})"),
    (r"sq0", r"[a-z]{3}-~{22,}"),
    (r"access-", r"(?:sandbox|development|production)-[0-9a-f-]{36}"),
    (r"shp(?:at|ca|pa|ss|ua)_", r"[A-Fa-f0-9\x1b]{32,}"),
    (r"FLWSECK", r"(?:_TEST)?-[A-Za-z0-9\x1b]{12,}"),
    (r"whsec_", r"[A-Za-z0-9+/=_\x1b-]{24,}"),
    # Mail and messages: SendGrid, Mailgun, Brevo, Resend, Twilio.
    (r"SG\.", r"~{16,}\.~{16,}"),
    (r"key-", r"[a-f0-9\x1b]{32,}"),
    (r"xkeysib-", r"~{40,}"),
    (r"[r ]e_", r"[A-Za-z0-9]{8}_[A-Za-z0-9\x1b]{20,}"),
    (r"SK", r"[a-f0-9\x1b]{32,}"),
    # Packages and images: npm, PyPI, RubyGems, Docker.
    (r"[n ]pm_", r"[A-Za-z0-9\x1b]{36,}"),
    (r"pypi-", r"~{40,}"),
    (r"[r ]ubygems_", r"[a-f0-9\x1b]{48,}"),
    (r"dckr_", r"(?:pat|oat)_~{20,}"),
    # Clouds and hosts: DigitalOcean, Heroku, Fly, Netlify, Vercel, Cloudflare, Supabase, Tailscale, PlanetScale.
    (r"do[por]_v1_", r"[a-f0-9\x1b]{64,}"),
    (r"HRKU-", r"~{30,}"),
    (r"(?:fm[12][a-z]?|[f ]m[12][a-z]?|[f ]o1)_", r"[A-Za-z0-9+/=_\x1b-]{30,}"),
    (r"[n ]f[pcoub]_", r"[A-Za-z0-9\x1b]{36,}"),
    (r"vc[pkiar]_", r"[A-Za-z0-9\x1b]{24,}"),
    (r"vercel_blob_rw_", r"~{20,}"),
    (r"v1\.0-", r"[a-f0-9]{20,}-[a-f0-9\x1b]{100,}"),
    (r"cf[a-z]t_", r"~{30,}"),
    (r"sb(?:p|_secret)_", r"~{20,}"),
    (r"tskey-", r"[a-z]+-[A-Za-z0-9\x1b-]{16,}"),
    (r"pscale_", r"[a-z]{2,8}_[A-Za-z0-9_.=\x1b-]{32,}"),
    # Infrastructure: Vault, Pulumi, Doppler, 1Password, age, OpenShift, Alibaba, Tencent.
    (r"hv[sbr]\.", r"~{20,}"),
    (r"pul-", r"[a-f0-9\x1b]{40,}"),
    (r"dp\.(?:pt|st|ct|sa|scim|audit|said)\.", r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9\x1b]{40,}"),
    (r"ops_eyJ", r"[A-Za-z0-9+/=_\x1b-]{100,}"),
    (r"AGE-SECRET-KEY-1", r"[0-9A-Z\x1b]{50,}"),
    (r"sha256~", r"~{43,}"),
    (r"LTAI", r"[A-Za-z0-9\x1b]{17,}"),
    (r"AKID", r"[A-Za-z0-9\x1b]{32,}"),
    # Watching: Grafana, New Relic, Sentry, Dynatrace, Datadog.
    (r"glsa_", r"[A-Za-z0-9\x1b]{32,}_[A-Fa-f0-9\x1b]{8,}"),
    (r"glc_", r"[A-Za-z0-9+/=\x1b]{32,}"),
    (r"NR(?:AK|JS|II|RA|IQ)-", r"[A-Za-z0-9_\x1b-]{18,}"),
    (r"sntry[su]_", r"[A-Za-z0-9+/=_\x1b-]{40,}"),
    (r"dt0[a-z][0-9]{2}\.", r"[A-Z2-7\x1b]{24,}\.[A-Z2-7\x1b]{64,}"),
    (r"dd(?:app|pat)_", r"[A-Za-z0-9\x1b]{30,}"),
    # Work: Notion, Linear, Airtable, Postman, Figma, HubSpot, Dropbox, Asana, Contentful, Databricks.
    (r"(?:[n ]tn_|secret_)", r"[A-Za-z0-9\x1b]{40,}"),
    (r"lin_(?:api|oauth|wh)_", r"[A-Za-z0-9\x1b]{32,}"),
    (r"pat[A-Za-z0-9]", r"[A-Za-z0-9\x1b]{13,}\.[a-f0-9\x1b]{64,}"),
    (r"PMAK-", r"[a-f0-9\x1b]{24,}-[a-f0-9\x1b]{34,}"),
    (r"[f ]ig[dourh]_", r"~{36,}"),
    (r"pat-", r"(?:na|eu|ap)[0-9]-[A-Fa-f0-9-]{36}"),
    (r"sl\.", r"(?:u\.)?~{100,}"),
    (r"[0-9]/[0-9]{16}", r"(?:/[0-9]{16})?:[a-z0-9\x1b]{32,}"),
    (r"CFPAT-", r"~{40,}"),
    (r"d(?:api|kea|ose)", r"[a-f0-9\x1b]{32,}(?:-[0-9])?"),
)
INSIDE: Final = (
    # Azure: OpenAI's and Foundry's keys, and others with the same signature; clients' secrets; DevOps.
    (r"JQQJ9", r"[A-Za-z0-9\x1b]{52}JQQJ9[A-Za-z0-9+/=\x1b]{20,}"),
    (r"[78]Q~", r"[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.\x1b-]{31,}"),
    (r"AZDO", r"[A-Za-z0-9\x1b]{76}AZDO[A-Za-z0-9]{4}"),
    # Terraform; bots of Telegram and Discord; Mailchimp; New Relic.
    (r"\.atlasv1\.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=\x1b-]{40,}"),
    (r":AA", r"[0-9]{8,10}:AA~{32,}"),
    (rf"\.{BODY}{{6}}\.{BODY}{{27}}", r"[MNO][A-Za-z0-9_-]{23,27}\.~{6}\.~{27,}"),
    (r"-us[0-9]", r"[a-f0-9\x1b]{32}-us[0-9]{1,2}"),
    (r"NRAL", r"[A-Za-z0-9]{36}NRAL"),
)
"""Kinds with a fixed part in their middle, at most ``BEFORE`` bytes from their start."""
BEFORE: Final = 80
BROKEN: Final = re.compile(rb"([A-Za-z0-9_.:/+=\x1b-]{1,90})(?:  |    )([A-Za-z0-9_.:/+=\x1b-]{6,200})")


def _one_of(expressions: list[str]) -> str:
    return "(?:" + "|".join(expressions).replace("~{", BODY + "{") + ")"


HEADS: Final = LEFT + f"({_one_of([head for head, _ in (*MODELS, *TOOLS)])})"
MIDDLES: Final = _one_of([middle for middle, _ in INSIDE])
_BY_HEAD: Final = re.compile(_one_of([head + rest for head, rest in (*MODELS, *TOOLS)]).encode())
_JWT: Final = re.compile(rf"eyJ{BODY}{{8,4096}}+\.{BODY}{{8,}}+\.{BODY}*+".encode())
"""The header is bounded, because many may begin within one long run of characters without a dot."""
_BY_MIDDLE: Final = re.compile(_one_of([whole for _, whole in INSIDE]).encode())

Span = tuple[int, int]


def from_head(text: bytes, start: int, end: int) -> Span | None:
    """Return the key with this prefix, even if a terminal wrapped it over two lines."""
    found = _BY_HEAD.match(text, start)
    if found is not None:
        return found.span()
    broken = BROKEN.match(text, start)
    joined = broken and _BY_HEAD.match(broken[1] + broken[2])
    if broken and joined and joined.end() > len(broken[1]) and _is_random(broken[2][:64]):
        return start, broken.start(2) + joined.end() - len(broken[1])
    return None


def jwt_from_head(text: bytes, start: int, end: int) -> Span | None:
    """Return the JSON web token with this prefix."""
    found = _JWT.match(text, start)
    return found.span() if found else None


def from_middle(text: bytes, start: int, end: int) -> Span | None:
    """Return the key with this middle."""
    for found in _BY_MIDDLE.finditer(text, max(0, start - BEFORE), end + MOST_BYTES):
        if found.start() <= start and end <= found.end():
            return found.span()
        if found.start() > start:
            break
    return None


MOST_BYTES: Final = 512
"""Bytes after a key's middle that are searched."""


def is_opaque(text: bytes) -> bool:
    """Return whether the value of a secret's name is a secret, and not a word, a path or a reference."""
    return not _PATH.fullmatch(text) and (_is_mixed(text) or any(map(_is_random, _PARTS.split(text))))


def _is_random(part: bytes) -> bool:
    """Return whether letters and digits are mixed as in no word or name."""
    digits, upper, lower = _counts(part)
    if len(part) >= _SHORT_SECRET and digits and upper + lower:
        return True
    return len(part) >= _LONG_SECRET and min(upper, lower) * 5 >= len(part)


def _is_mixed(text: bytes) -> bool:
    """Return the same for a text in which separators are part of the secret."""
    return len(text) >= _MIXED_SECRET and min(_counts(text)) >= _OF_EACH


def _counts(text: bytes) -> tuple[int, int, int]:
    """Return how many digits, capitals and small letters there are."""
    without = (len(text.translate(None, kind)) for kind in (_DIGITS, _CAPITALS, _SMALL))
    digits, upper, lower = (len(text) - left for left in without)
    return digits, upper, lower


_DIGITS: Final = string.digits.encode()
_CAPITALS: Final = string.ascii_uppercase.encode()
_SMALL: Final = string.ascii_lowercase.encode()
_MIXED_SECRET: Final = 20
_OF_EACH: Final = 3
_PARTS: Final = re.compile(rb"[._:~-]+")
_PATH: Final = re.compile(rb"[a-z0-9_.~]*/[a-z0-9_./-]*")
_SHORT_SECRET: Final = 10
_LONG_SECRET: Final = 16

NAMES: Final = (
    r"(?i:api[ ._-]?key|secret[._-]?(?:access[._-]?)?key|access[._-]?key|account[._-]?key|shared[._-]?access[._-]?key"
    r"|(?:api|auth|access|refresh|session|security|bearer|secret|private|bot|vercel|user|personal)[._-]?token"
    r"|(?:client|app|consumer|webhook|signing|shared)[._-]?secret|(?:app|application|auth|service|subscription)[._-]?key"
    r"|x-vault-token|authorization|passw(?:or)?d|passphrase|credential|(?:openai|co|cohere|mistral|azure)[._-]?key"
    r"|(?:github|gitlab|azure)[._-]pat|(?:db|database|mysql|pg|postgres|redis|smtp)[._-]?(?:pass|pwd))"
)
"""Names, or ends of names, of secrets without a recognizable form."""
