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

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from llmledger.environment import TRUE, is_disabled

LIBRARIES: Final = ("httpx2", "httpx", "aiohttp", "urllib3", "websockets")
"""As in ``instrumentation.switch``, which is imported with the first of them."""


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
        if is_disabled() or any(isinstance(finder, _Finder) for finder in sys.meta_path):
            return
        for name in LIBRARIES:
            if name in sys.modules:
                _hook(name, sys.modules[name])
        sys.meta_path.insert(0, _Finder())


def hosts(text: str) -> dict[str, str]:
    """Return the hosts of ``LLMLEDGER_HOSTS`` and their providers' names.

    >>> hosts("gateway.internal, localhost:4000=litellm")
    {'gateway.internal': '', 'localhost:4000': 'litellm'}
    """
    pairs = [one.strip().partition("=") for one in text.split(",")]
    return {host.strip(): provider.strip() for host, _, provider in pairs if host.strip()}


class _Finder:
    """Finder that lets the others find a library, and adds the hook to its loader."""

    def __init__(self) -> None:
        self._searching: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the others' spec of a library, once; None for every other module."""
        if name not in LIBRARIES or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # has what importlib calls
        return spec


class _Loader:
    """Loader of a library that hooks it after its execution; other attributes are the real one's."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Do as the real loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute the library, then hook it."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _hook(module.__name__, module)


def _hook(name: str, module: ModuleType) -> None:
    with suppress(Exception):  # the application imports: its import must succeed
        from llmledger.instrumentation.switch import switch_on_loaded

        switch_on_loaded(name, module, *_settings(os.environ))


def _settings(environment: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    unknown = environment.get("LLMLEDGER_UNKNOWN_HOSTS", "").strip().lower() in TRUE
    return hosts(environment.get("LLMLEDGER_HOSTS", "")), unknown
