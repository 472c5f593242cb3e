"""Test folders mirror packages, and the helpers' index is complete."""

from __future__ import annotations

from pathlib import Path

from tests import helpers
from tests.helpers.daemon import ROOT

BESIDE_PACKAGES = {"across", "bench", "chaos", "client", "deploy"}


def folders(root: Path) -> set[str]:
    return {str(found.parent.relative_to(root)) for found in root.rglob("__init__.py")}


def test_each_folder_of_unit_tests_has_the_name_of_a_package() -> None:
    assert folders(ROOT / "tests" / "unit") - BESIDE_PACKAGES <= folders(ROOT / "sidecar" / "llmledgerd")


def test_the_index_of_helpers_names_each_of_them() -> None:
    names = {found.stem for found in Path(helpers.__path__[0]).glob("[a-z]*.py")}
    listed = {line.split("``")[1] for line in (helpers.__doc__ or "").splitlines() if line.startswith("``")}
    assert listed == names
