"""What ``check`` refuses is what ``serve`` refuses, in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmledgerd.cli import daemon as command
from llmledgerd.daemon import app as daemon_app
from llmledgerd.daemon.preflight import validate
from llmledgerd.errors import ConfigError
from llmledgerd.stores import registry

REFUSED = {
    "spool_max_bytes=1": "spool_max_bytes: `1` is less than 65536",
    "admin=127.0.0.1:70000": "the port is above 65535",
    "admin=localhost": "not a valid address",
    "admin_tokens_file=/nonexistent/tokens.toml": "/nonexistent/tokens.toml",
    "socket_group=no-such-group": "unknown group `no-such-group`",
    "allowed_uids=no-such-user": "no-such-user",
    "socket_path=/tmp": "is a folder",
    "socket_path=": "empty",
    f"socket_path=/tmp/{'x' * 120}": "longer than 107 bytes",
    "spool_dir=/dev/null/spool": "spool_dir: /dev/null",
    "redact=unheard_of": "unheard_of",
    "redact_paths=a..b": "redact_paths",
    "payloads=offload": "payload_store",
    "clickhouse_url=mysql://h": "mysql",
    "clickhouse_url=http://h:99999": "clickhouse",
    "stores=mongodb": "mongodb",
    "spool_max_bytes=ten": "`ten`",
    "on_full=explode": "drop_oldest",
}


class Started(Exception):
    """The daemon would have started."""


class Stub:
    def __init__(self, *given: object) -> None:
        raise Started


@pytest.fixture(autouse=True)
def no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_app, "Daemon", Stub)
    for name in ("descriptors.raise_limit", "memory.use_one_arena", "memory.collect_less"):
        monkeypatch.setattr(f"llmledgerd.system.{name}", lambda: None)
    monkeypatch.setattr("faulthandler.enable", lambda: None)


def run(verb: str, folder: Path, setting: str) -> BaseException | None:
    more = ["--without-store"] if verb == "check" else []
    admin = ["--set", "admin=127.0.0.1:0"] if setting.startswith("admin_tokens") else []
    arguments = ["--socket", str(folder / "s"), "--spool-dir", str(folder / "spool"), *admin]
    arguments += ["--clickhouse-url", f"chdb://{folder}/store", "--set", setting, *more]
    return CliRunner().invoke(command.app, [verb, *arguments]).exception


@pytest.mark.parametrize("setting", REFUSED)
def test_check_and_serve_refuse_the_same_with_the_same_words(setting: str, tmp_path: Path) -> None:
    by_check, by_serve = run("check", tmp_path, setting), run("serve", tmp_path, setting)
    assert isinstance(by_check, ConfigError)
    assert str(by_check) == str(by_serve)
    assert REFUSED[setting] in str(by_check)


def test_what_check_accepts_serve_starts_with(tmp_path: Path) -> None:
    setting = "spool_max_bytes=1GiB"
    assert run("check", tmp_path, setting) is None
    assert isinstance(run("serve", tmp_path, setting), Started)
    assert list(tmp_path.iterdir()) == [], "nothing was created"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    config, _ = registry.load(
        environment={"LLMLEDGER_SPOOL_DIR": str(tmp_path / "spool")},
        assigned={"socket_path": str(tmp_path / "s")},
    )
    with pytest.raises(ConfigError, match="permission denied"):
        validate(config)
