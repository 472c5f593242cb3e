"""``llmledger ui``: the web page, protected by the secret link that it prints."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Annotated

import typer

from llmledgerd.cli.connect import daemon_status, open_reader
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.errors import ConfigError
from llmledgerd.reader import ALL_ORGANIZATIONS, Scope


@with_target
def show_page(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 9465,
    org: Annotated[
        str | None, typer.Option(help="Restrict to one organization (default: all).", show_default=False)
    ] = None,
    refresh: Annotated[
        float, typer.Option(min=0.1, help="Refresh interval of a visible page, in seconds.")
    ] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the link as one JSON object with `url`.")
    ] = False,
    *,
    target: Target,
) -> None:
    """Serve the web page. The printed link contains a secret: anyone who has it can read the data."""
    asyncio.run(
        _serve(host, port, ALL_ORGANIZATIONS if org is None else org, refresh, target, as_json=as_json)
    )


async def _serve(host: str, port: int, only: Scope, refresh: float, target: Target, *, as_json: bool) -> None:
    try:
        from llmledgerd.ui import serving
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page needs the extra `ui` of this distribution ({error.name} is missing)"
        ) from None
    from llmledgerd.ui.queries import PageQueries
    from llmledgerd.ui.shell import Site

    token, key = secrets.token_urlsafe(24), secrets.token_urlsafe(16)
    async with await open_reader(target) as reader:
        opened = serving.bound(host, port)
        await serving.serve(
            opened,
            token,
            key,
            Site(PageQueries(reader, only), lambda: daemon_status(target), refresh),
            lambda: _say_link(serving.link(opened, token, key), as_json),
        )


def _say_link(link: str, as_json: bool) -> None:
    if as_json:
        echo_json(json_line({"url": link}))
    else:
        typer.echo(f"llmledger: open {link}")
    sys.stdout.flush()
