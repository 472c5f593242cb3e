"""Output for terminals and pipes, without the effects of foreign control characters.

Invariant: no byte that this module writes moves a cursor, colors text, rings the bell or changes the
direction of text, whether the text comes from senders, stores, file names or libraries. JSON keeps its value,
because such characters are escaped there.
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


class Nothing(Exception):
    """The query succeeded without a result."""


def echo(text: str, *, err: bool = False) -> None:
    """Write one or more lines; control characters are escaped."""
    typer.echo(clean(text), err=err)


def echo_json(text: str) -> None:
    """Write a line of JSON."""
    typer.echo(clean_json(text))


def run(app: typer.Typer, arguments: list[str] | None = None, name: str | None = None) -> None:
    """Run a command to its exit code; an error in its arguments is one line with escaped quotes of them.

    Other exceptions propagate; their traceback is escaped too.
    """
    sys.excepthook = _show_traceback
    try:
        code = typer.main.get_command(app).main(arguments, prog_name=name, standalone_mode=False)
    except Interrupted as error:
        echo(f"{name}: interrupted; {error}", err=True)
        raise SystemExit(INTERRUPTED) from None
    except typer.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        echo("Aborted.", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # none of the command line's own
            raise
        if type(error).__name__ != "NoArgsIsHelpError":  # the help was printed when it was made
            context = getattr(error, "ctx", None)
            command = name if context is None else context.command_path
            echo(f"{command}: {one_line(error.format_message())}", err=True)
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    if isinstance(code, int) and code:
        raise SystemExit(code)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(clean("".join(traceback.format_exception(kind, error, trace))))
