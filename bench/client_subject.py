"""One way to record, measured in a process of its own; started by ``bench/client.py``.

Invariant: what one figure is about happens alone. First records are paced, and each call is timed;
their CPU is that of all threads of the process from the first call until the last record is handed
on, less what the pacing takes. Then they come one by one, far apart, while another thread ticks: how late its ticks are after a
record, beside how late they are when nothing happens, is what a record costs the application's other
threads. Last, with nobody to take them, records are made until the buffer is full.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from llmledger import TraceClient, new_id

TICK_SECONDS = 0.0005
APART_SECONDS = 0.15
STALL_RECORDS = 16
WARM_UP = 20
AWAKE_SECONDS = 0.001

Fields = dict[str, Any]

ENVELOPE: Fields = {
    "org_id": "org-1",
    "agent_id": "agent-1",
    "run_id": "run-1",
    "step_id": "step-1",
    "type": "agent_step",
    "provider": "openai",
    "model": "gpt-4o",
    "latency_ms": 812.4,
    "attempt": 1,
    "status_code": 200,
    "url": "https://api.openai.com/v1/chat/completions",
    "outcome": "ok",
}
MESSAGE = {"role": "user", "content": 'The quick brown fox said: "jump over the lazy dog."\n' * 5}

ANSWER = msgspec.json.encode({"choices": [{"message": MESSAGE}], "usage": {"total": 9}})


class Subject:
    """A way to get rid of one record."""

    record: Callable[..., object]
    """What the application's thread waits for."""

    def __init__(self, path: str, port: int) -> None:
        self.path = path
        self.port = port

    def finish(self) -> int:
        """Return when all of it is handed on, with how many records were lost."""
        return 0


class Nothing(Subject):
    """The call alone: what the pace and cold caches cost, whoever is called."""

    def record(self, **fields: Any) -> object:
        return fields


class Ours(Subject):
    """(a) and (b)."""

    def __init__(self, path: str, port: int) -> None:
        super().__init__(path, port)
        self.client = TraceClient(path)
        self.record = self.client.record

    def finish(self) -> int:
        self.client.flush(0.0 if not os.path.exists(self.path) else 1.0)  # noqa: PTH110 - no Path in what is timed
        return sum(self.client.stats().lost.values())


class Encoding(Subject):
    """(c) One call of msgspec for the whole record, and nothing done with it."""

    def record(self, **fields: Any) -> object:
        return msgspec.json.encode(fields)


class Threads(Subject):
    """(d) One thread, one connection and one json.dumps for each record."""

    def __init__(self, path: str, port: int) -> None:
        super().__init__(path, port)
        self.threads: list[threading.Thread] = []
        self.lost = 0

    def record(self, **fields: Any) -> object:
        thread = threading.Thread(target=self._send, args=(fields,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def _send(self, fields: Fields) -> None:
        line = json.dumps(fields).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(self.path)
                connection.sendall(line)
        except OSError:
            self.lost += 1

    def finish(self) -> int:
        for thread in self.threads:
            thread.join()
        self.threads.clear()
        return self.lost


class OpenTelemetry(Subject):
    """(e) A span with the payloads as attributes, through BatchSpanProcessor and OTLP over HTTP."""

    def __init__(self, path: str, port: int) -> None:
        super().__init__(path, port)
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        exporter = otlp.OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")
        self.provider = sdk.TracerProvider()
        self.provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("bench")

    def record(self, **fields: Any) -> object:
        attributes = {
            name: value if isinstance(value, str | int | float) else json.dumps(value)
            for name, value in fields.items()
        }
        self.tracer.start_span("call", attributes=attributes).end()
        return None

    def finish(self) -> int:
        self.provider.force_flush()
        return 0


class Langfuse(Subject):
    """(f) A generation with input and output."""

    def __init__(self, path: str, port: int) -> None:
        super().__init__(path, port)
        sdk = importlib.import_module("langfuse")
        host = f"http://127.0.0.1:{port}"
        self.client = sdk.Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", host=host)

    def record(self, **fields: Any) -> object:
        observation = self.client.start_observation(
            name="call",
            as_type="generation",
            model=fields["model"],
            input=fields["request"],
            output=fields["response"],
            metadata={"org_id": fields["org_id"], "agent_id": fields["agent_id"]},
        )
        observation.end()
        return None

    def finish(self) -> int:
        self.client.flush()
        return 0


SUBJECTS: dict[str, tuple[type[Subject], bool]] = {
    "nothing": (Nothing, True),
    "bytes": (Ours, True),
    "dicts": (Ours, False),
    "encode": (Encoding, False),
    "threads": (Threads, False),
    "opentelemetry": (OpenTelemetry, False),
    "langfuse": (Langfuse, False),
}
"""By name: the class, and whether payloads are bytes."""


def fields(size: int, *, as_bytes: bool) -> Fields:
    """Return a record whose payloads have about so many bytes."""
    answer = {"id": "chatcmpl-1", "choices": [{"message": {"content": "yes " * 50}}], "usage": {"total": 9}}
    messages = [MESSAGE] * max(1, round((size - 600) / len(json.dumps(MESSAGE))))
    payloads: Fields = {"request": {"model": "gpt-4o", "messages": messages}, "response": answer}
    if as_bytes:
        payloads = {name: msgspec.json.encode(payload) for name, payload in payloads.items()}
    own = {"provider_trace_id": new_id(), "timestamp": "2030-01-01T00:00:00Z"}
    return {**ENVELOPE, **own, **payloads}


def at_work(given: Fields) -> Fields:
    """Read an answer and put a record's fields together."""
    answer = msgspec.json.decode(ANSWER)
    made: Fields = {}
    for name, value in given.items():
        made[name] = value
    made["status_code"] = 200 if answer["choices"] else 204
    return made


class Pace(NamedTuple):
    """What each call took of the calling thread, in microseconds, and what the waiting between them took of a core."""

    took: list[float]
    waiting_cpu: float


def pace(subject: Subject, given: Fields, rate: float, count: int, *, is_awake: bool = True) -> Pace:
    """Record at that rate, out of a sleep or, awake, out of work, as an application does.

    A thread that comes out of some milliseconds of sleep finds a halted core and cold caches: there
    an empty function takes up to 40 microseconds, and what is called hardly matters. Awake, the
    fields were put together just before: the same objects every time, last seen a pause ago, would
    charge each way for finding its arguments in memory, which an application has just made.
    """
    took, waiting_cpu = [], 0.0
    lead = AWAKE_SECONDS if is_awake else 0.0
    due = time.perf_counter()
    for _ in range(count):
        due += 1 / rate
        cpu = time.thread_time()
        time.sleep(max(0.0, due - lead - time.perf_counter()))
        made = given
        while is_awake and time.perf_counter() < due:
            made = at_work(given)
        waiting_cpu += time.thread_time() - cpu
        before = time.perf_counter_ns()
        subject.record(**made)
        took.append((time.perf_counter_ns() - before) / 1000)
    return Pace(sorted(took), waiting_cpu)


class Ticker(threading.Thread):
    """Another thread of the application: asks for a rest, and notes by how much it was longer."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late: list[tuple[float, float]] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            before = time.perf_counter()
            time.sleep(TICK_SECONDS)
            now = time.perf_counter()
            self.late.append((now, (now - before - TICK_SECONDS) * 1000))

    def worst(self, start: float, end: float) -> float:
        """Return the latest tick of a time, in milliseconds."""
        return max((late for at, late in self.late if start <= at < end), default=0.0)


def stall(subject: Subject, given: Fields) -> tuple[float, float]:
    """Return the median of the latest tick after a record, and of as long a time without any."""
    ticker = Ticker()
    ticker.start()
    starts = []
    for _ in range(STALL_RECORDS):
        starts.append(time.perf_counter())
        subject.record(**given)
        time.sleep(APART_SECONDS)
    ticker.is_over = True
    ticker.join()
    half = APART_SECONDS / 2
    busy = [ticker.worst(start, start + half) for start in starts]
    idle = [ticker.worst(start + half, start + 2 * half) for start in starts]
    return statistics.median(busy), statistics.median(idle)


def fill(client: TraceClient, given: Fields) -> dict[str, float]:
    """Hand over half as much again as the buffer holds, each payload with memory of its own."""
    before, held = memory_bytes(), client.stats().waiting_bytes
    size = len(given["request"])
    count = (96 << 20) // size
    taken = sum(
        client.record(**{**given, "request": bytes(bytearray(given["request"]))}) for _ in range(count)
    )
    stats = client.stats()
    return {
        "fill_offered": count,
        "fill_taken": taken,
        "fill_counted_lost": stats.lost.get("buffer_full", 0),
        "held_mib": stats.waiting_bytes / 2**20,
        "memory_mib": (memory_bytes() - before + held) / 2**20,
    }


def memory_bytes() -> int:
    """Return the process's resident memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no Path, whose import would be measured
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    """Measure ``name size rate count path port fills``, and print one JSON object."""
    name, size, rate, count, path, port, fills = sys.argv[1:]
    kind, as_bytes = SUBJECTS[name]
    subject = kind(path, int(port))
    given = fields(int(size), as_bytes=as_bytes)
    pace(subject, given, float(rate), WARM_UP if int(size) < 1_000_000 else 3)
    subject.finish()
    asleep = pace(subject, given, float(rate), int(count), is_awake=False).took
    lost = subject.finish()
    cpu = time.process_time()
    took, waiting_cpu = pace(subject, given, float(rate), int(count))
    lost = subject.finish() - lost
    cpu = time.process_time() - cpu - waiting_cpu
    busy, idle = stall(subject, given)
    result: dict[str, object] = {
        "asleep_p50_us": asleep[len(asleep) // 2],
        "p50_us": took[len(took) // 2],
        "p99_us": took[int(len(took) * 0.99)],
        "max_us": took[-1],
        "cpu_us": cpu / int(count) * 1e6,
        "stall_ms": busy - idle,
        "idle_ms": idle,
        "lost": lost,
        "of": int(count),
    }
    if fills == "fills" and isinstance(subject, Ours) and as_bytes:
        result |= fill(subject.client, given)
    print(json.dumps(result), flush=True)
    os._exit(0)  # what could not be delivered is no matter here


if __name__ == "__main__":
    main()
