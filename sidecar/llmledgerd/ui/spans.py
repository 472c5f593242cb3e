"""Time ranges and their chart steps. Pure.

Invariant: a range begins with a whole step, so that aggregates come from whole hours and the first bar
is complete. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

STEPS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
"""Chart steps; each is one of ``requests.GROUPS``."""

FORMATS: Final = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d"}
"""The store's format of a step's start."""

MAX_STEPS: Final = 1_000
"""Limit of steps per chart; a longer range shows its latest steps."""


class Span(msgspec.Struct, frozen=True):
    """A range that ends now."""

    title: str
    length: timedelta
    step: str


SPANS: Final[Mapping[str, Span]] = {
    "1h": Span("1 hour", timedelta(hours=1), "minute"),
    "24h": Span("24 hours", timedelta(hours=24), "hour"),
    "7d": Span("7 days", timedelta(days=7), "hour"),
    "30d": Span("30 days", timedelta(days=30), "day"),
    "90d": Span("90 days", timedelta(days=90), "day"),
    "1y": Span("1 year", timedelta(days=365), "day"),
}
USUAL: Final = "7d"


class Range(msgspec.Struct, frozen=True):
    """From ``start`` (inclusive) to ``end`` (exclusive); None is open-ended."""

    start: datetime
    end: datetime | None
    step: str

    def steps(self, now: datetime) -> list[datetime]:
        """Return the starts of all steps, including those without calls."""
        length, first = STEPS[self.step], _floor(self.start, self.step)
        last = now if self.end is None else self.end - timedelta(microseconds=1)
        count = min(max(0, (last - first) // length + 1), MAX_STEPS)
        newest = _floor(last, self.step)
        return [newest - length * back for back in reversed(range(count))]


def ending_now(span: str, now: datetime) -> Range:
    """Return the range of that name; its last step is the current one."""
    chosen = SPANS[span]
    first = _floor(now, chosen.step) - chosen.length + STEPS[chosen.step]
    return Range(first, None, chosen.step)


def between(start: datetime, end: datetime | None, now: datetime) -> Range:
    """Return the range between two times, in the smallest legible step."""
    length = (end or now) - start
    step = "minute" if length <= timedelta(hours=3) else "hour" if length <= timedelta(days=8) else "day"
    return Range(start, end, step)


def label(moment: datetime, step: str) -> str:
    """Return the store's label of the step that starts at this time."""
    return moment.strftime(FORMATS[step])


def moment(text: str) -> datetime | None:
    """Parse a time from a URL, or return None; UTC without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _floor(moment: datetime, step: str) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    if step == "minute":
        return whole
    return whole.replace(minute=0) if step == "hour" else whole.replace(minute=0, hour=0)
