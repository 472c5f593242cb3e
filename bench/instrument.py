"""What the hooks add to a call, beside other tools that patch the same libraries.

`python -m bench.instrument [--calls N] [TOOL…]` prints a row for each tool (none, ddtrace, sentry, opentelemetry) and
order. Each is a process of its own. It makes one call through every hooked library (httpx, httpx2, aiohttp, requests,
urllib3, websockets) and, where the hooks come last or are alone, N calls with the hooks and N without, in turns of 20,
through one client of httpx. Printed are: records and spans of the first calls; p50 of a call without and with the hooks
and their difference, in milliseconds, and the difference of the tenth percentiles, which other work on the machine
disturbs less; exchanges that still exist after all of them, the growth of the
process's memory over the second half of the calls, and threads. Tools that are not importable are left out:
`pip install --target DIR ddtrace sentry-sdk opentelemetry-instrumentation-httpx …`, and ``PYTHONPATH=DIR``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.server import ServerConnection, serve

from bench.client import sink
from tests.helpers.providers import Providers

ROOT = Path(__file__).parents[1]
LIMIT_SECONDS = 120.0
TOOLS = {
    "none": "sys",
    "ddtrace": "ddtrace",
    "sentry": "sentry_sdk",
    "opentelemetry": "opentelemetry.instrumentation.httpx",
}
"""Each tool and a module that it is recognized by."""

COLUMNS = (
    "records",
    "spans",
    "failed",
    "without",
    "with",
    "added",
    "added_p10",
    "left",
    "growth_kib",
    "threads",
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.instrument", description=__doc__)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("--calls", type=int, default=2000)
    given = parser.parse_args(arguments)
    print("| tool | order | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    is_right = True
    for tool in given.tools or [tool for tool, module in TOOLS.items() if _is_there(module)]:
        for order in ("hooks last", "hooks first") if tool != "none" else ("alone",):
            found = measured(tool, order, given.calls if order != "hooks first" else 0)
            print(
                f"| {tool} | {order} | " + " | ".join(str(found[name]) for name in COLUMNS) + " |", flush=True
            )
            is_right = is_right and found["is_right"]
    return 0 if is_right else 1


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def measured(tool: str, order: str, calls: int) -> dict[str, Any]:
    """Return the figures of one process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Providers() as providers,
        _websocket() as host,
        sink(Path(folder) / "s", "reads"),
    ):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(ROOT / "client"), os.environ.get("PYTHONPATH", "")]
            ),
            "LLMLEDGER_SOCKET": f"{folder}/s",
            "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",  # nobody
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_TRACE_URLLIB3_ENABLED": "true",
            "NO_PROXY": "*",
        }
        command = [
            sys.executable,
            "-m",
            "bench.instrument_subject",
            tool,
            order,
            providers.host,
            host,
            str(calls),
        ]
        done = subprocess.run(
            command,
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{tool}, {order}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _answer(connection: ServerConnection) -> None:
    for _ in connection:
        connection.send(json.dumps({"type": "response.created", "response": {"id": "r"}}))
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": "r", "object": "realtime.response", "status": "completed", "usage": usage}
        connection.send(json.dumps({"type": "response.done", "response": response}))


@contextmanager
def _websocket() -> Iterator[str]:
    with serve(_answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
