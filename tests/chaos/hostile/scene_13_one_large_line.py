"""One line at the limit of lines takes at most twice its length of the daemon's memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

LINE_BYTES = (128 << 20) - 4096
MOST = 2.2
"""Lines in memory, with the allocator's own share."""
SMALL = 200
EVENT = (
    'data: {"choices":[{"index":0,"delta":{"content":"some twelve words of an answer, as they come"}}]}\n\n'
)


FILLED = "(filled)"


def large(call: str, text: str, **fields: Any) -> bytes:
    """Return a line in which one text is so long that the line is at the limit."""
    empty = line(call, 1, **{"response": None, **fields})
    escaped = msgspec.json.encode(text)[1:-1]
    return empty.replace(FILLED.encode(), escaped * ((LINE_BYTES - len(empty)) // len(escaped)))


def one_way(daemon: RunningDaemon, lines: list[bytes]) -> None:
    with daemon.connection() as sock:
        for one in lines:
            sock.sendall(one)


def in_session(daemon: RunningDaemon, lines: list[bytes]) -> None:
    hello = {"session": str(uuid.uuid4()), "first": 1, "service": "s", "host": "h", "client": "c", "pid": 1}
    with daemon.connection() as sock:
        sock.sendall(msgspec.json.encode({"protocol_version": 4, "hello": hello}) + b"\n")
        for one in lines:
            sock.sendall(one)
        heard = b""
        while f'"durable":{len(lines)}'.encode() not in heard.replace(b" ", b""):
            heard += sock.recv(4096)


def peak(daemon: RunningDaemon, *, afresh: bool = False) -> int:
    """Return the most that was resident since it was asked ``afresh``."""
    if afresh:
        Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")
    return daemon.peak_memory_bytes()


def measured(stage: Stage, daemon: RunningDaemon) -> Iterator[str]:
    at = stage.folder / "d" / "admin.sock"
    sent = SMALL
    in_session(daemon, [line(f"small-{number}", number) for number in range(SMALL)])
    until(lambda: admin.status(at)["stored"] == sent)
    answer = {"model": "m", "choices": [{"message": {"content": FILLED}}], "usage": {"prompt_tokens": 1}}
    for name, send, text, fields in (
        ("response, one-way", one_way, 'a word \\ and "more" ', {"response": answer}),
        ("response_stream, one-way", one_way, EVENT, {"response_stream": FILLED}),
        ("response, session", in_session, "ein Wört ", {"response": answer}),
        ("response_stream, session", in_session, EVENT, {"response_stream": FILLED}),
        ("request, session", in_session, "words ", {"request": {"messages": FILLED}}),
        ("a text, one-way", one_way, "words ", {"response": FILLED}),
    ):
        idle = peak(daemon, afresh=True)
        send(daemon, [large(name, text, **fields)])
        sent += 1
        until(lambda: admin.status(at)["stored"] == sent, limit=100)  # noqa: B023 - called in this round
        times = (peak(daemon) - idle) / LINE_BYTES
        said = f"{name}: {times:.2f} lines ({(peak(daemon) - idle) >> 20} MiB) above {idle >> 20} MiB"
        print(said, flush=True)
        assert times <= MOST, said
        yield said


def run(stage: Stage) -> str:
    engine = stage.engine()
    with stage.daemon(url=engine.url) as daemon:
        return "; ".join(measured(stage, daemon))
