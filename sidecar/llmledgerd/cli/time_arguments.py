"""Times as people write them, on a command line. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """Return the time that ``7d`` (minutes, hours, days, weeks ago) or an ISO 8601 date names, UTC without a zone."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if ago:
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"`{text}` is neither like 7d nor a date", param_hint="--since") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
