"""What senders say is shown, and does nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from llmledgerd.cli import tables
from llmledgerd.cli.dead_letters import app
from llmledgerd.query.results import Table as Rows
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter

HOSTILE = [
    "\x1b[2Jgone",
    "\x9b2J",
    "a\nacme  forged row",
    "\u202edesrever",
    "[red]x[/red]",
    "[/]",
    "\x00\x07\r\x08",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_one_line_of_plain_text(text: str) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=100, color_system="truecolor", force_terminal=True)
    tables.show(console, tables.rows_columns(Rows(["X"], [[text]], more=False)))
    said = shown.getvalue().splitlines()[1]
    assert len(shown.getvalue().splitlines()) == 2
    assert not set(said) & set("\x1b\x9b\x00\x07\r\x08\u202e")
    assert "[" not in text or text.strip("\x1b\x9b") in said.replace("\ufffd", ""), "markup is text"


def test_dead_letters_are_listed_as_plain_text_and_kept_for_their_owner(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    letter = DeadLetter(
        id="b:0", reason="bad", detail="".join(HOSTILE), received_us=0, size=1, service="\x1b[2J"
    )
    dead_letters.write(tmp_path, "b", [letter])
    result = CliRunner().invoke(app, ["list", "--spool-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert not set(result.stdout) & set("\x1b\x9b\x00\x07\r\x08\u202e")
    assert len(result.stdout.splitlines()) == 2
    folder = tmp_path / "dead-letters"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "b.ndjson").stat().st_mode & 0o077 == 0
