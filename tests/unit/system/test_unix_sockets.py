"""Unix sockets that are bound by us: whose path is whose."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.system.unix_sockets import Bound, bind


def test_a_path_at_which_somebody_listens_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = bind(path, 0o600, "")

    with pytest.raises(ConfigError, match="another daemon"):
        bind(path, 0o600, "")

    assert path.is_socket()
    first.remove()
    assert not path.exists()
    first.socket.close()


def test_a_path_that_a_dead_daemon_left_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(path, 0o600, "").socket.close()

    bound = bind(path, 0o640, "")

    assert path.stat().st_mode & 0o777 == 0o640
    bound.socket.close()


def test_a_path_that_is_another_s_by_now_is_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = bind(path, 0o600, "")
    first.socket.close()
    second = bind(path, 0o600, "")

    first.remove()

    assert path.is_socket()
    second.socket.close()


def test_a_path_that_could_not_be_given_its_group_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown group"):
        bind(tmp_path / "s", 0o600, "no-such-group-here")

    assert not (tmp_path / "s").exists()


def test_of_many_that_bind_at_once_one_has_the_path(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(path, 0o600, "").socket.close()  # a dead one's, which each would remove
    start = threading.Barrier(8)
    won: list[Bound] = []

    def attempt() -> None:
        start.wait()
        with contextlib.suppress(ConfigError):
            won.append(bind(path, 0o600, ""))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
    won[0].socket.close()
