"""What ``llmledger-run`` executes, with which environment, and which settings it takes from there."""

from __future__ import annotations

import os
import sys

import pytest

from llmledger import auto, run


@pytest.mark.parametrize(
    ("arguments", "is_python"),
    [
        (["app.py", "--port", "1"], True),
        (["-m", "uvicorn"], True),
        (["-c", "1"], True),
        (["gunicorn", "a:b"], False),
    ],
)
def test_scripts_and_modules_run_by_this_python(arguments: list[str], is_python: bool) -> None:
    assert run.command(arguments) == ([sys.executable, *arguments] if is_python else arguments)


def test_the_environment_is_kept_and_the_folder_comes_first() -> None:
    once = run.environment({"PYTHONPATH": "/a", "HOME": "/h"})
    assert once == {
        "PYTHONPATH": f"{run.FOLDER}{os.pathsep}/a",
        "HOME": "/h",
        "LLMLEDGER_INSTRUMENT": "1",
    }
    assert run.environment(once) == once


def test_hosts_may_name_their_provider() -> None:
    assert auto.hosts("gateway.internal, localhost:4000=litellm,,") == {
        "gateway.internal": "",
        "localhost:4000": "litellm",
    }
    assert auto.hosts("") == {}


@pytest.mark.parametrize(("value", "is_wanted"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_it_is_wanted_by_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, value: str, is_wanted: bool
) -> None:
    monkeypatch.setenv("LLMLEDGER_INSTRUMENT", value)
    assert auto.is_wanted() is is_wanted
