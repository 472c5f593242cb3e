"""``llmledger dead-letters``: list, show, replay, purge.

Invariant: only selected or successfully replayed dead letters are deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from llmledgerd.cli import output, tables
from llmledgerd.cli.calls import chosen as one_of
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.target import ConfigFile
from llmledgerd.cli.text_cells import json_line
from llmledgerd.errors import LlmledgerdError
from llmledgerd.importing.dead_letters import replay as send_again
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.stores import registry
from llmledgerd.system.permissions import refusal

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Inspect, replay and delete dead letters: lines that could not be stored as rows.",
)

SpoolDir = Annotated[
    Path | None, typer.Option(help="Folder of the spool (default: LLMLEDGER_SPOOL_DIR).", show_default=False)
]
Reason = Annotated[str | None, typer.Option(help="Only dead letters with this reason.", show_default=False)]
Ids = Annotated[list[str] | None, typer.Argument(help="IDs as printed by `list`.", show_default=False)]
Every = Annotated[bool, typer.Option("--all", help="All dead letters, or all with --reason.")]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("list")
def show_list(
    reason: Reason = None,
    spool_dir: SpoolDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    file: ConfigFile = None,
) -> None:
    """List dead letters, oldest first."""
    letters = _letters(_folder(spool_dir, file), reason)
    if as_json:
        for letter in letters:
            echo_json(json_line(msgspec.structs.asdict(letter)))
        return
    tables.show(output.console(), tables.letters_columns(letters))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="ID of the dead letter, or the beginning of it.")],  # noqa: A002 - the word in the help
    spool_dir: SpoolDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
    file: ConfigFile = None,
) -> None:
    """Print one dead letter with its bytes."""
    (letter,) = _chosen(list(dead_letters.read(_folder(spool_dir, file))), [id], False)
    said = json_line(msgspec.structs.asdict(letter))
    echo_json(said if as_json else msgspec.json.format(said, indent=2))


@app.command()
def replay(
    ids: Ids = None,
    every: Every = False,
    reason: Reason = None,
    spool_dir: SpoolDir = None,
    socket: Annotated[
        Path | None,
        typer.Option(help="Path of the record socket (default: LLMLEDGER_SOCKET).", show_default=False),
    ] = None,
    as_json: AsJson = False,
    file: ConfigFile = None,
) -> None:
    """Send dead letters to the daemon again, once their cause is fixed. A letter that was stored already is not stored twice."""
    folder = _folder(spool_dir, file)
    with dead_letters.alone(folder):
        chosen = _chosen(_letters(folder, reason), ids, every or reason is not None)
        done = send_again(socket or Path(registry.load(file, with_password=False)[0].socket_path), chosen)
        dead_letters.remove(folder, set(done.sent))
    if as_json:
        echo_json(json_line({"sent": len(done.sent), "truncated": len(done.cut)}))
        return
    typer.echo(f"{len(done.sent)} sent again")
    if done.cut:
        typer.echo(f"{len(done.cut)} not sent: they exceeded max_line_bytes and are truncated")


@app.command()
def purge(
    ids: Ids = None,
    every: Every = False,
    reason: Reason = None,
    spool_dir: SpoolDir = None,
    as_json: AsJson = False,
    file: ConfigFile = None,
) -> None:
    """Delete dead letters."""
    folder = _folder(spool_dir, file)
    chosen = _chosen(_letters(folder, reason), ids, every or reason is not None)
    deleted = dead_letters.remove(folder, {letter.id for letter in chosen})
    if as_json:
        echo_json(json_line({"deleted": deleted}))
    else:
        typer.echo(f"{deleted} deleted")


def _folder(given: Path | None, file: Path | None) -> Path:
    folder = given or Path(registry.load(file, with_password=False)[0].spool_dir)
    refused = refusal(str(folder))
    if refused:
        raise LlmledgerdError(refused)
    if not folder.is_dir():
        raise LlmledgerdError(f"{folder}: no spool; use --spool-dir, or --config with the daemon's settings")
    return folder


def _letters(folder: Path, reason: str | None) -> list[DeadLetter]:
    return [letter for letter in dead_letters.read(folder) if reason in (None, letter.reason)]


def _chosen(letters: list[DeadLetter], ids: list[str] | None, every: bool) -> list[DeadLetter]:
    if not ids and not every:
        raise LlmledgerdError("missing selection (use ids, --reason or --all)")
    known = [letter.id for letter in letters]
    wanted = set()
    for given in ids or known:
        whole = given if every else one_of(given, known, "dead letter")
        if whole is None:
            raise LlmledgerdError(f"there is no dead letter {given}")
        wanted.add(whole)
    return [letter for letter in letters if letter.id in wanted]
