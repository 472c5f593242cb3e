"""Who may hold the socket, by the user that the kernel names and by the folders along the path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmledger.environment import daemon_uids, is_disabled
from llmledger.peer import SocketOwner, open_to_others, refusal

APP, DAEMON, STRANGER = 1000, 991, 1666
SOCKET = "/run/llmledgerd/llmledgerd.sock"
Entry = tuple[int, int, int]
"""Mode, user, group."""


def folder(mode: int, uid: int = 0, gid: int = 0) -> Entry:
    return stat.S_IFDIR | mode, uid, gid


def file(uid: int) -> Entry:
    return stat.S_IFSOCK | 0o660, uid, uid


ROOT = {"/": folder(0o755), "/run": folder(0o755)}


def found(
    tree: dict[str, Entry], holder: SocketOwner, path: str = SOCKET, mounts: tuple[str, ...] = ()
) -> str:
    """Return the folder that is open to others."""

    def lstat(name: str) -> os.stat_result:
        mode, uid, gid = tree[name]
        return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))

    return open_to_others(path, holder, APP, lstat=lstat, is_mount=lambda name: name in mounts)


@pytest.mark.parametrize("uid", [0, APP])
def test_root_and_ones_own_user_are_trusted_wherever_the_socket_is(uid: int) -> None:
    assert refusal(SocketOwner(uid), "/nowhere/at/all", None, APP) == ""


def test_users_that_are_named_are_trusted_and_nobody_else() -> None:
    named = frozenset({DAEMON, 65534})
    assert refusal(SocketOwner(DAEMON), "/nowhere", named, APP) == ""
    assert refusal(SocketOwner(65534), "/nowhere", named, APP) == ""
    for uid in (STRANGER, APP, 0):
        assert refusal(SocketOwner(uid), SOCKET, named, APP) == (
            f"its owner is uid {uid}; LLMLEDGER_DAEMON_UID is 991, 65534"
        )


@pytest.mark.parametrize(
    ("tree", "holder", "mounts", "where"),
    [
        pytest.param({"/run/llmledgerd": folder(0o755, DAEMON)}, SocketOwner(DAEMON), (), "", id="systemd"),
        pytest.param({"/run/llmledgerd": folder(0o755, STRANGER)}, SocketOwner(DAEMON), (), "/run/llmledgerd", id="another's"),
        pytest.param({"/run/llmledgerd": folder(0o777)}, SocketOwner(DAEMON), (), "/run/llmledgerd", id="everybody's"),
        pytest.param({"/run/llmledgerd": folder(0o2777, 0, 10001)}, SocketOwner(10001), ("/run/llmledgerd",), "", id="emptyDir"),
        pytest.param({"/run/llmledgerd": folder(0o1777)}, SocketOwner(DAEMON), ("/run/llmledgerd",), "/run/llmledgerd", id="tmpfs"),
        pytest.param({"/run/llmledgerd": folder(0o775, 0, 44)}, SocketOwner(DAEMON, 44), (), "", id="the holder's group's"),
        pytest.param({"/run/llmledgerd": folder(0o775, 0, 44)}, SocketOwner(DAEMON, 45), (), "/run/llmledgerd", id="a group's"),
        pytest.param({"/run/llmledgerd": folder(0o755, 65534)}, SocketOwner(65534), (), "", id="of another user namespace"),
        pytest.param({"/run": folder(0o777), "/run/llmledgerd": folder(0o755)}, SocketOwner(DAEMON), (), "/run", id="above"),
    ],
)  # fmt: skip
def test_a_folder_in_which_nobody_else_can_bind_is_trusted(
    tree: dict[str, Entry], holder: SocketOwner, mounts: tuple[str, ...], where: str
) -> None:
    assert found({**ROOT, SOCKET: file(holder.uid), **tree}, holder, mounts=mounts) == where


@pytest.mark.parametrize(
    ("owner", "path", "where"),
    [
        (STRANGER, "/tmp/x.sock", "/tmp"),
        (DAEMON, "/tmp/x.sock", "/tmp"),
        (DAEMON, "/tmp/d/x.sock", "/tmp"),
        (APP, "/tmp/d/x.sock", ""),
        (0, "/tmp/d/x.sock", ""),
    ],
)
def test_in_tmp_what_is_roots_or_ones_own_is_trusted(owner: int, path: str, where: str) -> None:
    tree = {
        "/": folder(0o755),
        "/tmp": folder(0o1777),
        "/tmp/d": folder(0o755, owner),
        "/tmp/d/x.sock": file(DAEMON),
        "/tmp/x.sock": file(owner),
    }
    assert found(tree, SocketOwner(DAEMON), path) == where


def test_links_are_followed_and_judged_where_they_lie(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "real").mkdir(0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "real" / "s").touch()
    (tmp_path / "open" / "link").symlink_to("../real")
    (tmp_path / "link").symlink_to("real/../real")
    (tmp_path / "loop").symlink_to("loop")
    own = os.geteuid()

    def open_at(name: str) -> str:
        return open_to_others(str(tmp_path / name), SocketOwner(own), own)

    assert open_at("real/s") == open_at("link/s") == ""
    assert open_at("open/link/s") == str(tmp_path / "open")
    assert open_at("loop/s") == str(tmp_path)


@pytest.mark.parametrize(
    ("said", "uids"),
    [
        ("", None),
        (" ", None),
        ("991", {991}),
        ("991, 0", {991, 0}),
        ("0 991", {991, 0}),
        ("llmledgerd", set()),
        ("-1", set()),
    ],
)
def test_the_environment_names_users_by_number(
    monkeypatch: pytest.MonkeyPatch, said: str, uids: set[int] | None
) -> None:
    monkeypatch.setenv("LLMLEDGER_DAEMON_UID", said)
    assert daemon_uids() == uids


@pytest.mark.parametrize(("said", "is_off"), [("1", True), (" TRUE ", True), ("0", False), ("", False)])
def test_the_environment_switches_everything_off(
    monkeypatch: pytest.MonkeyPatch, said: str, is_off: bool
) -> None:
    monkeypatch.setenv("LLMLEDGER_DISABLED", said)
    assert is_disabled() is is_off
