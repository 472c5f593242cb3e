"""Hosts of endpoints: whether anybody sells there.

Invariant: a bare address, a name without a public domain, or a machine that is rented by the hour is no
evidence of a price per token. Pure: nothing is looked up.

Sources: RFC 6761, RFC 6762, RFC 8375 (names that are never public).
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_PRIVATE_SUFFIXES: Final = (
    ".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".private", ".svc", ".test",
    ".cluster.local", ".home.arpa", ".localdomain", ".consul", ".nomad", ".ts.net",
)  # fmt: skip
_RENTED_SUFFIXES: Final = (
    ".endpoints.huggingface.cloud", ".proxy.runpod.net", ".api.runpod.ai", ".ngrok.io", ".ngrok.app", ".ngrok.dev",
    ".ngrok-free.app", ".ngrok-free.dev", ".trycloudflare.com", ".loca.lt", ".vast.ai", ".lambdaspaces.com",
)  # fmt: skip
"""Dedicated machines and tunnels to one's own: what runs there is not billed by the token."""


def host_of(url: str) -> str:
    """Return the host of an endpoint, lower case; empty where the text is none."""
    try:
        return (urlsplit(url if "://" in url else f"//{url}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_self_hosted(host: str) -> bool:
    """Return whether a host is an address, rented, or has no public domain; False without one.

    >>> is_self_hosted("10.1.2.3"), is_self_hosted("litellm"), is_self_hosted("api.openai.com")
    (True, True, False)
    """
    if not host:
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or f".{host}".endswith((*_PRIVATE_SUFFIXES, *_RENTED_SUFFIXES))
    return True
