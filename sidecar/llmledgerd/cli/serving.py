"""``llmledgerd serve`` without the library of the command line, which a daemon would hold for its life.

Invariant: arguments that this module takes mean what ``daemon_commands.serve`` makes of them. Any others,
``--help`` and mistakes among them, are left to that command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from llmledgerd.cli.messages import INTERRUPTED, errors_in_one_line, show_traceback
from llmledgerd.config import secrets
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.log import configure, log
from llmledgerd.stores import registry
from llmledgerd.system import folders


class Options(NamedTuple):
    """What was typed behind ``serve``."""

    file: Path | None
    assigned: list[str]
    """Values of ``--set``."""
    flags: dict[str, str | None]


def options(arguments: Sequence[str]) -> Options | None:
    """Return the options of ``serve``; None for arguments that are to be explained, not run."""
    flags: dict[str, str | None] = {f"{name}_url": None for name in registry.KINDS}
    found = Options(None, [], {"socket_path": None, **flags, "spool_dir": None})
    names = {"--socket": "socket_path", "--spool-dir": "spool_dir"}
    names |= {f"--{name.replace('_', '-')}": name for name in flags}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if name == "--set":
            found.assigned.append(value)
        elif name == "--config":
            found = found._replace(file=Path(value))
        elif name in names:
            found.flags[names[name]] = value
        else:
            return None
    return found


def main(arguments: Sequence[str]) -> None:
    """Run the daemon to its exit code; return if the arguments are to be explained."""
    found = options(arguments)
    if found is None:
        return
    folders.keep_private()
    sys.excepthook = show_traceback
    with errors_in_one_line("llmledgerd"):
        try:
            raise SystemExit(serve(*found))
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


def serve(file: Path | None, assigned: Sequence[str], flags: Mapping[str, str | None]) -> int:
    """Run the daemon until SIGTERM and return its exit code. Raises LlmledgerdError."""
    from llmledgerd.daemon.app import serve as run

    def read() -> Config:
        return settings(file, assigned, **flags)

    return run(read(), read)


def settings(file: Path | None, assignments: Sequence[str], **flags: str | None) -> Config:
    """Return the settings in force, and configure the log by them. Raises ConfigError."""
    found, warnings = registry.load(file, flags=flags, assigned=assigned_by(assignments))
    configure(found.log_format, found.log_level)
    for warning in warnings:
        log.warning(warning)
    return found


def assigned_by(assignments: Sequence[str] | None) -> dict[str, str]:
    """Return the values by setting. Raises ConfigError."""
    values = {}
    for assignment in assignments or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {secrets.masked(assignment)}: expected NAME=VALUE")
        values[name.strip().replace("-", "_")] = value
    return values
