"""The daemon's CPU for each span over OTLP, beside its own lines of the same size: ``python -m bench.otlp``.

The engine runs in a process of its own, so that its work is not counted. Spans have the messages of a call as
attributes, and come in batches of 100 as exporters send them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.otlp import Exporter, as_protobuf, span, traces
from tests.helpers.session import Session
from tests.helpers.waiting import until

BATCH = 100
SIZES = ((2_000, 4_000), (20_000, 1_000))
"""Bytes of a call's messages, and the number of calls."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def attributes(size: int) -> dict[str, object]:
    said = "word " * (size // 10)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1234567890",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": said}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}]
        ),
    }


def lines(size: int, count: int) -> list[bytes]:
    said = "word " * (size // 10)
    record = {
        "protocol_version": 4,
        "provider": "openai",
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]},
        "response": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        },
    }
    return [json.dumps({**record, "provider_trace_id": f"{size}-{n}"}).encode() + b"\n" for n in range(count)]


def settled(daemon: RunningDaemon, count: int) -> None:
    """Return when so many rows are stored."""
    until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] >= count, limit=300)


def main() -> None:
    """Run both, and print microseconds of CPU for each call."""
    stored = 0
    with Stage() as stage:
        engine = stage.engine()
        with stage.daemon(url=engine.url, settings={"otlp": f"unix:{stage.folder}/o"}) as daemon:
            for size, count in SIZES:
                exporter = Exporter(stage.folder / "o")
                bodies = [
                    as_protobuf(
                        traces(
                            [
                                span(1 + n, attributes(size), trace=f"{size:016x}{start:016x}")
                                for n in range(BATCH)
                            ]
                        )
                    )
                    for start in range(0, count, BATCH)
                ]
                began, at = cpu_seconds(daemon.pid), time.monotonic()
                for body in bodies:
                    status = exporter.post("traces", body, {"Content-Type": "application/x-protobuf"})[0]
                    assert status == 200, status
                answered = cpu_seconds(daemon.pid) - began
                stored += count
                settled(daemon, stored)
                of_spans = cpu_seconds(daemon.pid) - began
                seconds = time.monotonic() - at
                own, began = lines(size, count), cpu_seconds(daemon.pid)
                with Session(daemon.socket) as session:
                    session.hello()
                    session.send(own)
                    session.wait_durable(count)
                stored += count
                settled(daemon, stored)
                of_lines = cpu_seconds(daemon.pid) - began
                sys.stdout.write(
                    f"{size:,} bytes: {of_spans / count * 1e6:.0f} us a span ({answered / count * 1e6:.0f} until"
                    f" answered, {seconds:.1f} s), {of_lines / count * 1e6:.0f} us a line of its own\n"
                )


if __name__ == "__main__":
    main()
