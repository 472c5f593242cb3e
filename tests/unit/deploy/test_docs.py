"""What users read agrees with what there is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from aiohttp import web

from llmledgerd.admin.api import Api
from llmledgerd.admin.endpoints import Endpoints
from llmledgerd.admin.health import Health
from llmledgerd.cli import app as people
from llmledgerd.cli import daemon
from llmledgerd.cli.command_groups import LazyGroup
from llmledgerd.config import loading
from llmledgerd.stores import registry
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status
from tests.helpers.config import config as configured

ROOT = Path(__file__).resolve().parents[3]


def commands(app: typer.Typer) -> set[str]:
    group = typer.main.get_command(app)
    return set(getattr(group, "commands", {}))


def test_the_settings_reference_is_the_one_that_the_code_prints() -> None:
    assert (ROOT / "docs" / "settings.md").read_text().endswith(loading.reference(registry.OPTIONS))


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, app in (("llmledgerd", daemon.app), ("llmledger", people.app)):
        missing = [command for command in commands(app) if f"{name} {command}" not in readme]
        assert not missing, f"README.md does not mention {name} {missing}"


@pytest.mark.parametrize(
    "pattern", ["*.md", "docs/*.md", "client/**/*.*", "sidecar/**/*.py", "examples/**/*.*"]
)
def test_nobody_is_told_to_install_a_name_that_is_not_ours(pattern: str) -> None:
    from_index = re.compile(
        r"(?:pip install|pipx install|uv add|uvx|uv tool install)\b[^\n#`]*?[ '\"]llmledgerd?\b"
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


def every_command(name: str, command: object) -> Iterator[str]:
    for word, listed in getattr(command, "commands", {}).items():
        one = command.load(word) if isinstance(command, LazyGroup) else listed
        if hasattr(one, "commands"):
            yield from every_command(f"{name} {word}", one)
        else:
            yield f"{name} {word}"


async def status() -> Status:
    raise NotImplementedError


def every_route() -> Iterator[str]:
    app = web.Application()
    api = Api(configured(), status, None, Metrics({}))
    Endpoints(Health(status, Metrics({}), None), api).add_to(app)
    for route in app.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield f"{route.method} {route.resource.canonical}"


def test_security_md_says_of_every_route_and_command_what_it_changes_and_who_may() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    start = text.index("## What changes or removes anything")
    changing, _, reading = text[start:].partition("| what | only reads |")
    said = [
        re.findall(r"`((?:[A-Z]+ /|llmledgerd? )[^`]*)`", part)
        for part in (changing, reading.partition("\n\n")[0])
    ]
    there = [
        *every_route(),
        *every_command("llmledgerd", typer.main.get_command(daemon.app)),
        *every_command("llmledger", typer.main.get_command(people.app)),
    ]

    rows = [line for line in changing.splitlines() if line.startswith("| `")]
    assert sorted([*said[0], *said[1]]) == sorted(there)
    assert all(len(line.strip("| ").split(" | ")) == 3 for line in rows), "each says what, and who may"
    methods = {one.partition(" ")[0] for one in said[1] if not one.startswith("llmledger")}
    assert methods <= {"GET", "POST"}
    assert [one for one in said[1] if one.startswith("POST")] == ["POST /v1/sql"]


DESIGN = (ROOT / "DESIGN.md").read_text()


def test_every_file_that_design_md_names_is_there() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)*\w+\.py)`", DESIGN))
    missing = {
        name
        for name in named
        if not any((root / name).is_file() for root in (ROOT, ROOT / "sidecar/llmledgerd"))
    }
    assert len(named) > 20
    assert not missing


def test_design_md_has_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (shown,) = re.findall(r"```\n(cli > .*?)```", DESIGN, flags=re.DOTALL)
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert shown.split() == " > ".join(layers).split()


def test_every_test_that_design_md_names_is_there() -> None:
    invariants = re.split(r"^\d+\. \*\*", DESIGN[DESIGN.index("## Invariants") :], flags=re.MULTILINE)[1:]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    held_by = [re.findall(r"`(test_\w+)`", invariant) for invariant in invariants]
    assert len(invariants) >= 16
    assert all(held_by)
    assert not [name for names in held_by for name in names if f"def {name}(" not in tests]


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [
        ROOT / name for name in ("README.md", "DESIGN.md", "SECURITY.md", "CHANGELOG.md", "client/README.md")
    ]
    documents += (ROOT / "docs").rglob("*.md")
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path in documents
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / link).exists()
    ]
    assert not broken
