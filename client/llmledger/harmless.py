"""Allowlist of recorded headers, and URLs without credentials. Pure, and cheap to import.

Invariant: only headers on an allowlist are recorded, so that no unknown header can leak a credential; and a
URL is reduced to scheme, host and path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_HEADERS: Final = frozenset(
    {
        "content-type",
        "retry-after",
        "request-id",
        "x-request-id",
        "apim-request-id",
        "x-ms-request-id",
        "x-amzn-requestid",
        "x-amzn-errortype",
        "x-goog-request-id",
        "cf-ray",
        "openai-processing-ms",
        "openai-version",
        "openai-model",
        "x-ms-region",
        "x-groq-region",
        "x-generation-id",
        "mistral-correlation-id",
        "x-should-retry",
        "server-timing",
        "x-litellm-call-id",
        "x-gemini-service-tier",
    }
)
_HEADER_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-", "x-amzn-bedrock-")


def harmless_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the allowed headers, with names in lower case."""
    lowered = ((name.lower(), value) for name, value in headers)
    return {name: value for name, value in lowered if name in _HEADERS or name.startswith(_HEADER_PREFIXES)}


def bare_url(url: str) -> str:
    """Return the URL without credentials, query and fragment."""
    lead, _, rest, _, _ = split_url(url)
    return lead + rest


def split_url(url: str) -> tuple[str, str, str, str, str]:
    """Return scheme with its ``://``, user and password, host with path, query, fragment.

    An unescaped slash within a password does not end the password.
    """
    url, _, fragment = url.partition("#")
    url, _, query = url.partition("?")
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    if not user and "@" in path and not _is_port(authority.rpartition(":")):
        user, _, rest = rest.partition("@")
        return scheme + mark, user, rest, query, fragment
    return scheme + mark, user, host + slash + path, query, fragment


def _is_port(parts: tuple[str, str, str]) -> bool:
    host, colon, port = parts
    return not colon or port.isdigit() or not port or host.startswith("[") or port.endswith("]")
