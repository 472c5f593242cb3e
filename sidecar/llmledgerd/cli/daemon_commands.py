"""Commands of ``llmledgerd`` about its settings, stores and tokens, and ``serve``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

import llmledgerd
from llmledgerd.admin import auth
from llmledgerd.cli import serving
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.progress import steps
from llmledgerd.cli.store_urls import StoreUrls, with_store_urls
from llmledgerd.cli.target import Assigned, ConfigFile
from llmledgerd.config import exposure, loading, secrets
from llmledgerd.config import settings as config
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.payloads import wiring
from llmledgerd.printable import one_line
from llmledgerd.stores import registry
from llmledgerd.stores.kind import ConfiguredStore

Socket = Annotated[str | None, typer.Option(help="Path of the record socket (LLMLEDGER_SOCKET).")]
SpoolDir = Annotated[str | None, typer.Option(help="Folder of the spool (LLMLEDGER_SPOOL_DIR).")]


@with_store_urls
def serve(
    file: ConfigFile = None,
    socket: Socket = None,
    store_urls: StoreUrls = None,
    spool_dir: SpoolDir = None,
    settings: Assigned = None,
) -> None:
    """Run the daemon until SIGTERM."""
    flags = {"socket_path": socket, **(store_urls or {}), "spool_dir": spool_dir}
    raise typer.Exit(serving.serve(file, settings or [], flags))


@with_store_urls
def migrate(file: ConfigFile = None, store_urls: StoreUrls = None, settings: Assigned = None) -> None:
    """Create or update the tables of each store, and set their TTL."""
    chosen = serving.settings(file, settings or [], **store_urls or {})
    outlets = registry.opened(chosen)
    afterwards = "what was created stays; run the same command to go on"
    with steps("stores", len(outlets), afterwards=afterwards) as on_step:
        for number, outlet in enumerate(outlets, 1):
            with contextlib.closing(outlet):
                for sentence in outlet.migrate() or ["nothing to do"]:
                    echo(f"{outlet.name}: {sentence}")
            on_step(number)


@with_store_urls
def check(
    file: ConfigFile = None,
    socket: Socket = None,
    store_urls: StoreUrls = None,
    spool_dir: SpoolDir = None,
    settings: Assigned = None,
    without_store: Annotated[
        bool,
        typer.Option("--without-store", help="Check the settings only, without connecting to a store."),
    ] = False,
) -> None:
    """Print the settings in force, secrets masked, and test each store."""
    from llmledgerd.daemon import preflight

    chosen = serving.settings(
        file, settings or [], socket_path=socket, **store_urls or {}, spool_dir=spool_dir
    )
    _print(chosen)
    for exposed in exposure.exposed(chosen):
        echo(exposed)
    preflight.validate(chosen)
    if without_store:
        return
    outlets, objects = registry.opened(chosen), wiring.objects(chosen)
    if objects is not None:
        objects.probe()
        typer.echo("payload store: write, read and delete work")
    wrong = [f"{outlet.name}: {what}" for outlet in outlets for what in _wrong_with(outlet)]
    for name in chosen.stores:
        notes, faults = registry.KINDS[name].check_operators_sql(registry.KINDS[name].options(chosen))
        wrong += faults
        for note in notes:
            typer.echo(f"{name}: {note}")
    if wrong:
        raise LlmledgerdError("; ".join(wrong))


def _wrong_with(outlet: ConfiguredStore) -> list[str]:
    """Print a store's version, and return the reasons why it cannot store records."""
    try:
        echo(f"{outlet.name}: {outlet.version()}")
        missing = outlet.missing()
        for sentence in [] if missing else outlet.unsynced():
            typer.echo(f"{outlet.name}: {sentence}")
    except StoreBusy as error:  # the others are still tested
        return [f"{error.kind}: {error}"]
    finally:
        outlet.close()
    if missing and outlet.is_ours:
        echo(f"{outlet.name}: `llmledgerd serve` will create its tables")
        return []
    return missing


def token(
    org: Annotated[
        list[str] | None,
        typer.Option(help="Organization the token gives access to; may be repeated.", show_default=False),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Operator's token: all organizations, SQL and status.")
    ] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Token for `/metrics` only.")] = False,
    name: Annotated[str, typer.Option(help="Name of the token, for the operators' logs.")] = "",
    erase: Annotated[
        bool, typer.Option("--erase", help="Allow erasing the data the token can read.")
    ] = False,
) -> None:
    """Create a bearer token (printed to standard error) and its entry for admin_tokens_file (standard output)."""
    if [bool(org), every, metrics].count(True) != 1:
        raise ConfigError("use --org (may be repeated) or --all, or --metrics")
    made, entry = auth.new(org or [], name, erase=erase, metrics=metrics)
    typer.echo(made, err=True)  # for the user alone; the file must not contain it
    echo_json(entry)


def show_config(
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all settings as Markdown.")
    ] = False,
    file: ConfigFile = None,
    settings: Assigned = None,
) -> None:
    """Print the settings in force, secrets masked, or the reference of all settings."""
    if reference:
        typer.echo(loading.reference(registry.OPTIONS), nl=False)
    else:
        _print(serving.settings(file, settings or []))


def show_files() -> None:
    """Print the folder with systemd's units, Kubernetes manifests, alerts and dashboards of this version."""
    package = Path(llmledgerd.__file__).parent
    echo(
        str(found if (found := package / "files").is_dir() else package.parents[1])
    )  # the latter in a checkout


def _print(chosen: config.Config) -> None:
    for setting, of_setting in chosen.of_settings():
        value = ",".join(of_setting) if setting.name == "stores" else of_setting
        echo(f"{setting.name} = {one_line(secrets.masked(str(value)))}")
