"""Logs: structured, on standard error, as JSON or for a console.

Invariant: no record's payload and no secret is logged; a thing that recurs is said once a minute
with its count.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

import structlog

MINUTE = 60.0

log = structlog.get_logger(__name__)


def configure(form: str, level: str) -> None:
    """Send everything through structlog, ``form`` being ``json`` or ``console``."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class Recurring:
    """Says a thing at once, and again at most once a minute, with how often it came meanwhile."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def warn(self, event: str, **details: object) -> None:
        now = self._monotonic()
        if now - self._said.get(event, -MINUTE) < MINUTE:
            self._unsaid[event] = self._unsaid.get(event, 0) + 1
            return
        self._said[event] = now
        times = self._unsaid.pop(event, 0)
        log.warning(event, **details, **({"times_since": times} if times else {}))
