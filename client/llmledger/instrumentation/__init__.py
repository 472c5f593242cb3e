"""``instrument()`` and ``uninstrument()``: recording of LLM calls by hooks in HTTP libraries.

Invariant: importing this package is cheap; ``instrument()`` imports the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from llmledger.environment import is_disabled

if TYPE_CHECKING:
    from llmledger.client import TraceClient


def instrument(
    *,
    hosts: Iterable[str] | Mapping[str, str] = (),
    begin: bool | Literal["streams"] = "streams",
    client: TraceClient | None = None,
    unknown_hosts: bool = False,
) -> list[str]:
    """Record every LLM call from now on; return the names of the hooked libraries.

    >>> llmledger.instrument(hosts={"gateway.internal": "openai"})
    ('httpx', 'urllib3')

    Calls are recognized by the hosts and paths of the known providers. ``hosts`` are further hosts
    with the same paths: ``"gateway.internal"``, ``"localhost:8000"``, ``".internal"``, or a mapping
    from these to providers' names. ``begin`` selects the calls that are announced before they are
    made, so that they are recorded even if the process is killed: ``"streams"``, ``True`` for all, or
    ``False``. ``client`` receives the records (default: the default client).

    A POST with the path and the body of an LLM call to a host that nobody named is counted under the
    reason ``unknown_host:`` and the host (``llmledger status`` shows it) and logged once in ten minutes;
    with ``unknown_hosts=True`` it is recorded.

    A repeated call replaces the settings. Raises ValueError for an invalid host. With
    ``LLMLEDGER_DISABLED=1``, and on a system without ``fork`` or Unix sockets, such as Windows, it
    imports and hooks nothing.
    """
    if is_disabled():
        return []
    from llmledger.instrumentation.switch import switch_on

    return switch_on(hosts, begin, client, unknown_hosts)


def uninstrument() -> None:
    """Remove the hooks and restore every library. Exchanges in progress are still recorded. Raises nothing.

    >>> llmledger.uninstrument()
    """
    if "llmledger.instrumentation.switch" in sys.modules:  # otherwise nothing was ever hooked
        from llmledger.instrumentation.switch import switch_off

        switch_off()
