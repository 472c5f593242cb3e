"""State of the hooked libraries.

Invariants:
- Only installed libraries are imported, and only on ``instrument``; those that few applications use, and that
  take long to import, are hooked when the application imports them.
- Each library is hooked at most once; a later ``instrument`` replaces the settings of an earlier one.
  ``uninstrument`` restores every method.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Final

from llmledger.client import TraceClient
from llmledger.imports import Watch
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
    "websockets": "llmledger.instrumentation.websockets",
}
"""Supported libraries and their hook modules. ``requests`` and ``botocore`` use ``urllib3``."""

LATER: Final = {
    "grpc": "llmledger.instrumentation.grpc",
    "httpx_ws": "llmledger.instrumentation.httpx_ws",
    "dspy._vendor.lm15.transports": "llmledger.instrumentation.lm15",
    "lm15.transports": "llmledger.instrumentation.lm15",
}
"""Modules that are never imported here. DSPy has a copy of lm15, its HTTP client."""

_HOOKS: Final = LIBRARIES | LATER

_lock = threading.Lock()
_active: list[Patches] = []
"""At most one."""

_settings: list[Hook] = []
"""At most one: the hooks' common settings, for libraries that are loaded later."""

_hooked: set[str] = set()
"""Names of the libraries that are hooked now."""

_watches: list[Watch] = []
"""At most one."""


def switch_on(
    hosts: Iterable[str] | Mapping[str, str],
    begin: Begin,
    client: TraceClient | None,
    unknown_hosts: bool = False,
) -> list[str]:
    """Do as ``instrument`` does."""
    patches = Patches()
    settings = Hook(
        hosts=Hosts(hosts), client=client, begin=begin, patches=patches, records_unknown=unknown_hosts
    )
    # Imported first: an import can trigger a reentrant call.
    libraries = {name: library for name in LIBRARIES if (library := _imported(name)) is not None}
    with _lock:
        _restore()
        _active.append(patches)
        _settings.append(settings)
        libraries |= {name: sys.modules[name] for name in LATER if name in sys.modules}
        hooked = [name for name, library in libraries.items() if _hook(name, library, settings)]
        _watches.append(Watch(frozenset(LATER) - frozenset(libraries), _loaded))
        _watches[0].start()
    if not hooked:
        warn("nothing is recorded: instrument() found none of the libraries %s", ", ".join(LIBRARIES))
    return hooked


def switch_on_loaded(name: str, library: ModuleType, hosts: Mapping[str, str], unknown_hosts: bool) -> None:
    """Hook one library with the settings in force, or with these before there are any."""
    with _lock:
        if not _settings:
            patches = Patches()
            made = Hook(
                hosts=Hosts(hosts),
                client=None,
                begin="streams",
                patches=patches,
                records_unknown=unknown_hosts,
            )
            _active.append(patches)
            _settings.append(made)
        _hook(name, library, _settings[0])


def _loaded(name: str, library: ModuleType) -> None:
    """Hook a library that was imported after ``instrument``."""
    with _lock:
        if _settings:
            _hook(name, library, _settings[0])


def switch_off() -> None:
    """Do as ``uninstrument`` does."""
    with _lock:
        _restore()


@harmless
def _restore() -> None:
    _settings.clear()
    _hooked.clear()
    while _watches:
        _watches.pop().stop()
    while _active:
        _active.pop().restore()


@harmless
def _hook(name: str, library: ModuleType, settings: Hook) -> bool:
    if name in _hooked:  # both this module and ``auto`` watch its import
        return True
    hook = importlib.import_module(_HOOKS[name]).hook
    is_hooked = bool(hook(library, settings))
    if is_hooked:
        _hooked.add(name)
    return is_hooked


@harmless
def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
