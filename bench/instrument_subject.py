"""One process of ``bench.instrument``: a tool, the hooks, and calls with and without them.

Invariant: the calls with the hooks and those without differ in nothing else, and take turns.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import json
import logging
import resource
import statistics
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from websockets.sync.client import connect

import llmledger
from llmledger.instrumentation import exchange
from llmledger.instrumentation.safety import faults
from tests.helpers import ways

WAYS = (
    ways.by_httpx,
    ways.by_async_httpx,
    ways.by_httpx2,
    ways.by_async_httpx2,
    ways.by_aiohttp,
    ways.by_requests,
    ways.by_urllib3,
)
PATH = "/v1/chat/completions"
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hello " * 300}]}
FIGURES = ("without", "with", "added", "added_p10", "left", "growth_kib")
TURN = 20
LIMIT_MS = 0.3
"""Of the tenth percentile, which other work on the machine disturbs less than the median."""
GROWTH_KIB = 2048


def ddtrace() -> Callable[[], int]:
    """Patch everything that it knows of these; return what counts its spans."""
    importlib.import_module("ddtrace").patch(httpx=True, aiohttp=True, urllib3=True, requests=True, grpc=True)
    found = importlib.import_module("ddtrace.trace")
    seen: list[int] = []
    counting = type(
        "Counting", (found.TraceFilter,), {"process_trace": lambda _, trace: seen.append(len(trace))}
    )
    found.tracer.configure(trace_processors=[counting()])
    return lambda: sum(seen)


def sentry() -> Callable[[], int]:
    """Start it with tracing; return what counts its spans."""
    sdk = importlib.import_module("sentry_sdk")
    seen: list[int] = []

    def keep(event: dict[str, Any], _: Any) -> None:
        seen.append(len(event.get("spans", ())))

    integrations = [
        getattr(importlib.import_module(f"sentry_sdk.integrations.{module}"), name)()
        for module, name in (("httpx", "HttpxIntegration"), ("aiohttp", "AioHttpIntegration"))
    ]
    sdk.init(
        dsn="http://k@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        before_send_transaction=keep,
        integrations=integrations,
        auto_enabling_integrations=False,  # they import every SDK that is installed
    )
    transaction = sdk.start_transaction(name="calls")
    transaction.__enter__()

    def count() -> int:
        transaction.__exit__(None, None, None)
        return sum(seen)

    return count


def opentelemetry() -> Callable[[], int]:
    """Instrument what it can; return what counts its spans."""
    trace = importlib.import_module("opentelemetry.trace")
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    seen: list[str] = []
    counting = type("Counting", (sdk.SpanProcessor,), {"on_end": lambda _, span: seen.append(span.name)})
    provider = sdk.TracerProvider()
    provider.add_span_processor(counting())
    trace.set_tracer_provider(provider)
    for module, name in (
        ("httpx", "HTTPXClientInstrumentor"),
        ("aiohttp_client", "AioHttpClientInstrumentor"),
        ("urllib3", "URLLib3Instrumentor"),
        ("grpc", "GrpcInstrumentorClient"),
    ):
        if importlib.util.find_spec(f"opentelemetry.instrumentation.{module}") is not None:
            try:
                kind = getattr(importlib.import_module(f"opentelemetry.instrumentation.{module}"), name)
            except ImportError:  # the library that it patches is not there
                continue
            kind().instrument()
    return lambda: len(seen)


TOOLS: dict[str, Callable[[], Callable[[], int]]] = {
    "none": lambda: lambda: 0,
    "ddtrace": ddtrace,
    "sentry": sentry,
    "opentelemetry": opentelemetry,
}


async def each_library(host: str, websocket: str) -> list[str]:
    """Make a call through every library; return what failed."""
    failed = []
    for way in WAYS:
        try:
            status, body = await way(f"http://{host}{PATH}", REQUEST)
            assert (status, bool(body)) == (200, True)
        except Exception as error:  # noqa: BLE001 - whatever the application would see is the finding
            failed.append(f"{way.__name__}: {type(error).__name__}: {error}")
    with connect(f"ws://{websocket}/v1/realtime?model=m") as connection:
        connection.send('{"type":"response.create"}')
        while "response.done" not in str(connection.recv()):
            pass
    return failed


def in_turns(host: str, websocket: str, calls: int) -> dict[str, Any]:
    """Return p50 with and without the hooks, and what is left of the calls."""
    times: dict[bool, list[float]] = {True: [], False: []}
    half = 0
    with httpx.Client() as client:
        for turn in range(2 * calls // TURN):
            is_on = turn % 2 == 0
            if is_on:
                llmledger.instrument(hosts=[host, websocket])
            else:
                llmledger.uninstrument()
            for _ in range(TURN):
                start = perf_counter()
                client.post(f"http://{host}{PATH}", json=REQUEST)
                times[is_on].append(perf_counter() - start)
            if turn == calls // TURN:
                half = _resident_kib()
    llmledger.uninstrument()
    without, with_hooks = (statistics.median(times[is_on]) * 1000 for is_on in (False, True))
    quick, quick_with = (statistics.quantiles(times[is_on], n=10)[0] * 1000 for is_on in (False, True))
    assert llmledger.flush(30)
    gc.collect()
    left = sum(isinstance(one, exchange.Exchange) for one in gc.get_objects()) + len(exchange._open)
    return {
        "without": round(without, 3),
        "with": round(with_hooks, 3),
        "added": round(with_hooks - without, 3),
        "added_p10": round(quick_with - quick, 3),
        "left": left,
        "growth_kib": _resident_kib() - half,
    }


def _resident_kib() -> int:
    """Return the resident memory: of Linux now, elsewhere its peak."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(tool: str, order: str, host: str, websocket: str, calls: str) -> None:
    logging.disable(logging.CRITICAL)
    count = TOOLS["none"]()
    for step in ("tool", "hooks") if order != "hooks first" else ("hooks", "tool"):
        if step == "tool":
            count = TOOLS[tool]()
        else:
            llmledger.instrument(hosts=[host, websocket])
    failed = asyncio.run(each_library(host, websocket))
    records = llmledger.stats().records
    found: dict[str, Any] = dict.fromkeys(FIGURES, "")
    if int(calls):
        found |= in_turns(host, websocket, int(calls))
    found |= {"records": records, "failed": len(failed), "threads": threading.active_count()}
    found["spans"] = count()
    found["is_right"] = (
        (records, failed, faults) == (len(WAYS) + 1, [], {})
        and (tool == "none" or found["spans"] > 0)
        and (
            not int(calls)
            or (found["added_p10"] <= LIMIT_MS and not found["left"] and found["growth_kib"] < GROWTH_KIB)
        )
    )
    if failed:
        print(failed, file=sys.stderr)
    llmledger.close(10)
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
