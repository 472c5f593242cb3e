"""From ``record()`` to durable, and to stored, at a paced rate: through the real client.

``python -m bench.pipeline.latency SOCKET SIZE RATE SECONDS`` says ``ready``, waits for a line, records,
and prints one JSON object: when each record was handed over, and when it was called durable. A thread waits for
durability all the while, as ``flush`` does: what nobody waits for the client reads some naps later.
"""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_left

import msgspec

from bench.pipeline.ways import LONGEST_SECONDS, Bench, go, read, ready, rows_in
from bench.pipeline.workload import make_lines
from llmledger import TraceClient
from tests.helpers.daemon import RunningDaemon

POLL_SECONDS = 0.01
SECONDS = 8.0
RATE = 2_000.0


class Moments(msgspec.Struct):
    """Seconds of one clock."""

    handed_over: list[float]
    durable: list[float]


class Latency(msgspec.Struct):
    """Milliseconds from ``record()``; to stored with an error of the poll, 10 ms."""

    durable_p50: float
    durable_p99: float
    stored_p50: float
    stored_p99: float


def measure(bench: Bench, size: int, *, rate: float = RATE, seconds: float = SECONDS) -> Latency:
    """Run one client at the rate against a daemon with its default batch age."""
    folder = bench.fresh("latency")
    count = int(rate * seconds)
    with (
        RunningDaemon(folder, url=bench.engine.url, settings={"batch_max_age_seconds": 1.0}) as daemon,
        ready("latency", daemon.socket, size, rate, seconds) as client,
    ):
        go(client)
        seen = _stored(bench, count)
        moments = msgspec.json.decode(read(client), type=Moments)
    durable = sorted(_waits(moments.handed_over, moments.durable))
    stored = sorted(_waits(moments.handed_over, seen))
    return Latency(*(1000 * at(values, share) for values in (durable, stored) for share in (0.5, 0.99)))


def at(values: list[float], share: float) -> float:
    """Return the value below which that share of the sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def _waits(begun: list[float], done: list[float]) -> list[float]:
    return [end - start for start, end in zip(begun, done, strict=True)]


def _stored(bench: Bench, count: int) -> list[float]:
    """Return when the n-th row was first seen; rows land in the order of their records."""
    seen: list[float] = []
    while len(seen) < count:
        have = rows_in(bench.engine)
        seen += [time.perf_counter()] * (have - len(seen))
        time.sleep(POLL_SECONDS)
    return seen


def main() -> None:
    """Record at the rate, and tell the moments."""
    path, size, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    count = int(rate * seconds)
    given = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in make_lines(int(size), 200)]
    payloads = [(bytes(fields["request"]), bytes(fields["response"])) for fields in given]
    client = TraceClient(path)
    client.record(org_id="warm", request=payloads[0][0], response=payloads[0][1])
    client.flush()
    durable: list[tuple[float, int]] = []
    forget = client._buffer.forget  # the one place that hears of it

    def hear(number: int) -> None:
        durable.append((time.perf_counter(), number))
        forget(number)

    setattr(client._buffer, "forget", hear)  # noqa: B010 - mypy knows that it is a method
    sender = client._sender
    assert sender is not None  # it has sent the first record
    limit = time.monotonic() + LONGEST_SECONDS
    threading.Thread(target=sender.wait_durable, args=(count, limit), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.readline()
    handed_over = []
    due = time.perf_counter()
    for number in range(count - 1):
        due += 1 / rate
        while (early := due - time.perf_counter()) > 0:
            time.sleep(early)
        request, response = payloads[number % len(payloads)]
        handed_over.append(time.perf_counter())
        client.record(org_id="org-1", model="gpt-4o-mini", request=request, response=response)
    client.flush(30)
    numbers = [number for _, number in durable]
    # The warm-up was line 1 of the session.
    first = [durable[bisect_left(numbers, number + 2)][0] for number in range(count - 1)]
    # And the first row that is counted.
    print(
        msgspec.json.encode(Moments([handed_over[0], *handed_over], [first[0], *first])).decode(), flush=True
    )
    client.close()


if __name__ == "__main__":
    main()
