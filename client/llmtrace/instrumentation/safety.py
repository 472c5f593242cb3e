"""The edge between the hooks and the application.

Invariant: what is wrapped here raises no Exception of ours into the application. A fault is counted,
and the first one is logged with its traceback, because silence would hide a broken hook for ever.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
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
        except Exception:  # noqa: BLE001 - the hooks' outer edge: the application never sees our faults
            _count(function.__qualname__)
            return None

    return run


def _count(name: str) -> None:
    faults[name] += 1
    if faults[name] == 1:
        import logging  # not free to import, and rarely needed

        logging.getLogger("llmtrace").warning(
            "llmtrace: %s failed; the call itself is unharmed (said once)", name, exc_info=True
        )
