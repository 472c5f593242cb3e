"""Progress of long commands on standard error, and how to go on after Ctrl-C.

Invariant: nothing is shown where standard error is no terminal, and nothing of it is on standard output.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Step = Callable[[int], None]
"""Takes how much of the total is done."""


class Interrupted(Exception):
    """Ctrl-C. The message says what state the command leaves, and how to go on."""


@contextlib.contextmanager
def steps(what: str, total: int | None, *, afterwards: str) -> Iterator[Step]:
    """Show a bar while a command works; ``total`` None is unknown.

    Raises Interrupted for Ctrl-C, with ``afterwards`` as its message.
    """
    try:
        if not sys.stderr.isatty():
            yield lambda done: None
            return
        yield from _shown(what, total)
    except KeyboardInterrupt:
        raise Interrupted(afterwards) from None


def _shown(what: str, total: int | None) -> Iterator[Step]:
    from rich.console import Console  # not needed by those who pipe
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
