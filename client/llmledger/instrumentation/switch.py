"""State of the hooked libraries.

Invariants:
- Only installed libraries are imported, and only on ``instrument``.
- Each library is hooked at most once; a later ``instrument`` replaces the settings of an earlier one.
  ``uninstrument`` restores every method.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Final

from llmledger.client import TraceClient
from llmledger.instrumentation.advice import warn
from llmledger.instrumentation.exchange import Begin
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Hosts
from llmledger.instrumentation.safety import harmless

LIBRARIES: Final = {
    "httpx2": "llmledger.instrumentation.httpx",
    "httpx": "llmledger.instrumentation.httpx",
    "aiohttp": "llmledger.instrumentation.aiohttp",
    "urllib3": "llmledger.instrumentation.urllib3",
}
"""Supported libraries and their hook modules. ``requests`` and ``botocore`` use ``urllib3``."""

_lock = threading.Lock()
_active: list[Patches] = []
"""At most one."""


def switch_on(
    hosts: Iterable[str] | Mapping[str, str], begin: Begin, client: TraceClient | None
) -> list[str]:
    """Do as ``instrument`` does."""
    patches = Patches()
    settings = Hook(hosts=Hosts(hosts), client=client, begin=begin, patches=patches)
    # Imported first: an import can trigger a reentrant call.
    libraries = {name: library for name in LIBRARIES if (library := _imported(name)) is not None}
    with _lock:
        _restore()
        _active.append(patches)
        hooked = [name for name, library in libraries.items() if _hook(name, library, settings)]
    if not hooked:
        warn("nothing is recorded: instrument() found none of the libraries %s", ", ".join(LIBRARIES))
    return hooked


def switch_off() -> None:
    """Do as ``uninstrument`` does."""
    with _lock:
        _restore()


def is_on() -> bool:
    """Return whether exchanges are recorded."""
    return bool(_active)


@harmless
def _restore() -> None:
    while _active:
        _active.pop().restore()


@harmless
def _hook(name: str, library: ModuleType, settings: Hook) -> bool:
    hook = importlib.import_module(LIBRARIES[name]).hook
    return bool(hook(library, settings))


@harmless
def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
