"""Sizes and times with units, as people write them: ``10GB``, ``512MiB``, ``20s``, ``5m``. Pure.

Invariant: what has no unit is left as it was written; what has one becomes a number in the unit of the
setting, which its name ends with, or is refused by what was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

SIZES: Final[Mapping[str, int]] = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}i": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
"""Bytes of each unit, in lower case; ``Ki`` to ``Ti`` are those of Kubernetes."""

MILLISECONDS: Final[Mapping[str, int]] = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}

TIMES: Final[Mapping[str, int]] = {"_ms": 1, "_seconds": 1000, "_days": 86_400_000}
"""Endings of settings' names, and the milliseconds of their unit."""

_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


def plain(name: str, value: Any) -> Any:
    """Return the value of a setting as a number in its unit; lists and tables with theirs inside.

    Raises ValueError, which quotes what was written.
    """
    if isinstance(value, dict):
        return {key: plain(key if _ending(key) else name, one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(name, one) for one in value]
    ending = _ending(name)
    if not isinstance(value, str) or not ending:
        return value
    return size(value) if ending == "_bytes" else _time(value, TIMES[ending])


def size(text: str) -> str:
    """Return a size in bytes, as text. Raises ValueError.

    >>> size("10GB"), size("512 MiB"), size("17")
    ('10000000000', '536870912', '17')
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return _bare(text, "a size (use bytes, or a unit: 512MiB, 10GB)")
    unit = SIZES.get(found[2].lower())
    if unit is None:
        raise ValueError(f"`{text}` is not a size (use bytes, or a unit: 512MiB, 10GB)")
    return _number(Decimal(found[1]) * unit)


def _time(text: str, of_setting: int) -> str:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return _bare(text, "a time (use a number, or a unit: 200ms, 20s, 5m, 2h, 7d)")
    unit = MILLISECONDS.get(found[2].lower())
    if unit is None:
        raise ValueError(f"`{text}` is not a time (use a number, or a unit: 200ms, 20s, 5m, 2h, 7d)")
    return _number(Decimal(found[1]) * unit / of_setting)


def _bare(text: str, wanted: str) -> str:
    """Return a number without a unit as it was written."""
    try:
        float(text)
    except ValueError:
        raise ValueError(f"`{text}` is not {wanted}") from None
    return text.strip()


def _number(value: Decimal) -> str:
    if value != value.to_integral_value():
        return f"{value.normalize():f}"
    return f"{value:.0f}"


def _ending(name: str) -> str:
    return next((ending for ending in ("_bytes", *TIMES) if name.endswith(ending)), "")
