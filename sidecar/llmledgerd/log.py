"""Structured logs on standard error, as JSON or for a console.

Invariant: no payload and no secret is logged; a recurring event is logged once per minute with its count.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from llmledgerd.printable import clean, one_line

# structlog imports rich where it is installed, to color tracebacks, and greenlet, for contexts that are not used here:
# 6 MB and 1 MB in every pod, for nothing. A module that is None in this table cannot be imported.
_kept = {name: sys.modules.get(name) for name in ("rich", "greenlet")}
sys.modules.update(dict.fromkeys(_kept))  # type: ignore[arg-type]  # the table's type does not know of None
import structlog  # noqa: E402 - as said

for _name, _module in _kept.items():
    del sys.modules[_name]
    if _module is not None:
        sys.modules[_name] = _module

MINUTE = 60.0

log = structlog.get_logger(__name__)


def configure(form: str, level: str) -> None:
    """Send everything through structlog, ``form`` being ``json`` or ``console``."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Harmless())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when something is said
        cache_logger_on_first_use=False,  # so that a reload changes the level of every module
    )


def _harmless(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Escape control characters of an event, so that it can neither affect a terminal nor forge an event."""
    return {
        _cleaned(name): value if name == "exception" else _cleaned(value) for name, value in event.items()
    } | ({"exception": clean(str(event["exception"]))} if "exception" in event else {})


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(inner) for inner in value]
    return value if isinstance(value, int | float | None) else one_line(str(value))


class _Harmless(logging.Formatter):
    """Formatter that escapes control characters of libraries' log messages."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


class Suppressed(msgspec.Struct):
    """Occurrences of an event that were not logged yet, with the latest details."""

    level: str
    times: int
    details: dict[str, object]


class Recurring:
    """Rate-limited logger: an event is logged at once, then once per minute with its count.

    For one thread. Call ``catch_up`` about once per second, to log the last occurrences.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._logged_at: dict[str, float] = {}
        self._suppressed: dict[str, Suppressed] = {}

    # ``times``: number of occurrences.

    def info(self, event: str, *, times: int = 1, **details: object) -> None:
        self._occurred("info", event, times, details)

    def warn(self, event: str, *, times: int = 1, **details: object) -> None:
        self._occurred("warning", event, times, details)

    def error(self, event: str, *, times: int = 1, **details: object) -> None:
        self._occurred("error", event, times, details)

    def catch_up(self, *, now: bool = False) -> None:
        """Log pending occurrences of events last logged a minute ago; with ``now``, all of them."""
        for event in list(self._suppressed):
            if now or self._is_due(event):
                self._log_now(event)

    def _occurred(self, level: str, event: str, times: int, details: dict[str, object]) -> None:
        before = self._suppressed.get(event)
        self._suppressed[event] = Suppressed(level, times + (before.times if before else 0), details)
        if self._is_due(event):
            self._log_now(event)

    def _is_due(self, event: str) -> bool:
        return event not in self._logged_at or self._monotonic() - self._logged_at[event] >= MINUTE

    def _log_now(self, event: str) -> None:
        suppressed = self._suppressed.pop(event)
        self._logged_at[event] = self._monotonic()
        times = {"times": suppressed.times} if suppressed.times > 1 else {}
        getattr(log, suppressed.level)(event, **suppressed.details, **times)
