"""``llmledgerd``: the daemon's command.

Invariant: an error in the settings is one line that names the setting, with exit code 2.
"""

from __future__ import annotations

from typing import Final

import typer

from llmledgerd.cli.command_groups import Listed, in_panels, with_version
from llmledgerd.cli.messages import errors_in_one_line
from llmledgerd.cli.messages import run as run_command
from llmledgerd.system import folders

PANELS: Final = {
    "Operate": (
        Listed("serve", "daemon_commands:serve", "Run the daemon until SIGTERM."),
        Listed(
            "health", "health:health", "Check the daemon of this host or container; exit code 0 if healthy."
        ),
    ),
    "Maintain": (
        Listed(
            "check",
            "daemon_commands:check",
            "Print the settings in force, secrets masked, and test each store.",
        ),
        Listed(
            "config",
            "daemon_commands:show_config",
            "Print the settings in force, secrets masked, or the reference of all settings.",
        ),
        Listed(
            "migrate",
            "daemon_commands:migrate",
            "Create or update the tables of each store, and set their TTL.",
        ),
        Listed(
            "token",
            "daemon_commands:token",
            "Create a bearer token (printed to standard error) and its entry for admin_tokens_file (standard output).",
        ),
        Listed(
            "files",
            "daemon_commands:show_files",
            "Print the folder with systemd's units, Kubernetes manifests, alerts and dashboards of this version.",
        ),
    ),
}
"""What the command can do. A command is imported when it is called."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes longer to import than all the rest
    cls=in_panels(PANELS),
    pretty_exceptions_enable=False,  # its tracebacks print local variables, passwords among them
    help="The llmledger daemon: stores every LLM call exactly once in ClickHouse.",
)
app.callback()(with_version)


def main() -> None:
    """Run the command, and turn errors for operators into one line."""
    folders.keep_private()
    with errors_in_one_line("llmledgerd"):
        run_command(app, name="llmledgerd")


if __name__ == "__main__":
    main()
