"""``llmledger import``: records from files, through the daemon's socket like any sender's.

Invariant: imported lines are treated like any sender's, exactly once included. An interrupted import
continues when it is run again; a complete one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from llmledger.protocol import MAX_LINE_BYTES
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.progress import Interrupted
from llmledgerd.cli.target import ConfigFile
from llmledgerd.cli.text_cells import json_line
from llmledgerd.importing.files import Line, Source, lines, sources
from llmledgerd.importing.session import Resending
from llmledgerd.printable import one_line
from llmledgerd.stores import registry

SEND_BYTES = 4 << 20
"""Bytes sent before waiting for an acknowledgment: one group of the daemon's spool."""


class Imported(msgspec.Struct):
    """Result of an import."""

    sent: int = 0
    known: int = 0
    """Records that the daemon had from an interrupted import."""
    faults: int = 0
    rejected: int = 0


class Import:
    """One run over some sources."""

    def __init__(self, socket_path: Path | None, progress: Progress) -> None:
        """``socket_path`` None sends nothing."""
        self._socket_path = socket_path
        self._progress = progress
        self.done = Imported()

    def run(self, found: list[Source]) -> None:
        """Send the records. Raises LlmledgerdError if the daemon refuses them."""
        total = sum(source.size for source in found)
        bar = self._progress.add_task("", total=total)
        before = 0
        for source in found:
            self._progress.update(bar, description=one_line(source.name))
            for line in self._each(source):
                self._progress.update(bar, completed=before + line.done)
            before += source.size
        self._progress.update(bar, completed=total)

    def _each(self, source: Source) -> Iterator[Line]:
        if self._socket_path is None:
            for line in self._good(source, MAX_LINE_BYTES):
                self.done.sent += 1
                yield line
            return
        with Resending(self._socket_path, source.session, client="llmledger-import") as session:
            yield from self._send(source, session)
            self.done.rejected += session.rejected

    def _send(self, source: Source, session: Resending) -> Iterator[Line]:
        waiting: list[bytes] = []
        size = number = 0
        for number, line in enumerate(self._good(source, session.max_line_bytes or MAX_LINE_BYTES), 1):
            if number <= session.known:
                self.done.known += 1
                continue
            waiting.append(line.body)
            size += len(line.body)
            if size >= SEND_BYTES:
                session.send(waiting)
                self.done.sent += len(waiting)
                waiting, size = [], 0
                yield line
        session.send(waiting)
        self.done.sent += len(waiting)
        if number >= session.known:  # otherwise it had ended before
            session.end(number)

    def _good(self, source: Source, limit: int) -> Iterator[Line]:
        for line in lines(source, limit):
            if not line.fault:
                yield line
                continue
            self.done.faults += 1
            self._progress.console.print(
                one_line(f"{line.place}: {line.fault}"), markup=False, highlight=False, soft_wrap=True
            )


def import_records(
    paths: Annotated[
        list[Path], typer.Argument(help="NDJSON files, or folders with them or with *.json.gz.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count only; send nothing.")] = False,
    socket: Annotated[
        Path | None,
        typer.Option(help="Path of the record socket (default: LLMLEDGER_SOCKET).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    file: ConfigFile = None,
) -> None:
    """Import records from files: protocol versions 1 to 4, one record per line or per file."""
    found = sources(paths)
    target = None if dry_run else socket or Path(registry.load(file, with_password=False)[0].socket_path)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        run = Import(target, progress)
        try:
            run.run(found)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{run.done.sent:,} records were sent and are durable; run the same command to go on"
            ) from None
    if as_json:
        echo_json(json_line({**msgspec.structs.asdict(run.done), "sources": len(found), "dry_run": dry_run}))
    else:
        typer.echo(_summary(run.done, len(found), dry_run))
    if run.done.faults or run.done.rejected:
        raise typer.Exit(1)


def _summary(done: Imported, count: int, dry_run: bool) -> str:
    said = [
        f"{done.sent:,} records {'could be sent' if dry_run else 'sent'} from {count:,} files and folders"
    ]
    if done.known:
        said.append(f"{done.known:,} already present")
    if done.faults:
        said.append(f"{done.faults:,} invalid")
    if done.rejected:
        said.append(f"{done.rejected:,} refused: see `llmledger dead-letters`")
    return ", ".join(said)
