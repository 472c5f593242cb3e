"""Replaced attributes of other libraries, and the way back.

Invariants:
- ``restore`` leaves every class as it was found. An attribute that somebody else has wrapped since stays
  theirs: what they wrapped is our function, which then does nothing but call the original, because the
  hooks ask ``Patches.is_active`` first.
- Whoever patched before us is called as if we were not there: what is found in the class is bound to the
  instance as attribute access binds it, so a descriptor that is no plain function (wrapt's, a
  ``partialmethod``, a mock) gets its instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

Bind = Callable[[Any], Callable[..., Any]]
"""Takes an instance, and returns the original method of it."""


class Patches:
    """The replacements of one ``instrument()``."""

    def __init__(self) -> None:
        self.is_active = True
        self._replaced: list[tuple[type, str, Any, Any]] = []

    def wrap(self, owner: type, name: str, make: Callable[[Bind], Any]) -> None:
        """Replace a method by what ``make`` returns for it, in the class that defines it.

        Raises AttributeError where there is none.
        """
        holder = next((kind for kind in owner.__mro__ if name in kind.__dict__), None)
        if holder is None:
            raise AttributeError(f"{owner.__name__} has no {name}")
        original = holder.__dict__[name]
        # ``__wrapped__`` is the descriptor itself: others take wrappers off by putting it back.
        replacement = update_wrapper(make(_binder(original)), original)
        setattr(holder, name, replacement)
        self._replaced.append((holder, name, original, replacement))

    def restore(self) -> None:
        """Put the originals back."""
        self.is_active = False
        for holder, name, original, replacement in reversed(self._replaced):
            if holder.__dict__.get(name) is replacement:
                setattr(holder, name, original)
        self._replaced.clear()


def _binder(original: Any) -> Bind:
    get = getattr(type(original), "__get__", None)
    if get is None:
        return lambda _: original  # a callable that is no descriptor: Python binds it to nothing
    return lambda instance: get(original, instance, type(instance))
