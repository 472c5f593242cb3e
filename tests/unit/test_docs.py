"""What users read agrees with what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    "pattern", ["*.md", "docs/*.md", "client/**/*.*", "sidecar/**/*.py", "examples/**/*.*"]
)
def test_nobody_is_told_to_install_a_name_that_is_not_ours(pattern: str) -> None:
    from_index = re.compile(
        r"(?:pip install|pipx install|uv add|uvx|uv tool install)\b[^\n#`]*?[ '\"]llmtraced?\b"
    )
    told = {
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in ROOT.glob(pattern)
        if path.suffix in (".md", ".py", ".sh", ".toml", ".mjs")
        for found in from_index.finditer(path.read_text())
    }
    assert not told


def test_no_example_puts_a_socket_or_data_where_anybody_may_write() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("client/*.md")]
    commands = "\n".join(
        fence for path in documents for fence in re.findall(r"```.*?```", path.read_text(), re.DOTALL)
    )
    assert "/tmp/" not in commands
