"""A client that is switched off, by its environment or by a system without what it needs, does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CALLS = """
import asyncio, datetime, json, logging, multiprocessing, os, select, socket, sys, threading, types

loop = asyncio.new_event_loop()  # asyncio's own needs of this system are not the client's
for place in json.loads(sys.argv[1]):
    module, _, name = place.partition(".")
    if name:
        delattr(sys.modules[module], name)
    else:
        sys.modules[module] = None  # an import of it raises ImportError

warnings = []
handler = logging.Handler()
handler.emit = lambda record: warnings.append(record.getMessage())
logging.getLogger("llmledger").addHandler(handler)
base = sys.modules["litellm.integrations.custom_logger"] = types.ModuleType("custom_logger")
base.CustomLogger = object
sys.modules["litellm"] = sys.modules["litellm.integrations"] = types.ModuleType("litellm")

import llmledger
import llmledger.schema
from llmledger.asgi import BillingMiddleware
from llmledger.legacy import SocketProviderTraceBackend
from llmledger.litellm import LlmledgerLogger

assert warnings == [], "nothing is logged by an import"
seen = []
now = datetime.datetime.now()


@llmledger.context(call_type="summarization")
def decorated():
    return "value"


async def application(scope, receive, send):
    seen.append(llmledger.record(model="m"))


async def call_coroutines():
    seen.append(await llmledger.aflush())
    headers = [(b"x-billing-customer-id", b"c-1")]
    scope = {"type": "http", "headers": headers, "client": ("10.0.0.1", 1)}
    await BillingMiddleware(application, trusted=["10.0.0.0/8"])(scope, None, None)
    trace = object()
    assert await SocketProviderTraceBackend().create_async(None, trace) is trace
    async with llmledger.context(org_id="acme"):
        await LlmledgerLogger().async_log_success_event({"litellm_call_id": "1"}, {}, now, now)


hooked = llmledger.instrument(hosts=["localhost:8000"])
assert "llmledger.instrumentation.httpx" not in sys.modules
llmledger.uninstrument()
with llmledger.context(org_id="acme", billing=llmledger.BillingContext(plan_type="max")):
    seen.append(llmledger.begin(provider_trace_id=llmledger.new_id(), model="m"))
    seen.append(llmledger.record(model="m", request={"messages": []}, response=b"{}"))
assert decorated() == "value"
loop.run_until_complete(call_coroutines())
SocketProviderTraceBackend().create_sync(None, object())
logger = LlmledgerLogger()
logger.log_pre_api_call("m", [], {"litellm_call_id": "2"})
logger.log_success_event({"litellm_call_id": "2"}, {}, now, now)
logger.log_failure_event({"litellm_call_id": "3"}, {}, now, now)
client = llmledger.TraceClient("nowhere", service="api")
seen += [client.record(model="m"), client.begin(model="m"), client.flush(), client.close()]
seen += [llmledger.flush(), llmledger.stats().records, llmledger.stats().lost, llmledger.close()]
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
threads = [one.name for one in threading.enumerate() if one.name.startswith("llmledger")]
print(json.dumps({"hooked": hooked, "seen": seen, "threads": threads, "warnings": warnings}))
"""

FORK = ("os.fork", "os.register_at_fork")
ALONE = ("os.geteuid", "os.set_blocking", "select.poll", "socket.AF_UNIX")
WINDOWS = (*FORK, *ALONE, "fcntl")
NOTHING = {"hooked": [], "seen": [False, False, True, False, False, False, True, True, True, 0, {}, True]}


def called(*missing: str, environment: dict[str, str]) -> dict[str, Any]:
    """Return what all public functions do in a process without these modules and functions."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(missing)],
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "missing", [WINDOWS, FORK, *((name,) for name in ALONE)], ids=lambda names: "+".join(names)
)
def test_without_what_it_needs_of_the_system_the_client_does_nothing_and_warns_once(
    missing: tuple[str, ...],
) -> None:
    found = called(*missing, environment={})
    (warning,) = found.pop("warnings")
    assert "llmledger is switched off" in warning
    assert all(name in warning for name in missing if name != "fcntl")
    assert found == NOTHING | {"threads": []}


def test_switched_off_by_its_variable_the_client_does_nothing_and_warns_of_nothing() -> None:
    found = called(environment={"LLMLEDGER_DISABLED": "1"})
    assert found == NOTHING | {"threads": [], "warnings": []}


def test_switched_off_by_its_variable_the_client_does_not_warn_of_its_system() -> None:
    assert called(*WINDOWS, environment={"LLMLEDGER_DISABLED": "1"})["warnings"] == []
