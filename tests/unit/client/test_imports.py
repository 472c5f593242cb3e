"""Modules are hooked after their import, as long as they are watched."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llmledger.imports import Watch

NAME = "llmledger_watched_module"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    (tmp_path / f"{NAME}_broken.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield tmp_path
    assert sys.meta_path == before
    for name in (NAME, f"{NAME}_broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("folder")
def test_a_module_is_hooked_after_its_execution() -> None:
    seen: list[tuple[str, int]] = []

    def hook(name: str, module: ModuleType) -> None:
        seen.append((name, module.value))
        raise RuntimeError("the application's import succeeds all the same")

    watch = Watch({NAME}, hook)
    watch.start()
    module = importlib.import_module(NAME)
    watch.stop()
    watch.stop()
    assert seen == [(NAME, 1)]
    assert type(module.__loader__).__name__ == "SourceFileLoader"


@pytest.mark.usefixtures("folder")
def test_a_module_that_fails_and_one_that_is_watched_no_more_are_not_hooked() -> None:
    seen: list[str] = []
    watch = Watch({NAME, f"{NAME}_broken"}, lambda name, _: seen.append(name))
    watch.start()
    with pytest.raises(RuntimeError):
        importlib.import_module(f"{NAME}_broken")
    watch.stop()
    importlib.import_module(NAME)
    assert seen == []
