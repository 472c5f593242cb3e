"""Which of the sockets that were handed over is which, and what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.system import socket_activation

RECORD, ADMIN = "/run/x/s", "/run/x/admin.sock"


@pytest.mark.parametrize(
    ("found", "roles"),
    [
        ([], {}),
        ([("record", "/elsewhere")], {"record": 0}),
        ([("admin", ADMIN), ("record", RECORD)], {"admin": 0, "record": 1}),
        ([("llmledgerd.socket", ADMIN), ("llmledgerd.socket", RECORD)], {"admin": 0, "record": 1}),
        ([("llmledgerd.socket", "/a"), ("llmledgerd.socket", "/b")], {"record": 0, "admin": 1}),
        ([("unknown", "/a")], {"record": 0}),
        ([("unknown", ADMIN)], {"admin": 0}),
        ([("admin", RECORD)], {"admin": 0}),
    ],
)
def test_a_socket_is_told_by_its_name_else_its_path_else_its_place(
    found: list[tuple[str, str]], roles: dict[str, int]
) -> None:
    assert socket_activation.assigned(found, RECORD, ADMIN) == roles


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"LISTEN_PID": "6", "LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, ["unknown"]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "record:admin"}, ["record", "admin"]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "record"}, ["record", "unknown"]),
    ],
)
def test_descriptors_for_another_process_are_left_alone(
    environment: dict[str, str], names: list[str]
) -> None:
    assert socket_activation.handed_over(environment, 7) == names


def test_a_number_of_descriptors_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS: `many`"):
        socket_activation.handed_over({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, 7)


@pytest.fixture
def handed_over() -> dict[str, str]:
    """Return an environment that hands over the descriptors from FIRST_DESCRIPTOR on."""
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


@pytest.mark.parametrize(
    ("family", "kind", "listens"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, True),
        (socket.AF_UNIX, socket.SOCK_STREAM, False),
        (socket.AF_UNIX, socket.SOCK_DGRAM, False),
    ],
)
def test_what_no_daemon_can_listen_on_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    handed_over: dict[str, str],
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    listens: bool,
) -> None:
    with socket.socket(family, kind) as own:
        if listens:
            own.listen()
        monkeypatch.setattr(socket_activation, "FIRST_DESCRIPTOR", os.dup(own.fileno()))
        with pytest.raises(ConfigError, match="not a listening Unix stream socket"):
            socket_activation.take(handed_over, RECORD, ADMIN)


def test_sockets_are_taken_once(
    monkeypatch: pytest.MonkeyPatch, handed_over: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
        own.bind(str(tmp_path / "s"))
        own.listen()
        monkeypatch.setattr(socket_activation, "FIRST_DESCRIPTOR", os.dup(own.fileno()))
        passed = socket_activation.take(handed_over, RECORD, ADMIN)
        assert passed.record is not None
        assert passed.record.getsockname() == str(tmp_path / "s")
        assert not os.get_inheritable(passed.record.fileno())
        passed.record.close()
    assert not handed_over
    assert socket_activation.take(handed_over, RECORD, ADMIN) == socket_activation.Passed()
