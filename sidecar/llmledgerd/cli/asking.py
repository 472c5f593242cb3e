"""What commands that query have in common: whom they ask, for whom, and of which time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from llmledgerd.cli.connect import open_reader
from llmledgerd.cli.target import Target
from llmledgerd.cli.time_arguments import moment
from llmledgerd.query.requests import MAX_LIMIT
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader, Scope

T = TypeVar("T")


def option(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, show_default=False, **more)


Org = Annotated[str | None, option("Restrict to one organization (default: all).")]
Since = Annotated[str | None, option("Start of the time range: 30m, 24h, 7d or 2w ago, or an ISO 8601 date.")]
Until = Annotated[str | None, option("End of the time range, exclusive. Same formats as --since.")]
Limit = Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="Maximum number of rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def times(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the range that two options name. Raises typer.BadParameter."""
    now = datetime.now(UTC)
    return (
        None if since is None else moment(since, now, "--since"),
        None if until is None else moment(until, now, "--until"),
    )


def scope(org: str | None) -> Scope:
    """Return whose calls are meant; without an organization everybody's."""
    return ALL_ORGANIZATIONS if org is None else org


def ask(target: Target, question: Callable[[LLMTraceReader], Awaitable[T]]) -> T:
    """Return the answer of the daemon or the store that the options or the settings name."""

    async def answer() -> T:
        async with await open_reader(target) as reader:
            return await question(reader)

    return asyncio.run(answer())
