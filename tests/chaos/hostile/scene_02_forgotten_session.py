"""A session that the spool has forgotten, and that never heard of a line, is stored once.

Its lines are in the table; its spool is wiped, or its memory has passed; it says ``first`` 1 and what it
has written, and sends all of it again.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Mapping

from llmledger import TraceClient
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.session import Session
from tests.helpers.waiting import until
from tests.helpers.wire_proxy import WireProxy

FIRST, AGAIN = 5, 7
SETTINGS = {"batch_max_age_seconds": 0.05, "session_memory_seconds": 1}


def lines(name: str, last: int) -> list[bytes]:
    return [line(f"{name}-{number}", number) for number in range(1, last + 1)]


def ids(engine: Engine) -> Counter[str]:
    said = engine.query("SELECT id, count() FROM llm_traces GROUP BY id")
    return Counter({call: int(count) for call, count in (row.split("\t") for row in said.splitlines())})


def emptied(daemon: RunningDaemon) -> None:
    until(lambda: not admin.status(daemon.folder / "admin.sock")["in_spool"], what="the spool to drain")


def wipe(daemon: RunningDaemon) -> None:
    daemon.kill()
    for segment in daemon.segments():
        segment.unlink()
    daemon.start()


def by_hand(engine: Engine, daemon: RunningDaemon, wire: WireProxy, name: str, *, wiped: bool) -> None:
    with Session(wire.path, service=name) as session:
        session.hello()
        wire.hold_answers()
        session.send(lines(name, FIRST))
        until(lambda: ids(engine)[f"{name}-{FIRST}"], what="the lines to land")
        if wiped:
            wipe(daemon)
        wire.cut()
        wire.release()
        until(lambda: not admin.status(daemon.folder / "admin.sock")["sessions"], what="forgetting")
        assert session.hello() == 0
        # The last two have one id and were never sent before: by the contract two rows.
        session.send([*lines(name, AGAIN), line(f"{name}-{AGAIN}", AGAIN)])
        session.wait_durable(AGAIN + 1)
    emptied(daemon)
    once(engine, name, AGAIN - 1, {f"{name}-{AGAIN}": 2})


def by_client(engine: Engine, daemon: RunningDaemon, wire: WireProxy) -> None:
    wire.hold_answers(but_hellos=True)
    client = TraceClient(wire.path)
    for number in range(1, FIRST + 1):
        assert client.record(provider_trace_id=f"client-{number}", **openai_chat(number))
    until(lambda: ids(engine)[f"client-{FIRST}"], what="the records to land")
    wipe(daemon)
    wire.cut()
    wire.release()
    assert client.record(provider_trace_id=f"client-{AGAIN - 1}", **openai_chat(AGAIN))
    assert client.close(20)
    emptied(daemon)
    once(engine, "client", FIRST, {f"client-{AGAIN - 1}": 1})


def once(engine: Engine, name: str, last: int, more: Mapping[str, int]) -> None:
    """Check that each of these lines is one row, and those of ``more`` are so many."""
    expected = Counter({f"{name}-{number}": 1 for number in range(1, last + 1)} | dict(more))
    found = Counter({call: count for call, count in ids(engine).items() if call.startswith(f"{name}-")})
    assert found == expected, f"{name}: {dict(found - expected)} too many, {dict(expected - found)} missing"


def bounds(daemon: RunningDaemon) -> None:
    """Say hello with the largest ``last`` that there is, and with one that is larger."""
    for last, key in ((2**62 - 1, "durable"), (2**62, "error"), (-(2**62), "error")):
        hello = {"session": "00000000-0000-4000-8000-000000000001", "first": 1, "last": last}
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
            sock.connect(str(daemon.socket))
            sock.sendall(json.dumps({"protocol_version": 4, "hello": hello}).encode() + b"\n")
            assert key in json.loads(sock.makefile("rb").readline()), last


def run(stage: Stage) -> str:
    engine = stage.engine()
    daemon = stage.daemon(url=engine.url, settings=SETTINGS)
    daemon.start()
    with WireProxy(stage.folder / "w", daemon.socket) as wire:
        by_hand(engine, daemon, wire, "wiped", wiped=True)
        by_hand(engine, daemon, wire, "passed", wiped=False)
        by_client(engine, daemon, wire)
        bounds(daemon)
    return f"{ids(engine).total()} rows for {2 * (AGAIN + 1) + FIRST + 1} lines, three sessions forgotten"
