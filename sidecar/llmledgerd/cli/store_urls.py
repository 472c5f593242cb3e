"""The URLs of the stores as options of a command.

Invariant: every kind of store in the registry has an option ``--<name>-url`` in every such command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from llmledgerd.config.loading import PREFIX
from llmledgerd.stores import registry

StoreUrls = Mapping[str, str | None] | None
"""Values of the options, by the plain name of the setting."""


def with_store_urls(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command receives their values as ``store_urls``, and they stand in its place."""
    names = {f"{name}_url": kind for name, kind in registry.KINDS.items()}

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        urls = {name: given.pop(name, None) for name in names}
        command(**given, store_urls=urls)

    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        options = [_option(plain, kind.title) for plain, kind in names.items()]
        parameters += options if name == "store_urls" else [parameter]
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def _option(plain: str, title: str) -> inspect.Parameter:
    option = typer.Option(help=f"URL of the {title} store ({PREFIX}{plain.upper()}).")
    return inspect.Parameter(
        plain, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[str | None, option]
    )
