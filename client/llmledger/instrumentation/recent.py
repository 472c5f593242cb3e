"""Hosts of the exchanges that were hooked, and when: what LiteLLM's callback has to leave out.

Invariant: memory is bounded by ``MOST_HOSTS``; a look-up never raises for any text as an address.
"""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import Final

MOST_HOSTS: Final = 1024

_started: Final[dict[str, float]] = {}
"""By host and explicit port, the start of the latest exchange in seconds since 1970."""


def started(url: str) -> None:
    """Note the start of a hooked exchange."""
    host = _host(url)
    if host not in _started and len(_started) >= MOST_HOSTS:
        with suppress(KeyError, RuntimeError, StopIteration):  # another thread changes it
            _started.pop(next(iter(_started)))
    _started[host] = time()


def was_hooked(url: str, since: float) -> bool:
    """Return whether an exchange with this URL's host was hooked since a time; "" is any host."""
    if url:
        return _started.get(_host(url), 0.0) >= since
    return any(moment >= since for moment in tuple(_started.values()))


def _host(url: str) -> str:
    """Return the part between scheme, credentials and path, in lower case."""
    rest = url.partition("://")[2] or url
    host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2].lower()
    return host.removesuffix(":443").removesuffix(":80")
