"""What users install: both wheels, from what they hold to what they need."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(msgspec.__file__).parents[1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    built = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "client"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in built.glob("*.whl")}


def unpacked(wheel: Path, where: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where)
    return where


def run(paths: list[Path], code: str) -> str:
    """Run code in an interpreter that sees these folders and the standard library, and nothing else."""
    prelude = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", prelude + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def metadata(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    return archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()


def test_the_client_needs_msgspec_and_nothing_else(wheels: dict[str, Path], tmp_path: Path) -> None:
    assert [
        line for line in metadata(wheels["llmledger"]).splitlines() if line.startswith("Requires-Dist")
    ] == ["Requires-Dist: msgspec>=0.19"]
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "msgspec").symlink_to(SITE / "msgspec")
    client = unpacked(wheels["llmledger"], tmp_path / "client")
    loaded = run(
        [client, tmp_path / "site"],
        "import llmledger, json, sys; llmledger.TraceClient('/nowhere').close(); print(json.dumps(list(sys.modules)))",
    )
    modules = {name.partition(".")[0] for name in json.loads(loaded)}
    foreign = {name for name in modules if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign - {"sitecustomize", "__main__"} == {"msgspec", "llmledger"}
    assert "asyncio" not in modules, "an application that does not use it must not pay for it"


def test_the_client_installs_no_command_and_says_that_it_is_typed(wheels: dict[str, Path]) -> None:
    found = names(wheels["llmledger"])
    assert "llmledger/py.typed" in found
    assert not any(name.endswith("entry_points.txt") for name in found)
    assert not any(name.startswith(("tests", "llmledgerd")) for name in found)


def test_the_sidecar_brings_its_sql_and_both_commands(wheels: dict[str, Path], tmp_path: Path) -> None:
    found = names(wheels["llmledgerd"])
    assert {f"llmledgerd/ddl/{path.name}" for path in (ROOT / "ddl").glob("*.sql")} <= found
    assert "llmledgerd/py.typed" in found
    assert not any(name.startswith(("tests", "client", "llmledger/")) for name in found)
    paths = [unpacked(wheels[name], tmp_path / name) for name in ("llmledgerd", "llmledger")]
    entry = (next((tmp_path / "llmledgerd").glob("*.dist-info")) / "entry_points.txt").read_text()
    assert "llmledgerd = llmledgerd.cli.daemon:main" in entry
    assert "llmledger = llmledgerd.cli.app:main" in entry
    said = run(
        [*paths, SITE],
        "import llmledgerd, llmledgerd.cli.daemon, llmledgerd.cli.app; from llmledgerd.stores.clickhouse import migrations\n"
        "print(llmledgerd.__file__); print(len(migrations.Migration.load()))",
    )
    where, files = said.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert int(files) == len(list((ROOT / "ddl").glob("*.sql")))


def test_wheels_carry_ranges_and_no_exact_versions(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        needs = [line for line in metadata(wheel).splitlines() if line.startswith("Requires-Dist")]
        assert needs
        assert not [need for need in needs if "==" in need.replace("extra ==", "")]


def test_the_exact_versions_are_pinned_by_hash_and_name_no_registry() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(pins) > 30
    assert text.count("--hash=sha256:") >= len(pins)
    assert "http://" not in text
    assert "https://" not in text
