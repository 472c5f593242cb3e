"""Monkey patches of other libraries, and their removal.

Invariants:
- ``restore`` leaves every class as it was found. An attribute that another tool has wrapped since is kept:
  the wrapped function is ours, which then only calls the original, because the hooks check
  ``Patches.is_active`` first.
- Earlier patches still work: the attribute found in the class is bound to the instance as attribute
  access binds it, so a descriptor that is not a plain function (wrapt's, a ``partialmethod``, a mock)
  gets its instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

Bind = Callable[[Any], Callable[..., Any]]
"""Returns the original method, bound to an instance."""


class Patches:
    """Patches of one ``instrument()``."""

    def __init__(self) -> None:
        self.is_active = True
        self._replaced: list[tuple[type, str, Any, Any]] = []

    def wrap(self, owner: type, name: str, make: Callable[[Bind], Any]) -> None:
        """Replace a method by the result of ``make``, in the class that defines it.

        Raises AttributeError if the method does not exist.
        """
        holder = next((kind for kind in owner.__mro__ if name in kind.__dict__), None)
        if holder is None:
            raise AttributeError(f"{owner.__name__} has no {name}")
        original = holder.__dict__[name]
        # ``__wrapped__`` is the descriptor itself: other tools unwrap by restoring it.
        replacement = update_wrapper(make(_binder(original)), original)
        setattr(holder, name, replacement)
        self._replaced.append((holder, name, original, replacement))

    def restore(self) -> None:
        """Restore the originals."""
        self.is_active = False
        for holder, name, original, replacement in reversed(self._replaced):
            if holder.__dict__.get(name) is replacement:
                setattr(holder, name, original)
        self._replaced.clear()


def _binder(original: Any) -> Bind:
    get = getattr(type(original), "__get__", None)
    if get is None:
        return lambda _: original  # a callable without ``__get__``: Python does not bind it
    return lambda instance: get(original, instance, type(instance))
