"""What is sent round again twice is one row, within a batch, beside a segment in flight, and store away.

Letters replayed twice; two forgotten sessions that resend one id; the same file imported by two names at
once; the daemon killed between.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial

from llmledgerd.importing.dead_letters import replay
from llmledgerd.spool.dead_letters import DeadLetter, with_line
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

INSERT = "INSERT INTO llm_traces "
TIMES = 5
SETTINGS = {
    "batch_max_age_seconds": 0.5,
    "inserts_in_flight": 4,
    "retry_cap_seconds": 0.1,
    "insert_timeout_seconds": 2,
}


def letter(call: str) -> DeadLetter:
    body = line(call, 1).rstrip(b"\n")
    return with_line(DeadLetter(id=f"{call}:0", reason="any", received_us=0, size=len(body)), body)


def again(daemon: RunningDaemon, call: str) -> None:
    replay(daemon.socket, [letter(call)])


def forgotten(daemon: RunningDaemon, call: str) -> None:
    """Resend a line in a session of which this spool knows nothing."""
    with Session(daemon.socket) as session:
        session.durable, session.written = 3, 4
        session.hello()
        session.send([line(call, 1)], first=4)
        session.wait_durable(4)


def status(daemon: RunningDaemon) -> dict[str, int]:
    return admin.status(daemon.folder / "admin.sock")


def has_segments(daemon: RunningDaemon, count: int) -> bool:
    return status(daemon)["spool_segments"] >= count


def twice_in_a_batch(daemon: RunningDaemon, name: str, send: Callable[[RunningDaemon, str], None]) -> None:
    for _ in range(2):
        send(daemon, name)
    until(lambda: not status(daemon)["in_spool"], what="the spool to drain")


def while_away(
    engine: Engine,
    daemon: RunningDaemon,
    name: str,
    send: Callable[[RunningDaemon, str], None],
    *,
    killed: bool,
) -> None:
    engine.fault("error", times=10_000, only=INSERT, code=202)
    for number in range(1, TIMES + 1):
        send(daemon, name)
        until(partial(has_segments, daemon, number), what="a segment of its own")
    if killed:
        daemon.kill()
        daemon.start()
    engine.release()
    until(lambda: not status(daemon)["in_spool"], limit=30, what="the spool to drain")


def import_by_two_names(stage: Stage, daemon: RunningDaemon) -> None:
    """The same lines, without ids, from two files at once."""
    files = [stage.folder / name for name in ("one.ndjson", "two.ndjson")]
    files[0].write_bytes(b"".join(b'{"protocol_version":1,"request":{"n":%d}}\n' % n for n in range(200)))
    shutil.copy(files[0], files[1])
    command = [sys.executable, "-c", "from llmledgerd.cli.app import main; main()", "import", "--socket"]
    quiet = subprocess.DEVNULL
    running = [
        subprocess.Popen([*command, daemon.socket, file], cwd=ROOT, stdout=quiet, stderr=quiet)
        for file in files
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    until(lambda: not status(daemon)["in_spool"], what="the spool to drain")


def run(stage: Stage) -> str:
    engine = stage.engine()
    daemon = stage.daemon(url=engine.url, settings=SETTINGS)
    daemon.start()
    twice_in_a_batch(daemon, "letter", again)
    twice_in_a_batch(daemon, "session", forgotten)
    while_away(engine, daemon, "letter-away", again, killed=False)
    while_away(engine, daemon, "session-away", forgotten, killed=True)
    import_by_two_names(stage, daemon)
    said = engine.query("SELECT id, count() FROM llm_traces GROUP BY id").splitlines()
    rows = Counter({call: int(count) for call, count in (row.split("\t") for row in said)})
    named = {call: rows.pop(call, 0) for call in ("letter", "session", "letter-away", "session-away")}
    told = f"{named}; imported twice: {rows.total()} rows of {len(rows)} lines"
    assert set(named.values()) == {1}, told
    assert rows.total() == len(rows) == 200, told
    return told
