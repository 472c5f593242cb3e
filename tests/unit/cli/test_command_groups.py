"""Both commands list what they can do in panels, and name a wrong argument in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import llmledger
import llmledgerd
from llmledgerd.cli import app, daemon, daemon_commands
from llmledgerd.errors import ConfigError

APPS = {"llmledger": app.app, "llmledgerd": daemon.app}
PANELS = {
    "llmledger": {
        "Query": [
            "traces",
            "tail",
            "runs",
            "run",
            "errors",
            "large",
            "trace",
            "usage",
            "tools",
            "retries",
            "cache",
            "anatomy",
            "prices",
            "sql",
            "ui",
        ],
        "Operate": ["status", "doctor", "otlp", "dead-letters", "import", "demo"],
        "Maintain": ["copy", "export", "reprice", "erase", "objects"],
    },
    "llmledgerd": {
        "Operate": ["serve", "health"],
        "Maintain": ["check", "config", "migrate", "token", "files"],
    },
}
Fails = Callable[..., str]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Fails]:
    """Return a function that runs a command and returns the one line that it fails with."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the commands replace it, and the umask
    umask = os.umask(0o077)

    def failing(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as ended:
            {"llmledger": app.main, "llmledgerd": daemon.main}[name]()
        written = capsys.readouterr()
        assert (ended.value.code, written.out, written.err.count("\n")) == (2, "", 1)
        return written.err

    yield failing
    os.umask(umask)


@pytest.mark.parametrize("name", APPS)
def test_help_lists_every_command_in_its_panel_and_in_order(name: str) -> None:
    shown = CliRunner().invoke(APPS[name], ["--help"], env={"COLUMNS": "100", "TERM": "dumb"}).output
    found: dict[str, list[str]] = {}
    for line in shown.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            found[heading[1]] = []
        elif command := re.match(r"  ([a-z][a-z-]*)  ", line):
            found[list(found)[-1]].append(command[1])
    assert found.pop("Options") == []
    assert list(found.items()) == list(PANELS[name].items())


@pytest.mark.parametrize("name", APPS)
def test_the_list_says_of_every_command_what_its_own_help_says(name: str) -> None:
    group: Any = typer.main.get_command(APPS[name])
    for word, listed in group.commands.items():
        command = group.load(word)
        assert (listed.name, listed.help) == (command.name, command.help.split("\n\n")[0].replace("\n", " "))


@pytest.mark.parametrize("module", ["app", "daemon"])
def test_help_imports_no_command_and_nothing_that_reads_a_store(module: str) -> None:
    script = f"import sys\nfrom llmledgerd.cli.{module} import main\nsys.argv[1:] = ['--help']\ntry:\n main()\nfinally:\n print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "Show the version and exit." in done.stdout
    assert not loaded & {
        "asyncio",
        "aiohttp",
        "rich",
        "pydantic",
        "clickhouse_connect",
        "structlog",
        "genai_prices",
    }
    assert not {
        one
        for one in loaded
        if re.match(r"llmledgerd\.(daemon|reader|stores|query|records|config\.settings)", one)
    }


def test_commands_that_ask_a_daemon_import_nothing_that_reads_a_store() -> None:
    asking = [
        name for panel in ("Query", "Operate") for name in PANELS["llmledger"][panel] if name != "prices"
    ]
    script = f"""import sys, typer
from llmledgerd.cli.app import app
for name in {asking}: typer.main.get_command(app).load(name)
print(*sys.modules)"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"llmledgerd.cli.listing", "llmledgerd.cli.status"} <= loaded
    assert not loaded & {"aiohttp", "pydantic", "clickhouse_connect", "psycopg", "structlog", "nicegui"}


def test_client_and_daemon_have_one_version() -> None:
    assert llmledger.__version__ == llmledgerd.__version__


@pytest.mark.parametrize("name", APPS)
def test_the_version_is_printed(name: str) -> None:
    done = CliRunner().invoke(APPS[name], ["--version"], prog_name=name)
    assert (done.exit_code, done.output) == (0, f"{name} {llmledgerd.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "bogus=1"], "--set bogus: unknown setting"),
        (["--set", "bogus"], "--set bogus: expected NAME=VALUE"),
        (["--set", "on_full=maybe"], "--set on_full=maybe: .*choose from block, drop_oldest"),
        (["--set", "on-full=maybe"], "--set on_full=maybe: .*choose from block, drop_oldest"),
        (["--set", "stores=mysql"], "--set stores=mysql: .*choose from clickhouse, postgres"),
        (["--set", "ttl_days=soon"], "--set ttl_days=soon: .*`soon` is not a time"),
        (["--bogus"], "--bogus"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_typed(fails: Fails, arguments: list[str], said: str) -> None:
    assert re.search(said, fails("llmledgerd", "config", *arguments))


def test_the_value_of_an_unknown_setting_is_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        daemon_commands.show_config(settings=["clickhouse_password=hunter2"])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["traces", "--until", "yesterday"], "llmledger traces: .*--until: `yesterday`"),
        (["errors", "--since", "yesterday"], "llmledger errors: .*--since: `yesterday`"),
        (["copy", "--since", "yesterday"], "llmledger copy: .*--since: `yesterday`"),
        (["usage", "--by", "moon"], "llmledger usage: .*--by: moon: choose from organization, "),
        (["dead-letters", "show"], "llmledger dead-letters show: .*'id'"),
        (["trcaes"], "llmledger: .*'trcaes'"),
        (["trace\x1b[2J\nforged"], r"llmledger: .*forged"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(fails: Fails, arguments: list[str], said: str) -> None:
    line = fails("llmledger", *arguments)
    assert re.search(said, line)
    assert "\x1b" not in line


@pytest.mark.parametrize("command", [word for words in PANELS["llmledger"].values() for word in words])
def test_no_command_has_two_options_of_one_name(command: str) -> None:
    said = CliRunner().invoke(app.app, [command, "--help"]).output
    options = re.findall(r"^  (--[\w-]+)", said, re.MULTILINE)
    assert options
    assert len(options) == len(set(options)), options
