"""What a command asks: the options ``--url``, ``--token`` and ``--config``, the same for every command.

Invariant: a command that takes a ``Target`` has all three options.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from llmledgerd.config.settings import Config
from llmledgerd.stores import registry

VARIABLE: Final = "LLMLEDGER_TOKEN"
"""The variable that holds a token for a daemon's TCP address."""


class Target(msgspec.Struct, frozen=True):
    """What was typed, or nothing."""

    url: str | None = None
    """Address of a daemon, or URL of a store."""
    typed_token: str = ""
    file: Path | None = None
    """The file of settings."""

    @property
    def token(self) -> str:
        """Return the token that was typed, else that of the environment."""
        return self.typed_token or os.environ.get(VARIABLE, "")

    def settings(self, *, with_password: bool = True) -> Config:
        """Return the settings of this host. Raises ConfigError."""
        return registry.load(self.file, with_password=with_password)[0]


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Address of a daemon (unix:/path, host:port, http://host:port), or URL of a store (default: this"
        " host's daemon, else the first of `stores`).",
        show_default=False,
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token", help=f"Token for a daemon's TCP address (default: {VARIABLE}).", show_default=False
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Path of a TOML file (default: /etc/llmledgerd/llmledgerd.toml if it exists)."
    ),
]

Assigned = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override any setting; wins over file and environment. May be repeated.",
    ),
]


def with_target(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``target`` of a command by the three options."""

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        target = Target(given.pop("url"), given.pop("token"), given.pop("file"))
        command(**given, target=target)

    own = inspect.signature(command, eval_str=True)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in (("url", Url, None), ("token", Token, ""), ("file", ConfigFile, None))
    ]
    others = [one for name, one in own.parameters.items() if name != "target"]
    with_options.__signature__ = own.replace(parameters=[*others, *options])  # type: ignore[attr-defined]  # what typer reads
    with_options.__annotations__ = {one.name: one.annotation for one in [*others, *options]}
    return with_options
