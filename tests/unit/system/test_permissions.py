"""A user who may not open something is told whose it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.query import daemon_client
from llmledgerd.system.permissions import denied, refusal


def test_the_owner_the_group_and_the_mode_are_named(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.touch(mode=0o600)
    said = denied(str(path))
    assert said.startswith(
        f"permission denied: {path} ({path} belongs to user {path.owner()}, group {path.group()}"
    )
    assert "mode 0600" in said
    assert f"({tmp_path} belongs to" in denied(str(tmp_path / "missing"))


def test_what_is_missing_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(str(tmp_path / "missing")) == ""
    assert refusal(str(tmp_path), writes=True) == ""
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert refusal(str(tmp_path)).startswith("permission denied: ")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, "unreachable"),
        (errno.ECONNREFUSED, "unreachable"),
        (errno.ENETDOWN, "network"),
        (-2, "unreachable"),
    ],
)
def test_a_daemon_that_does_not_answer_is_said_in_the_system_s_words(number: int, kind: str) -> None:
    found = daemon_client._unreachable("h:1", OSError(number, "library text"))
    assert isinstance(found, StoreBusy)
    assert found.kind == kind


def test_a_socket_that_this_user_may_not_open_is_no_reason_to_ask_somebody_else(tmp_path: Path) -> None:
    found = daemon_client._unreachable(f"unix:{tmp_path}/admin.sock", PermissionError(errno.EACCES, "no"))
    assert isinstance(found, ConfigError)
    assert "run this as that user or as a member of the group" in str(found)
