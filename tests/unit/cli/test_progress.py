"""Progress is for terminals, and Ctrl-C says how to go on."""

from __future__ import annotations

import pytest
import typer

from llmledgerd.cli.messages import INTERRUPTED, run
from llmledgerd.cli.progress import steps


def test_nothing_is_shown_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with steps("calls", 10, afterwards="") as on_step:
        on_step(10)
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_shown_on_a_terminal_and_not_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with steps("calls", 10, afterwards="") as on_step:
        on_step(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert "10/10" in err


def test_an_interrupted_command_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def work() -> None:
        with steps("calls", 10, afterwards="what was copied stays; run it again"):
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run(app, [], "llmledger")
    assert end.value.code == INTERRUPTED
    assert capsys.readouterr().err == "llmledger: interrupted; what was copied stays; run it again\n"


def test_an_interrupt_elsewhere_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run(app, [], "llmledger")
    assert end.value.code == INTERRUPTED
    assert capsys.readouterr().err.strip() == ""
