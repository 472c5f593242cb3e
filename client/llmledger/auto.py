"""Recording without a line of code: hooks each HTTP library when the application imports it.

Invariants:
- Nothing is imported that the application does not import: order matters to others, as to gevent's patches.
- Nothing here raises, and an import that fails fails as it would without this.
- The environment is the only configuration: ``LLMLEDGER_HOSTS`` has further hosts, as in
  ``gateway.internal,localhost:4000=litellm``; ``LLMLEDGER_UNKNOWN_HOSTS=1`` records calls to unknown ones.

``llmledger-run`` starts this in the processes below it, and the distribution ``llmledger-auto`` in every process
with ``LLMLEDGER_INSTRUMENT=1``. An application that calls ``llmledger.instrument()`` itself replaces the settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Final

from llmledger.environment import TRUE, is_disabled
from llmledger.imports import Watch

LIBRARIES: Final = (
    "httpx2",
    "httpx",
    "aiohttp",
    "urllib3",
    "websockets",
    "grpc",
    "httpx_ws",
    "dspy._vendor.lm15.transports",
    "lm15.transports",
)
"""As in ``instrumentation.switch``, which is imported with the first of them."""

_watches: Final[list[Watch]] = []
"""At most one."""


def is_wanted() -> bool:
    """Return whether the environment asks for it."""
    return os.environ.get("LLMLEDGER_INSTRUMENT", "").strip().lower() in TRUE


def start_if_wanted() -> None:
    """Do as ``start`` does, if the environment asks for it."""
    if is_wanted():
        start()


def start() -> None:
    """Hook the libraries that are loaded, and each other one when it is imported. Never raises."""
    with suppress(Exception):  # the interpreter is starting: nothing that goes wrong here may end it
        if is_disabled() or _watches:
            return
        for name in LIBRARIES:
            if name in sys.modules:
                _hook(name, sys.modules[name])
        _watches.append(Watch(LIBRARIES, _hook))
        _watches[0].start()


def hosts(text: str) -> dict[str, str]:
    """Return the hosts of ``LLMLEDGER_HOSTS`` and their providers' names.

    >>> hosts("gateway.internal, localhost:4000=litellm")
    {'gateway.internal': '', 'localhost:4000': 'litellm'}
    """
    pairs = [one.strip().partition("=") for one in text.split(",")]
    return {host.strip(): provider.strip() for host, _, provider in pairs if host.strip()}


def _hook(name: str, module: ModuleType) -> None:
    with suppress(Exception):  # the application imports: its import must succeed
        from llmledger.instrumentation.switch import switch_on_loaded

        switch_on_loaded(name, module, *_settings(os.environ))


def _settings(environment: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    unknown = environment.get("LLMLEDGER_UNKNOWN_HOSTS", "").strip().lower() in TRUE
    return hosts(environment.get("LLMLEDGER_HOSTS", "")), unknown
