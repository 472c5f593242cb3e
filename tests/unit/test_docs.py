"""What users read agrees with what there is."""

from __future__ import annotations

from pathlib import Path

import typer.main

from llmtraced import cli, config, people

ROOT = Path(__file__).resolve().parents[2]


def commands(app: typer.Typer) -> set[str]:
    group = typer.main.get_command(app)
    return set(getattr(group, "commands", {}))


def test_the_settings_reference_is_the_one_that_the_code_prints() -> None:
    assert (ROOT / "docs" / "settings.md").read_text().endswith(config.reference())


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, app in (("llmtraced", cli.app), ("llmtrace", people.app)):
        missing = [command for command in commands(app) if f"{name} {command}" not in readme]
        assert not missing, f"README.md does not mention {name} {missing}"
