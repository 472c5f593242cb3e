"""Whatever a sender writes, its reason is kept and its next record is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

LIMIT = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, url=server_url, settings={"max_line_bytes": LIMIT}) as running:
        yield running


def settled(daemon: RunningDaemon, lines: int) -> dict[str, int] | None:
    status = admin.status(daemon.folder / "admin.sock")
    return status if admin.records(status) >= lines and not status["in_spool"] else None


def letters(daemon: RunningDaemon) -> Counter[str]:
    return Counter(letter.reason for letter in dead_letters.read(daemon.spool))


BAD = {
    "not_json": b"surely not\n",
    "not_an_object": b"[1,2,3]\n",
    "no_protocol_version": b'{"provider_trace_id":"x"}\n',
    "unsupported_protocol_version": b'{"protocol_version":99}\n{"protocol_version":"4"}\n',
    "too_long": b'{"protocol_version":4,"request":"' + b"x" * (LIMIT + 100) + b'"}\n',
    "not_utf8": b'{"protocol_version":4,"request":"\xff\xfe"}\n',
    "negative_number": line("negative", 1, latency_ms=-5),
    "wrong_type": line("wrong", 1, agent_id=17),
    "bad_id": line("x" * 10_000, 1) + line("", 1),
    "misplaced_hello": line("before", 1) + b'{"protocol_version":4,"hello":{"session":"x","first":1}}\n',
}


def test_each_bad_line_is_a_dead_letter_with_its_reason_and_the_next_record_lands(
    daemon: RunningDaemon,
) -> None:
    for reason, bad in BAD.items():
        daemon.send_one_way(bad + line(f"after-{reason}", 1))
    until(lambda: settled(daemon, 2 * len(BAD) + 3))
    expected = Counter(dict.fromkeys(BAD, 1))
    expected.update(["unsupported_protocol_version", "bad_id"])
    assert letters(daemon) == expected
    assert daemon.terminate() == 0
    store = Store(daemon.url)
    ids = {row["id"] for row in store.query("SELECT id FROM llm_traces")}
    store.close()
    assert ids == {f"after-{reason}" for reason in BAD} | {"before"}


def test_of_a_line_over_the_limit_its_head_is_kept_and_its_length(daemon: RunningDaemon) -> None:
    daemon.send_one_way(BAD["too_long"])
    until(lambda: settled(daemon, 1))
    (letter,) = dead_letters.read(daemon.spool)
    assert letter.line is not None
    assert len(letter.line) == 4096
    assert letter.size == len(BAD["too_long"]) - 1


def test_what_json_allows_is_stored(daemon: RunningDaemon) -> None:
    deep = b"[" * 10_000 + b"]" * 10_000
    daemon.send_one_way(b'{"protocol_version":4,"provider_trace_id":"deep","request":' + deep + b"}\n")
    daemon.send_one_way(b'{"protocol_version":4,"provider_trace_id":"lone","request":{"a":"\\ud800"}}\n')
    until(lambda: settled(daemon, 2))
    assert not letters(daemon)
    assert daemon.terminate() == 0
    store = Store(daemon.url)
    rows = store.query("SELECT id, request_json FROM llm_traces ORDER BY id", raw=["request_json"])
    store.close()
    assert [(row["id"], row["request_json"]) for row in rows] == [
        ("deep", deep),
        ("lone", b'{"a":"\\ud800"}'),
    ]


def test_a_session_is_told_which_of_its_lines_were_refused(daemon: RunningDaemon) -> None:
    with daemon.connection() as sock, sock.makefile("rwb") as wire:
        wire.write(
            b'{"protocol_version":4,"hello":{"session":"00000000-0000-4000-8000-000000000001","first":1}}\n'
        )
        wire.flush()
        assert b'"durable":0' in wire.readline()
        wire.write(line("good", 1) + b"bad\n" + line("good-too", 2))
        wire.flush()
        answers = [wire.readline()]
        while b"rejected" not in answers[-1]:
            answers.append(wire.readline())
        assert answers[-1] == b'{"rejected":2,"reason":"not_json"}\n'
        assert b'{"durable":3}\n' in answers


def test_many_one_byte_lines_and_a_stalled_sender_hold_nobody_up(daemon: RunningDaemon) -> None:
    with daemon.connection() as stalled:
        stalled.sendall(line("half", 1)[:100])
        daemon.send_one_way(b"x\n" * 50_000)
        daemon.send_one_way(line("meanwhile", 1))
        until(lambda: settled(daemon, 50_001))
        stalled.sendall(line("half", 1)[100:])
        until(lambda: settled(daemon, 50_002))
    assert letters(daemon) == {"not_json": 50_000}


def test_an_unsupported_session_is_told_so_and_closed(daemon: RunningDaemon) -> None:
    with daemon.connection() as sock:
        sock.sendall(b'{"protocol_version":5,"hello":{"session":"x","first":1}}\n')
        answer = sock.makefile("rb").read()
    assert answer == b'{"error":"unsupported_protocol_version","supported":[1,2,3,4]}\n'
