"""Error boundary between the hooks and the application.

Invariants:
- A wrapped function raises no Exception into the application. Faults are counted, and the first one is
  logged with its location, because silence would hide a broken hook.
- The exception's text is not logged: it may contain a URL or a header.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

faults: Final[Counter[str]] = Counter()
"""Faults per wrapped function. The call continued; its record may be missing or incomplete."""


def harmless(function: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Return the function wrapped so that it returns None instead of raising."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - outermost handler: our faults must never reach the application
            _count(function.__qualname__, error)
            return None

    return run


def _count(name: str, error: Exception) -> None:
    faults[name] += 1
    if faults[name] > 1:
        return
    import logging  # both are expensive to import and rarely needed
    import traceback

    with suppress(Exception):  # a log handler or filter of the application may raise
        logging.getLogger("llmledger").warning(
            "llmledger: %s failed with %s; the call itself is unaffected (logged once)\n%s",
            name,
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
