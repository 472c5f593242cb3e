"""The units: systemd reads them without a word, finds them hardened, and they agree with the settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from llmledgerd.config.settings import Config
from llmledgerd.daemon.service_manager import MARGIN_SECONDS
from llmledgerd.stores.clickhouse.options import CREDENTIAL

UNITS = Path(__file__).parents[2] / "systemd"
EXPOSURE = 2.0
"""The most that `systemd-analyze security` may find; 10 is a service without any of it."""


def needs(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"{program} is not installed")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def settings_of(name: str) -> dict[str, str]:
    """Return the settings of a unit file; of one that comes more than once, the last."""
    lines = [text for text in (UNITS / name).read_text().splitlines() if "=" in text and text[0] != "#"]
    return {key: value for key, _, value in (text.partition("=") for text in lines)}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the folder of units whose program exists."""
    for unit in (UNITS / "llmledgerd.service", UNITS / "llmledgerd.socket"):
        text = unit.read_text().replace("/usr/bin/llmledgerd", shutil.which("true") or "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_systemd_reads_the_units_without_a_word(installed: Path) -> None:
    analyze = needs("systemd-analyze")
    assert run(analyze, "verify", installed / "llmledgerd.service", installed / "llmledgerd.socket") == ""


def test_the_service_is_hardened(installed: Path) -> None:
    analyze = needs("systemd-analyze")
    said = run(analyze, "security", "--offline=true", "--no-pager", installed / "llmledgerd.service")
    found = re.search(r"exposure level for llmledgerd.service: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE


def test_users_and_folders_are_made_as_the_units_want_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    run(needs("systemd-sysusers"), f"--root={tmp_path}", UNITS / "llmledgerd.sysusers.conf")
    groups = (tmp_path / "etc/group").read_text()
    socket, service = settings_of("llmledgerd.socket"), settings_of("llmledgerd.service")
    for group in (socket["SocketGroup"], service["Group"]):
        assert re.search(f"^{group}:", groups, re.MULTILINE)
    assert socket["SocketGroup"] != service["Group"], "who may send is not who may ask"
    entry = re.search(
        rf"^{service['User']}:x:(\d+):(\d+):", (tmp_path / "etc/passwd").read_text(), re.MULTILINE
    )
    assert entry is not None
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to others")
    run(needs("systemd-tmpfiles"), f"--root={tmp_path}", "--create", UNITS / "llmledgerd.tmpfiles.conf")
    folder = (tmp_path / "run/llmledgerd").stat()
    assert (folder.st_uid, folder.st_gid) == (int(entry[1]), int(entry[2]))
    assert folder.st_mode & 0o777 == int(service["RuntimeDirectoryMode"], 8)


def test_the_units_agree_with_the_settings() -> None:
    socket, service = settings_of("llmledgerd.socket"), settings_of("llmledgerd.service")
    settings = Config()
    assert socket["ListenStream"] == settings.socket_path
    assert socket["SocketMode"] == settings.socket_mode
    assert Path(settings.socket_path).parent == Path("/run") / service["RuntimeDirectory"]
    assert Path("/var/lib") / service["StateDirectory"] in Path(settings.spool_dir).parents
    assert service["RuntimeDirectoryPreserve"] == "yes", "the socket lies in it"
    assert float(service["TimeoutStopSec"]) > settings.drain_timeout_seconds + MARGIN_SECONDS
    assert service["LoadCredential"] == CREDENTIAL
    assert service["Type"] == "notify"
