"""``instrument()`` and ``uninstrument()``: record the LLM calls of whatever HTTP libraries there are.

Invariant: importing this costs next to nothing. What it needs is imported by whoever switches it on.
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
) -> list[str]:
    """Record every LLM call from now on; return the names of the libraries that were hooked.

    Calls are recognized by the hosts and paths of the known providers. ``hosts`` are further hosts
    whose LLM paths are calls: ``"gateway.internal"``, ``"localhost:8000"``, ``".internal"``, or a
    mapping from these to providers' names. ``begin`` is which calls are announced before they are
    made, so that they are known even when the process is killed: ``"streams"``, ``True`` for all, or
    ``False``. ``client`` is who takes the records, else the default client.

    May be called again, which replaces the settings. Raises ValueError for a host that is none.
    With ``LLMLEDGER_DISABLED=1``, and on a system without ``fork`` or Unix sockets, such as Windows,
    nothing is hooked, imported or looked at.
    """
    if is_disabled():
        return []
    from llmledger.instrumentation.switch import switch_on

    return switch_on(hosts, begin, client)


def uninstrument() -> None:
    """Record no more exchanges, and leave every library as it was found.

    Those that have begun are still recorded.
    """
    if "llmledger.instrumentation.switch" in sys.modules:  # else nothing was ever hooked
        from llmledger.instrumentation.switch import switch_off

        switch_off()
