"""Parts that both commands share: ``--version``, and commands that are imported when they are called.

Invariants:
- Help and shell completion list the commands in the order of the panels, and import none of them.
- The text that the list shows for a command is the first paragraph of the command's own help.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from llmledgerd import __version__


class Listed(NamedTuple):
    """One command of a list."""

    name: str
    at: str
    """``module:attribute`` in this package: a function, or a ``typer.Typer`` with commands of its own."""
    help: str
    """What the list shows; the command itself has it too."""


class LazyGroup(TyperGroup):
    """A command group whose commands are stubs with a help text until one is called."""

    panels: Mapping[str, Sequence[Listed]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._listed = {one.name: one for listed in self.panels.values() for one in listed}
        self.commands = {one.name: TyperCommand(one.name, help=one.help) for one in self._listed.values()}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel, listed in self.panels.items():
            with formatter.section(panel):
                formatter.write_dl([(one.name, one.help) for one in listed])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and self.load(str(name)), rest

    def load(self, name: str) -> Any:
        """Import a command and return it."""
        module, _, attribute = self._listed[name].at.partition(":")
        found = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.callback()(lambda: None)  # so that it is a group, whose commands keep their names
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        group: Any = typer.main.get_command(alone)
        return group.commands[name]


def in_panels(panels: Mapping[str, Sequence[Listed]]) -> type[LazyGroup]:
    """Return a kind of command group that lists these commands, in this order."""
    return type("Panels", (LazyGroup,), {"panels": panels})


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
