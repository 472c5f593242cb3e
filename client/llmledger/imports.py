"""Hooks of modules that are imported later.

Invariants:
- Nothing is imported that the application does not import: order matters to others, as to gevent's patches.
- Nothing here raises, and an import that fails fails as it would without this.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hook = Callable[[str, ModuleType], object]


class Watch:
    """Calls ``hook`` with each of these modules after its import, from ``start`` to ``stop``."""

    def __init__(self, names: Collection[str], hook: Hook) -> None:
        self._finder = _Finder(names, hook)

    def start(self) -> None:
        """Watch imports from now on."""
        sys.meta_path.insert(0, self._finder)

    def stop(self) -> None:
        """Watch none any more."""
        with suppress(ValueError):  # another tool may have replaced the list
            sys.meta_path.remove(self._finder)


class _Finder:
    """Finder that lets the others find a library, and adds the hook to its loader."""

    def __init__(self, names: Collection[str], hook: Hook) -> None:
        self._names = names
        self._hook = hook
        self._searching: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the others' spec of a library, once; None for every other module."""
        if name not in self._names or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._hook)  # type: ignore[assignment]  # has what importlib calls
        return spec


class _Loader:
    """Loader of a library that hooks it after its execution; other attributes are the real one's."""

    def __init__(self, loader: Any, hook: Hook) -> None:
        self._loader = loader
        self._hook = hook

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
        with suppress(Exception):  # the application imports: its import must succeed
            self._hook(module.__name__, module)
