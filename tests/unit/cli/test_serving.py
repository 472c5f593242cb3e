"""``serve`` takes its plain arguments without the command line's library, and means the same by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main

from llmledgerd.cli import daemon, serving
from llmledgerd.stores import registry


def of_command() -> dict[str, str]:
    """Return the options of the command: the option by the parameter's name."""
    group: Any = typer.main.get_command(daemon.app)
    return {one.name: one.opts[0] for one in group.load("serve").params if one.name != "help"}


def test_every_option_of_the_command_is_taken() -> None:
    for parameter, option in of_command().items():
        for arguments in ([option, "a=b"], [f"{option}=a=b"]):
            found = serving.options(arguments)
            assert found is not None, option
            given = {
                "file": found.file and str(found.file),
                "settings": "".join(found.assigned),
                **found.flags,
            }
            given["socket"] = given.pop("socket_path")
            assert {name: value for name, value in given.items() if value} == {parameter: "a=b"}


def test_the_flags_are_those_that_the_command_hands_over() -> None:
    found = serving.options([])
    assert found == serving.Options(
        None, [], {"socket_path": None, **{f"{kind}_url": None for kind in registry.KINDS}, "spool_dir": None}
    )


def test_settings_add_up_and_of_others_the_last_wins() -> None:
    found = serving.options(["--set", "a=1", "--socket", "x", "--config=f", "--set=b=2", "--socket", "y"])
    assert found is not None
    assert (found.assigned, found.flags["socket_path"], found.file) == (["a=1", "b=2"], "y", Path("f"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--sokcet", "x"], ["x"], ["--socket"], ["-h"], ["--", "--socket", "x"]]
)
def test_what_is_to_be_explained_is_left_to_the_command(arguments: list[str]) -> None:
    assert serving.options(arguments) is None
