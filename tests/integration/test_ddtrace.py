"""An application under ddtrace works as it did, and is recorded, whoever patched first and goes first.

ddtrace is no dependency of the tests, because it puts a plugin into every run of pytest: it is installed
into a folder of its own, or taken from ``LLMLEDGER_TEST_DDTRACE``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.daemon import ROOT
from tests.helpers.providers import Providers
from tests.helpers.under_ddtrace import CALLS, WAYS

pytestmark = pytest.mark.slow

ALL = len(CALLS) * len(WAYS)
MODELS = len(WAYS)


@pytest.fixture(scope="module")
def ddtrace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that ddtrace is in."""
    if "LLMLEDGER_TEST_DDTRACE" in os.environ:
        return Path(os.environ["LLMLEDGER_TEST_DDTRACE"])
    folder = tmp_path_factory.mktemp("ddtrace")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", str(folder), "ddtrace"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.skip(f"ddtrace cannot be had here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


def ran(ddtrace: Path, providers: Providers, scene: str, *under: str) -> dict[str, Any]:
    """Return what the scene printed."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}:{ddtrace}",
        "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",  # nobody
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_TRACE_URLLIB3_ENABLED": "true",
        "NO_PROXY": "*",
    }
    command = [sys.executable, *under, "-m", "tests.helpers.under_ddtrace", providers.host, scene]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("scene", "is_recorded", "is_traced"),
    [
        ("auto+calls", False, True),
        ("auto+on+calls", True, True),
        ("on+auto+calls", True, True),
        ("auto+on+off+calls", False, True),
        ("on+auto+off+calls", False, True),
        ("patch+on+unpatch+calls", None, None),
        ("patch+on+unpatch+off+calls", False, None),
        ("patch+on+off+unpatch+calls", False, False),
        ("on+patch+unpatch+calls", True, False),
        ("on+patch+off+unpatch+calls", False, False),
        ("on+patch+unpatch+off+calls", False, False),
    ],
)
def test_every_call_works_under_ddtrace(
    ddtrace: Path, providers: Providers, scene: str, is_recorded: bool | None, is_traced: bool | None
) -> None:
    found = ran(ddtrace, providers, scene)
    assert (found["failed"], found["worked"], found["faults"]) == ([], ALL, {})
    if is_recorded is not None:
        assert found["records"] == (MODELS if is_recorded else 0)
    if is_traced is not None:
        traced = {"httpx", "httpx2", "aiohttp_client", "urllib3"} if is_traced else set()
        assert traced == set(found["spans"]) & {"httpx", "httpx2", "aiohttp_client", "urllib3"}


def test_every_call_works_under_ddtrace_run(ddtrace: Path, providers: Providers) -> None:
    run = ["-m", "ddtrace.commands.ddtrace_run", sys.executable]
    found = ran(ddtrace, providers, "on+calls", *run)
    assert (found["failed"], found["worked"], found["records"]) == ([], ALL, MODELS)
