"""Parts that both commands share: ``--version``, and panels of commands in ``--help``.

Invariant: help and shell completion list the commands in the order of the panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llmledgerd import __version__


def in_panels(panels: Mapping[str, Sequence[str]]) -> type[TyperGroup]:
    """Return a kind of command group that lists its commands in these panels, in this order.

    Commands in no panel are listed last.
    """

    class Panels(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            commands: dict[str, Any] = {}
            for panel, names in panels.items():
                for name in names:
                    commands[name] = self.commands.pop(name)
                    commands[name].rich_help_panel = panel
            self.commands = commands | dict(self.commands)

        def list_commands(self, ctx: Any) -> list[str]:
            return list(self.commands)

    return Panels


def _show_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{ctx.info_name} {__version__}")
        raise typer.Exit


def with_version(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Callback that gives a command the option ``--version``."""
