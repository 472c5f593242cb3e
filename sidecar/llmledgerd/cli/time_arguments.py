"""Parsing of times on a command line. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime, option: str = "--since") -> datetime:
    """Return the time that ``7d`` (minutes, hours, days, weeks ago) or an ISO 8601 date names, UTC without a zone.

    ``option`` is the option that was typed, for the error's text. Raises typer.BadParameter.
    """
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if ago:
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"`{text}` (use 30m, 24h, 7d, 2w or an ISO 8601 date)", param_hint=option
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
