"""Structured logs on standard error, as JSON or for a console.

Invariant: no payload and no secret is logged; a recurring event is logged once per minute with its count.
An event is one line, but for a traceback on a console, and has no effect on a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from llmledgerd.printable import clean, one_line

MINUTE = 60.0
LEVELS: Final = ("debug", "info", "warning", "error")
_COLORS: Final = {"debug": 32, "info": 32, "warning": 33, "error": 31}
"""Numbers of the terminal's colors."""


class Logger:
    """The logger of the process: one event per call, with details by name."""

    def __init__(self) -> None:
        self._least = LEVELS.index("info")
        self._render: Callable[[Mapping[str, Any]], str] = _json

    def configure(self, form: str, level: str) -> None:
        """Log events of this level and above, ``form`` being ``json`` or ``console``."""
        self._least = LEVELS.index(level)
        self._render = _json if form == "json" else _for_console

    def debug(self, event: str, **details: object) -> None:
        self.event("debug", event, details)

    def info(self, event: str, **details: object) -> None:
        self.event("info", event, details)

    def warning(self, event: str, **details: object) -> None:
        self.event("warning", event, details)

    def error(self, event: str, **details: object) -> None:
        self.event("error", event, details)

    def event(self, level: str, event: str, details: Mapping[str, object]) -> None:
        """Log an event. The detail ``exc_info`` is an exception, whose traceback is logged."""
        if LEVELS.index(level) < self._least:
            return
        error = details.get("exc_info")
        entry = {_cleaned(name): _cleaned(value) for name, value in details.items() if name != "exc_info"}
        entry |= {"event": one_line(event), "level": level, "timestamp": f"{datetime.now(UTC):%FT%T.%fZ}"}
        if isinstance(error, BaseException):
            entry["exception"] = clean("".join(traceback.format_exception(error)).rstrip())
        sys.stderr.write(self._render(entry) + "\n")  # in one piece, whatever other threads log
        sys.stderr.flush()


def configure(form: str, level: str) -> None:
    """Configure the process's logger, and libraries' last resort."""
    log.configure(form, level)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Harmless())


def _json(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry)


def _for_console(entry: Mapping[str, Any]) -> str:
    level = entry["level"]
    shown = f"\x1b[{_COLORS[level]}m{level:<7}\x1b[0m" if sys.stderr.isatty() else f"{level:<7}"
    named = {name: value for name, value in entry.items() if name not in _OWN}
    details = "".join(f" {name}={value!r}" for name, value in named.items())
    trace = f"\n{entry['exception']}" if "exception" in entry else ""
    return f"{entry['timestamp']} [{shown}] {entry['event']:<30}{details}{trace}"


_OWN: Final = frozenset({"timestamp", "level", "event", "exception"})


def _cleaned(value: Any) -> Any:
    """Return a value without control characters, which could affect a terminal or forge an event."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(inner) for inner in value]
    return value if isinstance(value, int | float | None) else one_line(str(value))


log: Final = Logger()


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
        log.event(suppressed.level, event, suppressed.details | times)
