"""The edge between the hooks and the application.

Invariants:
- What is wrapped here raises no Exception of ours into the application. A fault is counted, and the
  first one is logged with where it was, because silence would hide a broken hook for ever.
- The exception's text is not logged: it may be a library's own, and hold a URL or a header.
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
"""How often each wrapped function failed. The call went on; its record may be missing or poorer."""


def harmless(function: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Return the function with None for its every fault."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the hooks' outer edge: the application never sees our faults
            _count(function.__qualname__, error)
            return None

    return run


def _count(name: str, error: Exception) -> None:
    faults[name] += 1
    if faults[name] > 1:
        return
    import logging  # neither is free to import, and they are rarely needed
    import traceback

    with suppress(Exception):  # a handler or filter of the application's
        logging.getLogger("llmledger").warning(
            "llmledger: %s failed with %s; the call itself is unharmed (said once)\n%s",
            name,
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
