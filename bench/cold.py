"""What recording costs a caller whose caches hold something else: the sum that decides how ``take`` is written.

`python -m bench.cold [--size BYTES] [--rounds N] [--evict MIB]` prints, for an empty function, ``record``
with payloads as bytes and as dicts, and ``msgspec.json.encode`` alone, the quartiles out of cold caches
and the best of a tight loop. Before each call so much memory is copied, and an answer decoded;
behind it the buffer is emptied, as if the records had become durable.

Invariant: one process, no pace, no other end; the calls take turns, so that what disturbs the machine
disturbs all. Run it with two versions in turns, ten times each: below 10 % it says nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import msgspec

from bench.client_subject import ANSWER, Fields, Nothing, fields
from llmledger import TraceClient

Call = tuple[Callable[..., object], Fields]
LOOP = 50


def calls(size: int, client: TraceClient) -> dict[str, Call]:
    """Return what is compared."""
    as_bytes, as_dicts = fields(size, as_bytes=True), fields(size, as_bytes=False)
    return {
        "nothing": (Nothing("", 0).record, as_bytes),
        "bytes": (client.record, as_bytes),
        "dicts": (client.record, as_dicts),
        "encode": (lambda **given: msgspec.json.encode(given), as_dicts),
    }


def timed(call: Callable[..., object], given: Fields, times: int = 1) -> float:
    """Return the microseconds of one call."""
    before = perf_counter_ns()
    for _ in range(times):
        call(**given)
    return (perf_counter_ns() - before) / 1000 / times


def let_go(client: TraceClient) -> None:
    """Empty the buffer, so that memory is used again and again."""
    buffer = client._buffer
    while buffer.next_line() is not None:
        pass
    buffer.forget(buffer.last)


def evict(memory: bytearray) -> Any:
    """Fill the caches with something else, and be at work again."""
    bytes(memory)
    return [msgspec.json.decode(ANSWER) for _ in range(60)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--evict", type=int, default=8)
    chosen = parser.parse_args()
    memory = bytearray(os.urandom(chosen.evict << 20))
    with tempfile.TemporaryDirectory() as folder:
        client = TraceClient(f"{folder}/socket")
        subjects = calls(chosen.size, client)
        warm: dict[str, list[float]] = {name: [] for name in subjects}
        cold: dict[str, list[float]] = {name: [] for name in subjects}
        for turn in range(chosen.rounds):
            for name, call in subjects.items():
                evict(memory)
                cold[name].append(timed(*call))
                let_go(client)
                if turn % 10 == 0:
                    warm[name].append(timed(*call, LOOP))
                    let_go(client)
        print(f"{'µs':12}{'cold 25%':>10}{'50%':>8}{'75%':>8}{'warm':>8}")
        for name, took in cold.items():
            low, middle, high = statistics.quantiles(took, n=4)
            print(f"{name:12}{low:10.1f}{middle:8.1f}{high:8.1f}{min(warm[name]):8.2f}", flush=True)
        os._exit(0)  # what nobody took is no matter here


if __name__ == "__main__":
    main()
