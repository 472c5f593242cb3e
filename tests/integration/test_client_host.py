"""The client in the processes of real applications, with the real daemon and the real table."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.waiting import until

SETTINGS = {"orphan_grace_seconds": 0.5, "batch_max_age_seconds": 0.05}

PREFORK = r"""
import os, signal, sys, time
import llmledger

PER_WORKER = 300

def work(name):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in range(PER_WORKER):
        llmledger.record(provider_trace_id=f"{name}-{number}", model="m", request={"n": number})
        time.sleep(0.001)  # an application has other things to do
        if number == PER_WORKER // 2:
            llmledger.flush(20)
            durable = llmledger.stats().delivered
            os.write(1, f"{name} {durable}\n".encode())  # at once, beside the other workers
            while "killed" in name:  # to be killed in the middle
                number += 1
                llmledger.record(provider_trace_id=f"{name}-{number}", model="m", request={"n": number})
                time.sleep(0.001)
    sys.exit(0)

def start(name):
    child = os.fork()
    if not child:
        work(name)
    return child

for number in range(100):
    llmledger.record(provider_trace_id=f"parent-before-{number}", model="m")
workers = {start(name): name for name in ("living-1", "living-2", "killed-1", "killed-2")}
replaced = 0
while workers:
    command = sys.stdin.readline().split() if replaced < 2 else []
    if command:
        child = next(pid for pid, name in workers.items() if name == command[0])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        del workers[child]
        replaced += 1
        workers[start(f"living-{2 + replaced}")] = f"living-{2 + replaced}"
        llmledger.record(provider_trace_id=f"parent-replaced-{replaced}", model="m")
        continue
    child, status = os.wait()
    assert status == 0, (workers[child], status)
    del workers[child]
for number in range(100):
    llmledger.record(provider_trace_id=f"parent-after-{number}", model="m")
"""


@pytest.fixture
def table(server: Store) -> Store:
    """Return the store that the daemon writes to."""
    return server


@pytest.fixture
def daemon(table: Store, server_url: str, tmp_path: Path) -> Iterator[RunningDaemon]:
    """Start a daemon over a table that has been migrated."""
    with RunningDaemon(tmp_path / "d", url=server_url, settings=SETTINGS) as running:
        yield running


def counts(table: Store) -> dict[str, int]:
    """Return how many rows each id has."""
    rows = table.query("SELECT id, count() AS n FROM llm_traces GROUP BY id")
    return {row["id"]: row["n"] for row in rows}


def losses(table: Store) -> dict[tuple[str, str], int]:
    """Return how many losses were reported, by stage and reason."""
    rows = table.query("SELECT stage, reason, count() AS n FROM llm_trace_losses GROUP BY stage, reason")
    return {(row["stage"], row["reason"]): row["n"] for row in rows}


def settled(daemon: RunningDaemon) -> bool:
    """Return whether all that the daemon has received is in the table."""
    return not admin.status(daemon.folder / "admin.sock")["in_spool"]


def script(code: str, daemon: RunningDaemon | FakeDaemon, *flags: str) -> subprocess.Popen[str]:
    """Start a program that records."""
    path = daemon.socket if isinstance(daemon, RunningDaemon) else daemon.path
    return subprocess.Popen(
        [sys.executable, "-W", "error", *flags, "-c", textwrap.dedent(code)],
        env={**os.environ, "LLMLEDGER_SOCKET": str(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.chaos
def test_a_prefork_server_loses_of_killed_workers_alone_and_says_so(
    daemon: RunningDaemon, table: Store
) -> None:
    master = script(PREFORK, daemon)
    assert master.stdin is not None
    assert master.stdout is not None
    durable: dict[str, int] = {}
    while len(durable) < 4:
        name, count = master.stdout.readline().split()
        durable[name] = int(count)
    master.stdin.write("killed-1\nkilled-2\n")
    master.stdin.flush()
    _, errors = master.communicate(timeout=60)
    assert (master.returncode, errors) == (0, "")

    promised = {f"parent-{when}-{number}" for when in ("before", "after") for number in range(100)}
    promised |= {f"parent-replaced-{number}" for number in (1, 2)}
    promised |= {f"living-{worker}-{number}" for worker in (1, 2, 3, 4) for number in range(300)}
    for worker in ("killed-1", "killed-2"):
        promised |= {f"{worker}-{number}" for number in range(durable[worker])}
    until(lambda: losses(table) == {("client", "sender_died"): 2}, what="two dead senders")
    until(lambda: settled(daemon), what="an empty spool")
    found = counts(table)
    assert promised - found.keys() == set()
    assert set(found.values()) == {1}
    assert {name.rpartition("-")[0] for name in found.keys() - promised} <= {"killed-1", "killed-2"}
    assert losses(table) == {("client", "sender_died"): 2}


def run(code: str, daemon: RunningDaemon | FakeDaemon, *flags: str) -> tuple[int, str]:
    """Run a program that records to its end; return its exit status and what it said in errors."""
    process = script(code, daemon, *flags)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "f.sock") as running:
        yield running


def test_uvloop_is_not_held_up_by_a_daemon_that_never_answers(fake: FakeDaemon) -> None:
    fake.is_silent = True
    code = """
        import asyncio, llmledger, uvloop
        async def tick():
            turns = 0
            try:
                while True:
                    turns += 1
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                return turns
        async def main():
            ticking = asyncio.create_task(tick())
            for number in range(1000):
                assert llmledger.record(model=str(number), request=b"{}")
                await asyncio.sleep(0)
            assert not await llmledger.aflush(0.1)
            ticking.cancel()
            assert await ticking > 1000
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
        llmledger.close(0.0)
    """
    status, errors = run(code, fake)
    assert (status, "Traceback" in errors) == (0, False), errors
    fake.is_silent = False
    fake.release_answers()


def test_sys_exit_in_a_signal_handler_delivers_what_was_taken(fake: FakeDaemon) -> None:
    code = """
        import llmledger, os, signal, sys
        def stop(*_):
            llmledger.record(model="from the handler")
            sys.exit(7)
        signal.signal(signal.SIGTERM, stop)
        for number in range(100):
            llmledger.record(model=str(number))
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    """
    assert run(code, fake) == (7, "")
    assert [record["model"] for record in fake.records()][-1] == "from the handler"
    assert fake.controls("end") == [{"taken": 101}]


def test_an_application_that_dies_of_an_exception_delivers_what_was_taken(fake: FakeDaemon) -> None:
    status, errors = run("import llmledger; llmledger.record(model='m'); raise KeyError('theirs')", fake)
    assert (status, errors.splitlines()[-1]) == (1, "KeyError: 'theirs'")
    assert len(fake.records()) == 1


def test_a_destructor_that_raises_while_it_is_recorded_hurts_nobody(fake: FakeDaemon) -> None:
    code = """
        import gc, llmledger, sys
        sys.unraisablehook = lambda _: None  # the application's own exceptions, which Python prints
        class Loud:
            def __init__(self): self.me = self
            def __del__(self):
                llmledger.record(model="from the destructor")
                raise RuntimeError("in a destructor")
        gc.set_threshold(5)
        for number in range(200):
            Loud()
            assert llmledger.record(model="from the program", request={"a": [number]})
        gc.collect()
        assert llmledger.flush(20)
    """
    assert run(code, fake) == (0, "")
    by_whom = [record["model"] for record in fake.records()]
    assert (by_whom.count("from the program"), by_whom.count("from the destructor")) == (200, 200)


def test_an_object_that_records_while_it_is_encoded_is_recorded_with_it(fake: FakeDaemon) -> None:
    code = """
        import llmledger
        class Curious:
            def model_dump(self, **_):
                llmledger.record(model="inner")
                return {"a": 1}
        assert llmledger.record(model="outer", request={"x": Curious()})
        assert llmledger.flush(20)
    """
    assert run(code, fake) == (0, "")
    assert [record["model"] for record in fake.records()] == ["inner", "outer"]


def test_an_object_that_records_itself_without_end_ends(fake: FakeDaemon) -> None:
    code = """
        import llmledger
        class Bottomless:
            def model_dump(self, **_):
                llmledger.record(model="inner", request=self)
                return {"a": 1}
        assert llmledger.record(model="outer", request=Bottomless())
        assert llmledger.flush(30)
    """
    status, errors = run(code, fake)
    assert (status, "Traceback" in errors) == (0, False), errors
    assert fake.records()[-1]["model"] == "outer"


def test_a_child_that_forks_again_delivers_for_itself(fake: FakeDaemon) -> None:
    code = """
        import llmledger, os, sys
        for depth in range(4):
            llmledger.record(model=str(depth))
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                sys.exit(0)
        llmledger.record(model="leaf")
    """
    assert run(code, fake) == (0, "")
    assert sorted(record["model"] for record in fake.records()) == ["0", "1", "2", "3", "leaf"]
    assert len(fake.sessions) == 5


def test_threads_that_record_while_the_process_forks_lose_nothing(fake: FakeDaemon) -> None:
    code = """
        import llmledger, os, threading
        def work(name):
            for number in range(300):
                assert llmledger.record(model=name)
        threads = [threading.Thread(target=work, args=("parent",)) for _ in range(3)]
        for thread in threads: thread.start()
        children = []
        for _ in range(5):
            child = os.fork()
            if not child:
                work("child")
                os._exit(0 if llmledger.close(20) else 1)
            children.append(child)
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
        for thread in threads: thread.join()
        assert llmledger.close(20)
    """
    assert run(code, fake) == (0, "")
    by_whom = [record["model"] for record in fake.records()]
    assert (by_whom.count("parent"), by_whom.count("child")) == (900, 1500)


def test_a_thread_that_outlives_the_exit_hurts_nobody(fake: FakeDaemon) -> None:
    code = """
        import llmledger, threading
        def forever():
            while True:
                llmledger.record(model="late")
        llmledger.record(model="m")
        threading.Thread(target=forever, daemon=True).start()
    """
    status, errors = run(code, fake)
    assert (status, "Traceback" in errors) == (0, False), errors
    assert fake.records()[0]["model"] == "m"


# -- by hand, with socat ----------------------------------------------------------------------------


def by_hand() -> list[str]:
    """Return the commands of PROTOCOL.md that pipe into socat."""
    text = (ROOT / "PROTOCOL.md").read_text()
    fences = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [fence for fence in fences if "| socat" in fence]


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_the_one_liners_of_the_protocol_make_rows(daemon: RunningDaemon, table: Store) -> None:
    commands = by_hand()
    assert len(commands) >= 2
    for command in commands:
        here = command.replace("/run/llmledgerd/llmledgerd.sock", str(daemon.socket))
        subprocess.run(["sh", "-ec", here], check=True, capture_output=True, timeout=30)
    until(lambda: sum(counts(table).values()) == len(commands), what="a row for each command")
    assert "5f0c4a52-6f0e-4a8e-9a0e-6d2a3f5c7b10" in counts(table)


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_the_session_by_hand_is_answered(daemon: RunningDaemon, table: Store) -> None:
    text = (ROOT / "PROTOCOL.md").read_text()
    (lines,) = re.findall(r"```sh\nsocat - [^\n]*\n(.*?)```", text, re.DOTALL)
    with subprocess.Popen(
        ["socat", "-", f"UNIX-CONNECT:{daemon.socket}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as typed:
        assert typed.stdin is not None
        assert typed.stdout is not None
        answers = []
        for line in lines.splitlines():
            typed.stdin.write(line + "\n")
            answers.append(typed.stdout.readline())
        typed.send_signal(signal.SIGTERM)
    assert answers[0] == '{"durable":0,"protocol_version":4,"max_line_bytes":134217728}\n'
    assert answers[1:] == ['{"durable":1}\n', '{"durable":2}\n']
    until(lambda: counts(table) == {"by-hand": 1}, what="the row")
    assert losses(table) == {}
