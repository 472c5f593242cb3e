"""What users install: both wheels, from what they hold to what they need."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement

import llmledgerd

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


def run(paths: list[Path], code: str, environment: dict[str, str] | None = None) -> str:
    """Run code in an interpreter that sees these folders and the standard library, and nothing else."""
    prelude = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", prelude + code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def metadata(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    return archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()


def values(wheel: Path, header: str) -> list[str]:
    lines = metadata(wheel).partition("\n\n")[0].splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith(f"{header}: ")]


def needed(requirements: Iterable[str], known: set[str]) -> set[str]:
    """Return the names of all distributions that these need, themselves included, without any extra."""
    for one in map(Requirement, requirements):
        wanted = one.marker is None or one.marker.evaluate({"extra": ""})
        if wanted and one.name not in known and one.name != "llmledger":
            known.add(one.name)
            needed(distribution(one.name).requires or (), known)
    return known


@pytest.fixture(scope="module")
def bare(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both wheels and what they need, as an installation without extras has them."""
    folder = tmp_path_factory.mktemp("bare")
    site = folder / "site"
    site.mkdir()
    for name in needed(values(wheels["llmledgerd"], "Requires-Dist"), {"msgspec"}):
        for top in {file.parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(SITE / top)
    return [*(unpacked(wheel, folder / name) for name, wheel in wheels.items()), site]


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


def test_the_client_installs_one_command_and_says_that_it_is_typed(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    found = names(wheels["llmledger"])
    assert {"llmledger/py.typed", "llmledger/run_path/sitecustomize.py"} <= found
    unpacked(wheels["llmledger"], tmp_path / "llmledger")
    entry = (next((tmp_path / "llmledger").glob("*.dist-info")) / "entry_points.txt").read_text()
    assert entry.split() == ["[console_scripts]", "llmledger-run", "=", "llmledger.run:main"]
    assert not any(name.startswith(("tests", "llmledgerd")) for name in found)


def test_the_sidecar_brings_its_sql_and_both_commands(wheels: dict[str, Path], tmp_path: Path) -> None:
    found = names(wheels["llmledgerd"])
    assert {f"llmledgerd/ddl/{path.name}" for path in (ROOT / "ddl").glob("*.sql")} <= found
    assert "llmledgerd/py.typed" in found
    assert not any(name.startswith(("tests", "client", "llmledger/")) for name in found)
    paths = [unpacked(wheels[name], tmp_path / name) for name in ("llmledgerd", "llmledger")]
    entry = (next((tmp_path / "llmledgerd").glob("*.dist-info")) / "entry_points.txt").read_text()
    assert "llmledgerd = llmledgerd.__main__:main" in entry
    assert "llmledger = llmledgerd.cli.app:main" in entry
    said = run(
        [*paths, SITE],
        "import llmledgerd, llmledgerd.cli.daemon, llmledgerd.cli.app; from llmledgerd.stores.clickhouse import migrations\n"
        "print(llmledgerd.__file__); print(len(migrations.Migration.load()))",
    )
    where, files = said.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert int(files) == len(list((ROOT / "ddl").glob("*.sql")))


def test_wheels_hold_every_file_that_is_no_code(wheels: dict[str, Path]) -> None:
    found = names(wheels["llmledgerd"])
    package = ROOT / "sidecar" / "llmledgerd"
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    expected = {f"llmledgerd/{path.relative_to(package)}" for path in files}
    expected |= {f"llmledgerd/{path.relative_to(ROOT)}" for path in (ROOT / "ddl").rglob("*.sql")}
    for folder in ("systemd", "deploy/kubernetes", "deploy/alerts"):
        files = {path for path in (ROOT / folder).rglob("*") if path.is_file()}
        expected |= {f"llmledgerd/files/{path.relative_to(ROOT)}" for path in files}
    assert expected <= found
    for part in (
        "py.typed",
        "ddl/postgres/",
        "stores/clickhouse/sql_functions.txt",
        "ui/templates/",
        "ui/assets/",
    ):
        assert any(name.startswith(f"llmledgerd/{part}") for name in expected), part


def test_the_daemon_needs_exactly_its_client_and_of_others_a_range(wheels: dict[str, Path]) -> None:
    assert values(wheels["llmledger"], "Version") == values(wheels["llmledgerd"], "Version")
    exact = [
        need
        for wheel in wheels.values()
        for need in values(wheel, "Requires-Dist")
        if "==" in str(Requirement(need).specifier)
    ]
    assert exact == [f"llmledger=={llmledgerd.__version__}"]


@pytest.mark.parametrize(
    ("name", "readme", "systems"),
    [
        ("llmledger", ROOT / "client" / "README.md", {"POSIX :: Linux", "MacOS", "Microsoft :: Windows"}),
        ("llmledgerd", ROOT / "README.md", {"POSIX :: Linux", "MacOS"}),
    ],
)
def test_wheels_describe_themselves(
    wheels: dict[str, Path], name: str, readme: Path, systems: set[str]
) -> None:
    assert metadata(wheels[name]).partition("\n\n")[2] == readme.read_text()
    assert values(wheels[name], "Description-Content-Type") == ["text/markdown"]
    assert values(wheels[name], "Requires-Python") == [">=3.11"]
    classifiers = values(wheels[name], "Classifier")
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)} <= set(classifiers)
    prefix = "Operating System :: "
    assert {one.removeprefix(prefix) for one in classifiers if one.startswith(prefix)} == systems


SHELL = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
"""The options take the name of a shell instead of looking for the one that runs them."""

DAEMON = "from llmledgerd.cli.daemon import main"
COMMANDS = "from llmledgerd.cli.app import main"


def test_a_bare_installation_has_both_commands(bare: list[Path]) -> None:
    said = f"llmledgerd {llmledgerd.__version__}"
    assert run(bare, f"sys.argv = ['llmledgerd', '--version']; {DAEMON}; main()") == said
    as_module = "import runpy; runpy.run_module('llmledgerd', run_name='__main__', alter_sys=True)"
    assert run(bare, f"sys.argv = ['-m', '--version']; {as_module}") == said
    assert "Query" in run(bare, f"sys.argv = ['llmledger', '--help']; {COMMANDS}; main()")
    missing = "import importlib.util; print([importlib.util.find_spec(name) for name in {}])"
    extras = ["chdb", "nicegui", "obstore", "psycopg", "re2"]
    assert run(bare, missing.format(extras)) == str([None] * len(extras))


@pytest.mark.parametrize(
    ("main", "typed", "variable", "offered"),
    [
        (COMMANDS, "llmledger tra", "_LLMLEDGER_COMPLETE", ["traces", "trace"]),
        (COMMANDS, "llmledger dead-letters p", "_LLMLEDGER_COMPLETE", ["purge"]),
        (
            DAEMON,
            "llmledgerd ",
            "_LLMLEDGERD_COMPLETE",
            ["serve", "health", "check", "config", "migrate", "token", "files"],
        ),
    ],
)
def test_shells_complete_both_commands(
    bare: list[Path], main: str, typed: str, variable: str, offered: list[str]
) -> None:
    asked = {variable: "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert run(bare, f"{main}; main()", asked).split() == offered
    script = run(
        bare, f"sys.argv = ['it', '--show-completion', 'bash']; {main}; main()", {**SHELL, "HOME": "/nowhere"}
    )
    assert f"{variable}=complete_bash" in script


def test_the_exact_versions_are_pinned_by_hash_and_name_no_registry() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(pins) > 30
    assert text.count("--hash=sha256:") >= len(pins)
    assert "http://" not in text
    assert "https://" not in text
