"""A stream that was cut inside its first event, and other lines that are long to read, hold nobody up."""

from __future__ import annotations

import time

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.unix_connection import connected
from tests.helpers.waiting import until

SIZE = 400_000
TRIES = 6


def cut(start: str, piece: str, size: int = SIZE) -> str:
    return start + piece * (size // len(piece))


STREAMS = (
    cut('data: {"type":"response.created","response":{"instructions":"', '\\"x'),
    cut('data: {"type":"response.created","response":{"instructions":"', "\\\\"),
    cut('data: {"choices":[{"delta":{"content":"', '\\"x\\"'),
    cut("data: ", '{"a":'),
    cut("data: ", '["x",'),
    cut('[{"candidates":"', '\\"x'),
    cut("", 'data: {"choices":[{"delta":{"tool_calls":[{"index":1000000000}]}}]}\n\n'),
    "".join(
        f'data: {{"choices":[{{"delta":{{"tool_calls":[{{"index":{n},"function":{{"arguments":"x"}}}}]}}}}]}}\n\n'
        for n in range(20_000)
    ),
)


def answers(stage: Stage) -> bool:
    try:
        with connected(stage.folder / "d" / "admin.sock", 5.0) as sock:
            sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b" 200 " in sock.recv(64)
    except OSError:
        return False


def run(stage: Stage) -> str:
    with stage.daemon() as daemon:
        lines = [line(f"hostile-{number}", 1, response_stream=one) for number, one in enumerate(STREAMS)]
        daemon.send_one_way(b"".join(lines) + line("behind", 1))
        began = time.monotonic()
        for attempt in range(TRIES):
            assert answers(stage), f"/healthz did not answer at attempt {attempt + 1} of {TRIES}"
            time.sleep(0.1)
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == len(lines) + 1)
        took = time.monotonic() - began
        daemon.kill()
        daemon.start()  # and again, should the segment not have been written off
        assert answers(stage)
    return f"{len(lines)} lines of some {SIZE:,} bytes stored in {took:.1f} s, /healthz {TRIES} of {TRIES}"
