"""Human-readable numbers. Pure.

Invariant: an unknown value is a dash, never a zero; an abbreviated number has all its digits in the
element's title.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

UNKNOWN: Final = "-"
SCALES: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
SIZES: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def whole(value: float | None) -> str:
    """Return a count with all its digits."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """Return a count in three digits or four."""
    return UNKNOWN if value is None else _scaled(value, SCALES, "")


def size(value: float | None) -> str:
    """Return a number of bytes."""
    return UNKNOWN if value is None else _scaled(value, SIZES, "B")


def usd(value: Decimal | None) -> str:
    """Return an amount in cents, or below one dollar in significant digits."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "$0"
    return (
        f"${value:,.2f}"
        if abs(value) >= 1
        else f"${value:,.4f}"
        if abs(value) >= Decimal("0.01")
        else f"${value:,.6f}"
    )


def exact_usd(value: Decimal | None) -> str:
    """Return an amount with fixed digits, which align in a list."""
    return UNKNOWN if value is None else f"${value:,.6f}"


def milliseconds(value: float | None) -> str:
    """Return a duration."""
    if value is None:
        return UNKNOWN
    if value < 1000:
        return f"{value:,.0f} ms"
    if value < 60_000:
        return f"{value / 1000:.2f} s" if value < 10_000 else f"{value / 1000:.1f} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{minutes:,} min {seconds} s"


def rate(value: float | None) -> str:
    """Return a number per second."""
    return UNKNOWN if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def share(part: float, of: float) -> str:
    """Return a part in percent; unknown if the total is zero."""
    return UNKNOWN if not of else f"{100 * part / of:.1f} %"


def clock(moment: datetime) -> str:
    """Return a time to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _scaled(value: float, scales: tuple[tuple[int, str], ...], unit: str) -> str:
    for scale, name in scales:
        if abs(value) >= scale and (unit or abs(value) >= 10_000):
            number = value / scale
            digits = 2 if number < 10 else 1 if number < 100 else 0
            return f"{number:,.{digits}f} {name}"
    return f"{value:,.0f} {unit}".strip()
