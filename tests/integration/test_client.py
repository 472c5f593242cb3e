"""The client against a daemon that misbehaves: over a real socket, in real processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llmledger
from llmledger import TraceClient
from llmledger.line import OVERHEAD_BYTES
from tests.helpers.fake_daemon import FakeDaemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "d.sock") as running:
        yield running


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TraceClient]:
    made = TraceClient(tmp_path / "d.sock", service="tests")
    yield made
    made.close(0.0)


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    """Wait for what no daemon sees, without sleeping blindly."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        select.select([], [], [], 0.002)


def models(daemon: FakeDaemon) -> list[str]:
    return [record["model"] for record in daemon.records()]


def test_a_record_is_durable_after_a_flush(daemon: FakeDaemon, client: TraceClient) -> None:
    assert client.record(model="m", request={"a": 1}, response=b'{"b":\n2}')
    assert client.flush(10)
    (record,) = daemon.records()
    assert (record["model"], record["request"], record["response"]) == ("m", {"a": 1}, {"b": 2})
    stats = client.stats()
    assert (stats.records, stats.delivered, stats.waiting, stats.waiting_bytes) == (1, 1, 0, 0)
    assert stats.is_connected


def test_the_hello_says_who_it_is(daemon: FakeDaemon, client: TraceClient) -> None:
    client.record(model="m")
    assert client.flush(10)
    (hello,) = daemon.hellos
    assert (hello.session, hello.first, hello.last) == (client.stats().session, 1, None)
    assert (hello.client, hello.pid, hello.service) == (
        f"llmledger-python/{llmledger.__version__}",
        os.getpid(),
        "tests",
    )


def test_close_ends_the_session_with_the_count_of_its_records(
    daemon: FakeDaemon, client: TraceClient
) -> None:
    client.begin(model="m")
    client.record(model="m")
    client.record(model="n")
    assert client.close(10)
    assert daemon.controls("end") == [{"taken": 2}]
    assert daemon.controls("begin")[0]["model"] == "m"
    assert not client.record(model="late")
    assert client.stats().lost == {"closed": 1}


def test_nothing_is_sent_before_the_first_record(daemon: FakeDaemon, client: TraceClient) -> None:
    assert client.flush(0)
    assert client.close(0)
    assert daemon.hellos == []


def test_records_wait_for_a_daemon_that_comes_later(tmp_path: Path, client: TraceClient) -> None:
    for number in range(100):
        assert client.record(model=str(number))
    assert not client.flush(0.05)
    with FakeDaemon(tmp_path / "d.sock") as daemon:
        assert client.flush(20)
        assert models(daemon) == [str(number) for number in range(100)]


@pytest.mark.parametrize("lost_with_it", [0, 1, 3])
def test_every_line_arrives_once_though_the_daemon_cuts_after_each_three(
    daemon: FakeDaemon, client: TraceClient, lost_with_it: int
) -> None:
    daemon.cut_after_lines = 3
    daemon.loses_before_cut = lost_with_it
    daemon.holds_answers = False
    for number in range(30):
        assert client.record(model=str(number), request="x" * 1000)
    assert client.flush(60)
    assert models(daemon) == [str(number) for number in range(30)]
    assert len(daemon.hellos) > 5


def test_lines_that_were_stored_but_never_answered_are_not_sent_again(
    daemon: FakeDaemon, client: TraceClient
) -> None:
    daemon.holds_answers = True
    client.record(model="first")
    daemon.wait_for(daemon.records)
    daemon.cut()
    daemon.wait_for(lambda: len(daemon.hellos) == 2)
    daemon.release_answers()
    client.record(model="second")
    assert client.flush(20)
    assert models(daemon) == ["first", "second"]
    assert [hello.last for hello in daemon.hellos] == [None, 1]


def test_a_daemon_that_restarts_finds_the_session_again(tmp_path: Path, client: TraceClient) -> None:
    daemon = FakeDaemon(tmp_path / "d.sock")
    for round_number in range(3):
        with daemon:
            client.record(model=str(round_number))
            assert client.flush(20)
        client.record(model="between")
    with daemon:
        assert client.flush(20)
    assert models(daemon) == ["0", "between", "1", "between", "2", "between"]
    assert len(daemon.sessions) == 1


def test_a_socket_that_accepts_and_never_reads_costs_nothing_but_memory(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.is_silent = True
    client = TraceClient(tmp_path / "d.sock", buffer_max_bytes=100 * (10_000 + OVERHEAD_BYTES))
    body = b'"' + b"x" * 9_998 + b'"'
    taken = sum(client.record(model="m", request=body) for _ in range(200))
    stats = client.stats()
    assert 80 <= taken <= 100
    assert stats.lost == {"buffer_full": 200 - taken}
    assert stats.waiting_bytes <= 100 * (10_000 + OVERHEAD_BYTES)
    daemon.is_silent = False
    daemon.release_answers()
    assert client.close(20)
    assert len(daemon.records()) == taken
    assert daemon.controls("dropped") == [{"buffer_full": 200 - taken}]
    assert daemon.controls("end") == [{"taken": 200}]


@pytest.mark.parametrize("answer", [b"nonsense\n", b'{"durable":"x"}\n', b"{" * (2 << 20)])
def test_an_answer_that_makes_no_sense_costs_the_connection_alone(
    daemon: FakeDaemon, client: TraceClient, answer: bytes
) -> None:
    daemon.says_first = answer
    client.record(model="m")
    daemon.wait_for(lambda: not daemon.says_first)
    assert client.flush(20)
    assert models(daemon) == ["m"]


def test_answers_are_read_while_there_is_always_more_to_write(daemon: FakeDaemon, tmp_path: Path) -> None:
    client = TraceClient(tmp_path / "d.sock", buffer_max_bytes=4 << 20)
    body = b'"' + b"x" * 20_000 + b'"'
    taken = 0
    while taken < 2000:
        taken += client.record(model="m", request=body)
    assert client.close(30)
    assert len(daemon.records()) == taken


def test_answers_held_back_keep_the_records_in_the_buffer(daemon: FakeDaemon, client: TraceClient) -> None:
    daemon.holds_answers = True
    for _ in range(10):
        client.record(model="m")
    daemon.wait_for(daemon.records)
    assert not client.flush(0.05)
    assert client.stats().waiting == 10
    daemon.release_answers()
    assert client.flush(20)
    assert client.stats().waiting == 0


def test_an_unsupported_version_ends_the_session_and_counts_everything(
    daemon: FakeDaemon, client: TraceClient, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.is_unsupported = True
    with caplog.at_level(logging.WARNING, "llmledger"):
        was_taken = client.record(model="m")  # False if the daemon was faster
        wait_until(lambda: client.stats().lost)
        assert not client.record(model="m")
        assert client.flush(10) is not was_taken
        wait_until(lambda: caplog.records)  # the sender counts first, and says so second
    assert client.stats().lost == {"unsupported_protocol_version": 2}
    assert len(caplog.records) == 1


def test_lines_over_the_daemons_limit_are_dropped_and_reported(tmp_path: Path, client: TraceClient) -> None:
    with FakeDaemon(tmp_path / "d.sock", max_line_bytes=10_000) as daemon:
        client.record(model="before")
        client.record(model="long", request=b'"' + b"x" * 10_000 + b'"')
        client.record(model="escapes", response_stream="\x00" * 2000)
        client.record(model="after")
        assert not client.flush(20)
        assert models(daemon) == ["before", "after"]
        assert daemon.controls("dropped") == [{"too_long": 1}, {"too_long": 1}]
        assert client.stats().lost == {"too_long": 2}


def test_a_line_as_long_as_the_limit_is_sent(tmp_path: Path, client: TraceClient) -> None:
    with FakeDaemon(tmp_path / "d.sock") as daemon:
        client.record(provider_trace_id="i", timestamp="t", request=b'"x"')
        assert client.flush(20)
        (line,) = daemon.sessions[client.stats().session]
        length = len(line) - 1
        client.close()  # or it would come back to the next daemon, which knows nothing of it
    for limit, expected in ((length, 1), (length - 1, 0)):
        with FakeDaemon(tmp_path / "d.sock", max_line_bytes=limit) as daemon:
            another = TraceClient(tmp_path / "d.sock")
            another.record(provider_trace_id="i", timestamp="t", request=b'"x"')
            assert another.close(20)
            assert len(daemon.records()) == expected


def test_rejected_records_are_counted_and_said_once(
    daemon: FakeDaemon, client: TraceClient, caplog: pytest.LogCaptureFixture
) -> None:
    # With its quotation marks: an id of hexadecimal digits has the three letters, too, now and then.
    daemon.rejects = lambda line: "wrong_type" if b'"bad"' in line else ""
    with caplog.at_level(logging.WARNING, "llmledger"):
        for model in ("bad", "good", "bad"):
            client.record(model=model)
        assert client.flush(20)
        wait_until(lambda: client.stats().rejected == 2)
    assert [record.getMessage() for record in caplog.records] == ["a record became a dead letter: wrong_type"]


def test_a_payload_of_100_mb_arrives(tmp_path: Path, daemon: FakeDaemon) -> None:
    client = TraceClient(tmp_path / "d.sock")
    body = b'{"t":"' + b"y" * (100 << 20) + b'"}'
    started = time.thread_time()
    assert client.record(model="m", request=body)
    spent = time.thread_time() - started
    bytearray(body)
    assert spent < time.thread_time() - started - spent, "it was copied"
    assert not client.record(model="no room beside it")
    assert client.flush(60)
    assert client.close(20)
    (lines,) = daemon.sessions.values()
    assert body in lines[0]


def test_an_absent_daemon_is_said_once_however_often_it_is_tried(
    client: TraceClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "llmledger"):
        for _ in range(1000):
            client.record(model="m")
        assert not client.flush(0.5)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("path", ["/" + "x" * 200, "with\0nul", "/dev/null", "/"])
def test_a_path_that_can_never_be_a_socket_hurts_nobody(path: str) -> None:
    client = TraceClient(path)
    assert client.record(model="m")
    assert not client.flush(0.1)
    assert not client.close(0.0)


def test_disabled_does_nothing(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLEDGER_DISABLED", "1")
    client = TraceClient(daemon.path)
    assert not client.record(model="m")
    assert not client.begin(model="m")
    assert client.flush(0)
    assert client.close(0)
    assert daemon.hellos == []
    assert client.stats().records == 0


def test_the_module_has_a_client_of_its_own(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLEDGER_SOCKET", str(daemon.path))
    monkeypatch.setenv("LLMLEDGER_SERVICE", "by-name")
    for round_number in range(2):
        assert llmledger.begin(model="b")
        assert llmledger.record(model=str(round_number))
        assert llmledger.flush(20)
        assert llmledger.stats().delivered == 1
        assert llmledger.close(20)
    assert models(daemon) == ["0", "1"]
    assert [hello.service for hello in daemon.hellos] == ["by-name"] * 2


def test_clients_of_one_process_have_sessions_of_their_own(daemon: FakeDaemon) -> None:
    clients = [TraceClient(daemon.path) for _ in range(3)]
    for client in clients:
        client.record(model="m")
    assert all(client.close(20) for client in clients)
    assert len(daemon.sessions) == 3


def test_many_threads_record_and_nothing_is_lost(daemon: FakeDaemon, client: TraceClient) -> None:
    def work() -> None:
        for _ in range(500):
            assert client.record(model="m", request={"a": 1})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(30)
    records = daemon.records()
    assert len({record["provider_trace_id"] for record in records}) == len(records) == 4000


async def test_an_event_loop_may_await_the_flush(daemon: FakeDaemon, client: TraceClient) -> None:
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other_work())
    client.record(model="m")
    assert await client.aflush(20)
    task.cancel()
    assert turns > 0


def test_a_signal_handler_may_record_in_the_middle_of_recording(
    daemon: FakeDaemon, client: TraceClient
) -> None:
    handled: list[bool] = []

    def handler(*_: object) -> None:
        handled.append(client.record(model="from the handler"))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
    try:
        recorded = 0
        while len(handled) < 50:
            recorded += client.record(model="from the program")
            client.stats()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert client.flush(60)
    assert len(daemon.records()) == sum(handled) + recorded


def test_a_log_handler_that_records_and_flushes_does_not_hang(tmp_path: Path) -> None:
    client = TraceClient(tmp_path / "nobody.sock")

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            client.record(model=record.getMessage())
            client.flush(10)

    recorder = Recorder()
    logging.getLogger("llmledger").addHandler(recorder)
    try:
        client.record(model="m")
        wait_until(lambda: client.stats().records == 2, seconds=5)
    finally:
        logging.getLogger("llmledger").removeHandler(recorder)
        client.close(0)


# Processes.


def run_script(daemon: FakeDaemon, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env={**os.environ, "LLMLEDGER_SOCKET": str(daemon.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_log_filter_that_raises_does_not_end_the_sender(tmp_path: Path, client: TraceClient) -> None:
    class Broken(logging.Filter):
        times = 0

        def filter(self, record: logging.LogRecord) -> bool:
            self.times += 1
            raise ZeroDivisionError

    broken = Broken()
    logging.getLogger("llmledger").addFilter(broken)
    try:
        client.record(model="m")
        wait_until(lambda: broken.times)
        with FakeDaemon(tmp_path / "d.sock") as daemon:
            assert client.flush(20)
            assert models(daemon) == ["m"]
    finally:
        logging.getLogger("llmledger").removeFilter(broken)


def test_url_and_headers_lose_what_is_confidential(daemon: FakeDaemon, client: TraceClient) -> None:
    client.record(
        url="https://me:secret@h/v1/chat?key=secret#secret",
        response_headers={"X-Request-Id": "r", "Set-Cookie": "secret", "authorization": "secret"},
    )
    pairs: Any = [("x-api-key", "secret")]
    client.record(response_headers=pairs)
    assert client.flush(10)
    first, second = daemon.records()
    assert (first["url"], first["response_headers"]) == ("https://h/v1/chat", {"x-request-id": "r"})
    assert second["response_headers"] is None


def test_a_forked_child_begins_a_session_of_its_own(daemon: FakeDaemon, client: TraceClient) -> None:
    daemon.holds_answers = True
    for _ in range(5):
        client.record(model="parent, before")
    daemon.wait_for(lambda: daemon.records())
    child = os.fork()
    if not child:
        client.record(model="child")
        os._exit(0 if client.close(10) else 1)
    client.record(model="parent, after")
    daemon.release_answers()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.flush(20)
    by_session = {
        session: [json.loads(line).get("model") for line in lines]
        for session, lines in daemon.sessions.items()
    }
    assert by_session.pop(client.stats().session) == ["parent, before"] * 5 + ["parent, after"]
    assert list(by_session.values()) == [["child", None]]


def test_a_child_does_not_keep_its_parents_connection_open(daemon: FakeDaemon) -> None:
    result = run_script(
        daemon,
        """
        import os, signal, llmledger
        llmledger.record(model="parent")
        assert llmledger.flush(20)
        child = os.fork()
        if not child:
            os.close(1), os.close(2)
            signal.pause()
        print(child, flush=True)
        os._exit(0)
        """,
    )
    try:
        assert result.returncode == 0, result.stderr
        daemon.wait_for(lambda: not daemon.is_connected)
    finally:
        os.kill(int(result.stdout), signal.SIGKILL)


def test_a_script_that_ends_without_close_delivers_everything(daemon: FakeDaemon) -> None:
    result = run_script(
        daemon,
        """
        import sys, llmledger
        for number in range(1000):
            llmledger.record(model=str(number))
        sys.exit(3)
        """,
    )
    assert (result.returncode, result.stderr) == (3, "")
    assert len(daemon.records()) == 1000
    assert daemon.controls("end") == [{"taken": 1000}]


def test_a_script_with_nobody_at_the_socket_ends_in_two_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run_script(FakeDaemon(tmp_path / "none"), "import llmledger; llmledger.record(model='m')")
    assert result.returncode == 0
    assert time.monotonic() - started < 10
    assert "unavailable" in result.stderr
    assert f"1 record was not delivered: no daemon answered at {tmp_path}" in result.stderr
    assert "(no such file or directory)" in result.stderr
    assert "set LLMLEDGER_SOCKET" in result.stderr
    assert result.stderr.count("\n") == 2


def test_a_destructor_that_records_at_shutdown_hurts_nobody(daemon: FakeDaemon) -> None:
    result = run_script(
        daemon,
        """
        import llmledger, sys
        class Late:
            def __del__(self): llmledger.record(model="late")
        llmledger.record(model="m")
        sys.late = late = Late()
        """,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert models(daemon)[0] == "m"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_before_they_end(
    daemon: FakeDaemon, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "pool.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing, llmledger
            def work(number):
                llmledger.record(model=str(number))
            if __name__ == "__main__":
                llmledger.record(model="parent")
                context = multiprocessing.get_context({method!r})
                children = [context.Process(target=work, args=(number,)) for number in range(3)]
                for child in children: child.start()
                for child in children: child.join()
            """
        )
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "LLMLEDGER_SOCKET": str(daemon.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(models(daemon)) == ["0", "1", "2", "parent"]
    assert len(daemon.controls("end")) == 4


def test_an_application_that_restored_sigpipe_survives_a_dead_daemon(daemon: FakeDaemon) -> None:
    daemon.cut_after_lines = 1
    result = run_script(
        daemon,
        """
        import signal, llmledger
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number in range(20):
            llmledger.record(model=str(number), request="x" * 100_000)
        assert llmledger.close(30)
        """,
    )
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert len(daemon.records()) == 20


def test_the_import_brings_neither_asyncio_nor_logging() -> None:
    script = "import sys, llmledger; print([m for m in ('asyncio', 'logging', 'json', 'ctypes') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_calls_that_were_not_recorded_are_reported_without_any_record(
    daemon: FakeDaemon, client: TraceClient
) -> None:
    client.report_unrecorded("unknown_host:gw.example")
    daemon.wait_for(lambda: daemon.controls("dropped"))
    assert daemon.controls("dropped") == [{"unknown_host:gw.example": 1}]
    assert client.stats().records == 0
    assert client.close()
    assert daemon.controls("end") == [{"taken": 0}]


def test_an_end_that_is_not_acknowledged_is_no_lost_record(
    daemon: FakeDaemon, client: TraceClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.record(model="m")
    assert client.flush(10)
    daemon.holds_answers = True
    assert client.close(0.2)
    daemon.release_answers()
    assert not caplog.records
