"""The option ``--set NAME=VALUE`` of the daemon's commands."""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.config import secrets
from llmledgerd.errors import ConfigError

Assigned = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override any setting; wins over file and environment. May be repeated.",
    ),
]


def assigned_by(assignments: list[str] | None) -> dict[str, str]:
    """Return the values by setting. Raises ConfigError."""
    values = {}
    for assignment in assignments or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {secrets.masked(assignment)}: expected NAME=VALUE")
        values[name.strip().replace("-", "_")] = value
    return values
