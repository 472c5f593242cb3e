"""Text for people, on a terminal or in a pipe: what of it came from elsewhere does nothing there.

Invariant: no byte that this module writes moves a cursor, colors, rings, or turns the direction of text,
whoever wrote the text: senders, stores, files' names, messages of libraries. JSON keeps its value, since
there such characters are escapes.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

import typer

from llmledgerd.cli.progress import Interrupted
from llmledgerd.printable import clean, clean_json, one_line

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it: 128 and the signal's number."""


def say(text: str, *, err: bool = False) -> None:
    """Write a line, or lines of our own that others' words stand in."""
    typer.echo(clean(text), err=err)


def say_json(text: str) -> None:
    """Write a line of JSON."""
    typer.echo(clean_json(text))


def run(app: typer.Typer, arguments: list[str] | None = None, name: str | None = None) -> None:
    """Run a command to its exit code; an error in its arguments is one line that quotes them without effect.

    Whatever else is raised leaves, and a traceback of it is as harmless.
    """
    sys.excepthook = _show_traceback
    try:
        code = typer.main.get_command(app).main(arguments, prog_name=name, standalone_mode=False)
    except Interrupted as error:
        say(f"{name}: interrupted; {error}", err=True)
        raise SystemExit(INTERRUPTED) from None
    except typer.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        say("Aborted.", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # none of the command line's own
            raise
        if type(error).__name__ != "NoArgsIsHelpError":  # the help was printed when it was made
            context = getattr(error, "ctx", None)
            command = name if context is None else context.command_path
            say(f"{command}: {one_line(error.format_message())}", err=True)
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    if isinstance(code, int) and code:
        raise SystemExit(code)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(clean("".join(traceback.format_exception(kind, error, trace))))
