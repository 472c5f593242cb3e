"""Who may send, by what the kernel says."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.ingest import peer_credentials
from llmledgerd.ingest.peer_credentials import Allowed, Credentials, allowed

APP = Credentials(pid=7, uid=1000, gids=frozenset({1000, 44}))


def test_without_settings_everybody_is_let_in() -> None:
    assert allowed("", " ").admits(APP)
    assert allowed("", "").admits(None)


@pytest.mark.parametrize(
    ("uids", "gids", "admitted"),
    [
        ("1000", "", True),
        ("0, 1000", "", True),
        ("1001", "", False),
        ("", "44", True),
        ("", "1001", False),
        ("1001", "44", True),
    ],
)
def test_one_of_the_users_or_a_member_of_one_of_the_groups_is_let_in(
    uids: str, gids: str, admitted: bool
) -> None:
    assert allowed(uids, gids).admits(APP) is admitted


def test_whoever_the_kernel_does_not_name_is_refused_once_somebody_is_named() -> None:
    assert not Allowed(uids=frozenset({0})).admits(None)


def test_names_are_those_of_this_host() -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    assert allowed(user.pw_name, group.gr_name) == Allowed(
        frozenset({user.pw_uid}), frozenset({group.gr_gid})
    )


def test_an_unknown_name_ends_the_start_with_a_line_that_names_it() -> None:
    with pytest.raises(
        ConfigError, match=r"^allowed_gids: `nobody-knows` is neither a number nor a known name$"
    ):
        allowed("", "1,nobody-knows")


class FakeSocket:
    """Answers as a kernel does."""

    def __init__(self, ucred: tuple[int, int, int], groups: list[int] | OSError) -> None:
        self._answers = {
            socket.SO_PEERCRED: struct.pack("3i", *ucred),
            peer_credentials.SO_PEERGROUPS: groups,
        }

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        answer = self._answers[option]
        if isinstance(answer, OSError):
            raise answer
        return answer if isinstance(answer, bytes) else struct.pack(f"{len(answer)}I", *answer)


def test_further_groups_count_where_the_kernel_has_them() -> None:
    found = peer_credentials.of(FakeSocket((7, 1000, 1000), [44, 1000]))
    assert found == APP
    assert peer_credentials.of(FakeSocket((7, 1000, 1000), OSError())) == Credentials(
        7, 1000, frozenset({1000})
    )


def test_a_process_of_another_pid_namespace_is_not_known() -> None:
    assert Credentials(0, 1000, frozenset()).process is None
    assert APP.process == (1000, 7)
