"""``llmledger-run COMMAND…``: run a program, and record its LLM calls without a change to it.

Invariant: the program is executed in place of this process, with its own arguments, streams and signals; only
``PYTHONPATH`` and ``LLMLEDGER_INSTRUMENT`` differ, which its child processes inherit.

>>> # llmledger-run app.py --port 8000
>>> # llmledger-run -m uvicorn app:app
>>> # llmledger-run gunicorn app:app
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

FOLDER: Final = str(Path(__file__).parent / "run_path")
"""Folder with a ``sitecustomize``, which Python imports at its start."""


def command(arguments: list[str]) -> list[str]:
    """Return the command to execute: a script or ``-m MODULE`` by this Python, anything else as it is."""
    first = arguments[0]
    is_python = first.endswith((".py", ".pyc", ".pyz")) or first.startswith("-")
    return [sys.executable, *arguments] if is_python else arguments


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the command."""
    paths = [FOLDER, *filter(None, given.get("PYTHONPATH", "").split(os.pathsep))]
    return {**given, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "LLMLEDGER_INSTRUMENT": "1"}


def main() -> NoReturn:
    """Execute the command of the arguments."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit("usage: llmledger-run (SCRIPT.py | -m MODULE | COMMAND) [ARGUMENT…]")
    run = command(arguments)
    try:
        os.execvpe(run[0], run, environment(os.environ))  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"llmledger-run: {run[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
