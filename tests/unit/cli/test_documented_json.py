"""The names in the JSON of commands are those that docs/commands.md calls stable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from llmledgerd.cli.app import app
from llmledgerd.cli.command_groups import LazyGroup
from llmledgerd.cli.doctor import Finding
from llmledgerd.cli.erase import REPORTED
from llmledgerd.cli.import_records import Imported
from llmledgerd.cli.prices import Shown
from llmledgerd.payloads.cleaning import Cleaned
from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses
from llmledgerd.query.repricing import ModelChange, Repriced
from llmledgerd.query.results import (
    Run,
    RunSteps,
    Unpriced,
    Usage,
)
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.stores.copy import Copied

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
ROWS = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("`runs`", Run.__struct_fields__),
        ("`run`", RunSteps.__struct_fields__),
        ("`usage`", Usage.__struct_fields__),
        ("`tools`", Tool.__struct_fields__),
        ("`tools --calls`", ToolCall.__struct_fields__),
        ("`retries`", Retries.__struct_fields__),
        ("`retries --calls`", RetriedCall.__struct_fields__),
        ("`cache`", CacheMisses.__struct_fields__),
        ("`cache --calls`", CacheMiss.__struct_fields__),
        ("`anatomy`", Anatomy.__struct_fields__),
        ("`prices`", Shown.__struct_fields__),
        ("`prices --unpriced`", Unpriced.__struct_fields__),
        ("`reprice`", (*Repriced.__struct_fields__, *ModelChange.__struct_fields__)),
        ("`doctor`", Finding.__struct_fields__),
        ("`dead-letters list`, `show`", DeadLetter.__struct_fields__),
        ("`import`", (*Imported.__struct_fields__, "sources", "dry_run")),
        ("`copy`", (*Copied.__struct_fields__, "from", "to")),
        ("`erase` (with `--yes`)", REPORTED),
        ("`objects clean`", (*Cleaned.__struct_fields__, "deleted")),
    ],
)
def test_the_names_of_a_command_s_json_are_documented(row: str, names: tuple[str, ...]) -> None:
    last = ROWS[row].split("|")[3]
    assert re.findall(r"`(\w+)`", last) == list(names)


def test_every_command_with_json_is_documented() -> None:
    documented = set(re.findall(r"[a-z-]+", " ".join(ROWS)))
    assert {name for name, one in _commands(typer.main.get_command(app)) if _has_json(one)} <= documented


def _commands(group: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, listed in group.commands.items():
        one = group.load(name) if isinstance(group, LazyGroup) else listed
        found += _commands(one) if hasattr(one, "commands") else [(name, one)]
    return found


def _has_json(command: Any) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)
