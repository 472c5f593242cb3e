"""``llmledgerd health``: what the probes of service managers and containers run."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from llmledgerd.cli.connect import daemon_health
from llmledgerd.cli.messages import echo
from llmledgerd.cli.serving import assigned_by
from llmledgerd.cli.target import Assigned, ConfigFile
from llmledgerd.stores import registry


def health(
    file: ConfigFile = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Check that it can take records, not only that it runs.")
    ] = False,
    settings: Assigned = None,
) -> None:
    """Check the daemon of this host or container; exit code 0 if healthy."""
    chosen, _ = registry.load(file, assigned=assigned_by(settings), with_password=False)
    well, said = asyncio.run(daemon_health(chosen.admin_address, ready=ready))
    echo(said, err=not well)
    raise typer.Exit(0 if well else 1)
