"""Replaced attributes of other libraries, and the way back.

Invariant: ``restore`` leaves every class as it was found. An attribute that somebody else has wrapped
since stays theirs: what they wrapped is our function, which then does nothing but call the original,
because the hooks ask ``Patches.is_active`` first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Patches:
    """The replacements of one ``instrument()``."""

    def __init__(self) -> None:
        self.is_active = True
        self._replaced: list[tuple[type, str, Any, Any]] = []

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method by what ``make`` returns for it. Raises AttributeError where there is none."""
        original = owner.__dict__[name] if name in owner.__dict__ else getattr(owner, name)
        replacement = make(original)
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, original, replacement))

    def restore(self) -> None:
        """Put the originals back."""
        self.is_active = False
        for owner, name, original, replacement in reversed(self._replaced):
            if owner.__dict__.get(name) is replacement:
                setattr(owner, name, original)
        self._replaced.clear()
