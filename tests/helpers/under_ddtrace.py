"""An application under ddtrace: plain calls and calls of a model, with ``instrument()`` and without.

Run as ``python -m tests.helpers.under_ddtrace HOST SCENES…``, in a process with ddtrace on its path. Each
scene prints one line of JSON: how many calls were made, what failed, how many spans ddtrace has of them by
library, and how many records we have. A scene is ``+``-joined steps: ``auto`` (``import ddtrace.auto``),
``patch`` and ``unpatch`` (ddtrace's own), ``on``, ``off``, and ``calls``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections import Counter
from typing import Any

import llmledger
from llmledger.instrumentation.safety import faults
from tests.helpers import ways
from tests.helpers.captured import Captured

LIBRARIES = ("httpx", "httpx2", "aiohttp", "urllib3")
WAYS = (
    ways.by_httpx,
    ways.by_async_httpx,
    ways.by_httpx2,
    ways.by_async_httpx2,
    ways.by_aiohttp,
    ways.by_requests,
    ways.by_urllib3,
)
CALLS = (("/plain", "fail-200"), ("/v1/chat/completions", "m"))
"""Path and model: the first is no call of a model, and is answered 200 all the same."""


class Seen:
    """Counts spans, and keeps them from an agent that is not there."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()

    def process_trace(self, trace: list[Any]) -> None:
        for span in trace:
            self.spans[str(span.get_tag("component"))] += 1


def watched() -> Seen:
    """Return what counts ddtrace's spans from now on."""
    found = importlib.import_module("ddtrace.trace")
    seen = Seen()
    counting = type(
        "Counting", (found.TraceFilter,), {"process_trace": lambda _, trace: seen.process_trace(trace)}
    )
    found.tracer.configure(trace_processors=[counting()])
    return seen


async def calls(base: str) -> tuple[int, list[str]]:
    """Make every call; return how many worked, and what the others raised."""
    worked, failed = 0, []
    for way in WAYS:
        for path, model in CALLS:
            try:
                status, body = await way(base + path, {"model": model})
                assert (status, bool(body)) == (200, True)
                worked += 1
            except Exception as error:  # noqa: BLE001 - whatever the application would see is the finding
                failed.append(f"{way.__name__} {path}: {type(error).__name__}: {error}")
    return worked, failed


def scene(name: str, host: str) -> dict[str, Any]:
    """Do the steps; return what came of them."""
    client = Captured()
    seen: Seen | None = None
    worked, failed = 0, list[str]()
    for step in name.split("+"):
        match step:
            case "auto":
                importlib.import_module("ddtrace.auto")
                seen = watched()
            case "patch":
                importlib.import_module("ddtrace").patch(**dict.fromkeys(LIBRARIES, True))
                seen = watched()
            case "unpatch":
                for library in LIBRARIES:
                    importlib.import_module(f"ddtrace.contrib.internal.{library}.patch").unpatch()
            case "on":
                llmledger.instrument(hosts=[host], client=client)
            case "off":
                llmledger.uninstrument()
            case "calls":
                worked, failed = asyncio.run(calls(f"http://{host}"))
            case _:
                raise ValueError(step)
    spans = dict(seen.spans) if seen is not None else {}
    return {
        "scene": name,
        "worked": worked,
        "failed": failed,
        "spans": spans,
        "records": len(client.records()),
        "faults": dict(faults),
    }


if __name__ == "__main__":
    print(json.dumps(scene(sys.argv[2], sys.argv[1])))
