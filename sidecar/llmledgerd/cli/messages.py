"""Output for terminals and pipes, without the effects of foreign control characters.

Invariant: no byte that this module writes moves a cursor, colors text, rings the bell or changes the
direction of text, whether the text comes from senders, stores, file names or libraries. JSON keeps its value,
because such characters are escaped there.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from llmledgerd.cli.progress import Interrupted
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.printable import clean, clean_json, one_line

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it: 128 and the signal's number."""


class Nothing(Exception):
    """The query succeeded without a result."""


def echo(text: str, *, err: bool = False) -> None:
    """Write one or more lines; control characters are escaped."""
    stream = sys.stderr if err else sys.stdout
    stream.write(f"{clean(text)}\n")
    stream.flush()


def echo_json(text: str) -> None:
    """Write a line of JSON."""
    echo(clean_json(text))


@contextlib.contextmanager
def errors_in_one_line(name: str) -> Iterator[None]:
    """Turn errors for operators into one line and an exit code."""
    try:
        yield
    except LlmledgerdError as error:
        echo(f"{name}: {one_line(str(error))}", err=True)
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
    except UnicodeEncodeError:  # its object may be a password
        echo(f"{name}: an argument or a variable of the environment is not UTF-8", err=True)
        raise SystemExit(2) from None


def run(app: typer.Typer, arguments: list[str] | None = None, name: str | None = None) -> None:
    """Run a command to its exit code; an error in its arguments is one line with escaped quotes of them.

    Other exceptions propagate; their traceback is escaped too.
    """
    import typer  # not needed by `serve`, which only writes messages

    sys.excepthook = show_traceback
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


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Hook for exceptions that nothing caught: the traceback, escaped."""
    sys.stderr.write(clean("".join(traceback.format_exception(kind, error, trace))))
