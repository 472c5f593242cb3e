"""Options of commands for the declared filters.

Invariant: every filter that ``query.filters`` declares is an option of every command that takes filters,
under the filter's name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from llmledgerd.query.filters import Filter, filters


def with_filters(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each filter of ``kind``; the command receives them as ``narrowed``, by column.

    ``kind`` is ``Narrowing`` or ``CallsNarrowing``. Options stand where the command has ``narrowed``.
    """
    found = filters(kind)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_options(**given: Any) -> None:
            narrowed = {column: given.pop(column) for column in found}
            command(**given, narrowed=narrowed)

        own = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.parameters.items():
            parameters += map(_option, found, found.values()) if name == "narrowed" else [parameter]
        with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
        with_options.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_options

    return decorate


def _option(column: str, one: Filter) -> inspect.Parameter:
    words = [f"--{one.name.replace('_', '-')}", *(["--type"] if column == "call_type" else [])]
    option = typer.Option(*words, help=f"Only {one.meaning}.".replace("`", ""), show_default=False)
    return inspect.Parameter(
        column, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )
