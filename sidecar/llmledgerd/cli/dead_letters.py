"""``llmledger dead-letters``: list, show, replay, purge.

Invariant: only selected or successfully replayed dead letters are deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from llmledgerd.cli import output
from llmledgerd.cli.messages import echo_json
from llmledgerd.errors import LlmledgerdError
from llmledgerd.importing.dead_letters import replay as send_again
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.stores import registry

app = typer.Typer(
    no_args_is_help=True,
    help="Inspect, replay and delete dead letters: lines that could not be stored as rows.",
)

SpoolDir = Annotated[
    Path | None, typer.Option(help="Folder of the spool (default: LLMLEDGER_SPOOL_DIR).", show_default=False)
]
Reason = Annotated[str | None, typer.Option(help="Only dead letters with this reason.", show_default=False)]
Ids = Annotated[list[str] | None, typer.Argument(help="IDs as printed by `list`.", show_default=False)]
Every = Annotated[bool, typer.Option("--all", help="All dead letters, or all with --reason.")]


@app.command("list")
def show_list(
    reason: Reason = None,
    spool_dir: SpoolDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List dead letters, oldest first."""
    letters = _letters(_folder(spool_dir), reason)
    if as_json:
        for letter in letters:
            echo_json(msgspec.json.encode(letter).decode())
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("RECEIVED", "ID", "REASON", "BYTES", "SERVICE", "DETAIL"):
        table.add_column(heading, no_wrap=heading != "DETAIL")
    for letter in letters:
        received = datetime.fromtimestamp(letter.received_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            *output.texts(received, letter.id, letter.reason, str(letter.size), letter.service, letter.detail)
        )
    output.console().print(table)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="ID of the dead letter.")],  # noqa: A002 - the word in the help
    spool_dir: SpoolDir = None,
) -> None:
    """Print one dead letter with its bytes."""
    letter = next((letter for letter in dead_letters.read(_folder(spool_dir)) if letter.id == id), None)
    if letter is None:
        raise LlmledgerdError(f"there is no dead letter {id}")
    echo_json(msgspec.json.format(msgspec.json.encode(letter), indent=2).decode())


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
) -> None:
    """Send dead letters to the daemon again, once their cause is fixed. A letter that was stored already is not stored twice."""
    folder = _folder(spool_dir)
    with dead_letters.alone(folder):
        chosen = _chosen(_letters(folder, reason), ids, every or reason is not None)
        done = send_again(socket or Path(registry.load()[0].socket_path), chosen)
        dead_letters.remove(folder, set(done.sent))
    typer.echo(f"{len(done.sent)} sent again")
    if done.cut:
        typer.echo(f"{len(done.cut)} not sent: they exceeded max_line_bytes and are truncated")


@app.command()
def purge(ids: Ids = None, every: Every = False, reason: Reason = None, spool_dir: SpoolDir = None) -> None:
    """Delete dead letters."""
    folder = _folder(spool_dir)
    chosen = _chosen(_letters(folder, reason), ids, every or reason is not None)
    typer.echo(f"{dead_letters.remove(folder, {letter.id for letter in chosen})} deleted")


def _folder(given: Path | None) -> Path:
    folder = given or Path(registry.load()[0].spool_dir)
    if not folder.is_dir():
        raise LlmledgerdError(f"{folder}: no spool; use --spool-dir")
    return folder


def _letters(folder: Path, reason: str | None) -> list[DeadLetter]:
    return [letter for letter in dead_letters.read(folder) if reason in (None, letter.reason)]


def _chosen(letters: list[DeadLetter], ids: list[str] | None, every: bool) -> list[DeadLetter]:
    if not ids and not every:
        raise LlmledgerdError("missing selection (use ids, --reason or --all)")
    known = {letter.id for letter in letters}
    unknown = [name for name in ids or [] if name not in known]
    if unknown:
        raise LlmledgerdError(f"there is no dead letter {unknown[0]}")
    return [letter for letter in letters if not ids or letter.id in ids]
