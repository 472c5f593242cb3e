"""An application that knows nothing of llmledger is recorded: below ``llmledger-run``, and by the ``.pth``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledger import run
from tests.helpers.daemon import ROOT
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.providers import Providers

APPLICATION = """
import sys
assert not {"httpx", "httpx2", "aiohttp", "urllib3"} & set(sys.modules), "imported for nothing"
import LIBRARY
if "LIBRARY" == "httpx":
    answer = LIBRARY.post(sys.argv[1], json={"model": "m"}).status_code
else:
    answer = LIBRARY.request("POST", sys.argv[1], json={"model": "m"}).status
assert LIBRARY.__spec__.loader.__class__.__name__ == "SourceFileLoader"
print(answer, *[name for name in sys.modules if name.startswith("llmledger.")][:1])
"""


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


def called(command: list[str], providers: Providers, daemon: Path, **environment: str) -> str:
    own = {
        **os.environ,
        "LLMLEDGER_SOCKET": str(daemon),
        "LLMLEDGER_HOSTS": f"{providers.host}=stand-in",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}",
        **environment,
    }
    done = subprocess.run(
        [*command, f"{providers.url}/v1/chat/completions"],
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("library", ["httpx", "urllib3"])
def test_llmledger_run_records_an_application(tmp_path: Path, providers: Providers, library: str) -> None:
    application = tmp_path / "app.py"
    application.write_text(APPLICATION.replace("LIBRARY", library))
    with FakeDaemon(tmp_path / "s") as daemon:
        command = [sys.executable, "-m", "llmledger.run", str(application)]
        assert called(command, providers, daemon.path).startswith("200")
        (record,) = daemon.records()
    assert (record["provider"], record["status_code"]) == ("stand-in", 200)


def test_a_sitecustomize_of_the_application_is_executed_too(tmp_path: Path, providers: Providers) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs')")
    command = [sys.executable, "-c", "import sitecustomize; print(sitecustomize.__file__)"]
    path = os.pathsep.join([run.FOLDER, str(tmp_path), str(ROOT / "client")])
    said = called(command, providers, tmp_path / "s", PYTHONPATH=path, LLMLEDGER_INSTRUMENT="1")
    assert said.splitlines() == ["theirs", str(tmp_path / "sitecustomize.py")]


@pytest.mark.parametrize("wanted", ["1", ""])
def test_the_pth_starts_it_where_the_environment_asks(
    tmp_path: Path, providers: Providers, wanted: str
) -> None:
    pth = (ROOT / "client" / "auto" / "llmledger_auto.pth").read_text()
    (tmp_path / "llmledger_auto.pth").write_text(pth)
    application = tmp_path / "app.py"
    application.write_text(APPLICATION.replace("LIBRARY", "httpx"))
    start = f"import site; site.addsitedir({str(tmp_path)!r}); import runpy, sys; del sys.argv[0]; "
    command = [
        sys.executable,
        "-c",
        start + "runpy.run_path(sys.argv[0], run_name='__main__')",
        str(application),
    ]
    with FakeDaemon(tmp_path / "s") as daemon:
        said = called(command, providers, daemon.path, LLMLEDGER_INSTRUMENT=wanted)
        assert len(daemon.records()) == (1 if wanted else 0)
    assert ("llmledger." in said) is bool(wanted)


def test_the_pth_is_one_line_that_site_executes() -> None:
    text = (ROOT / "client" / "auto" / "llmledger_auto.pth").read_text()
    assert text.startswith("import ")
    assert text.count("\n") == 1
