"""Recording of answers that are fetched later (``deferred``), once each.

Invariants:
- Within a process an id is recorded once; across processes the daemon sees to it, by ``may_repeat``.
- The lines of a batch are taken apart in a thread, since a file may have 50,000; the exit waits for it a second.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from llmledger.client import TraceClient
from llmledger.default import default_client
from llmledger.instrumentation.deferred import PENDING, background, inlined, results, webhook
from llmledger.instrumentation.safety import harmless
from llmledger.lifecycle import before_closing, in_forked_child

MOST_IDS: Final = 100_000
"""Ids remembered in a process; an older one is left to the daemon."""

TOO_LONG: Final = "batch_results_too_long"
"""Reason under which results over ``bodies.MAX_BODY_BYTES`` are reported, as one."""

EXIT_SECONDS: Final = 1.0

DEFAULT_URL: Final = "https://api.openai.com/v1/responses"
"""Address of a response that was handed over without one."""

_OF_RECORDS: Final = frozenset(
    {"request", "response", "response_stream", "response_headers", "status_code", "latency_ms", "may_repeat"}
    | {"time_to_first_token_ms", "outcome", "error", "error_type"}
)

_recorded: Final[OrderedDict[tuple[str, str], None]] = OrderedDict()
_threads: Final[set[threading.Thread]] = set()


@harmless
def settle(kind: str, fields: dict[str, Any], client: TraceClient | None) -> None:
    """Record what a GET has fetched, if it is a final answer; the fields are the exchange's."""
    body = fields.get("response")
    if fields.get("status_code") != 200 or "outcome" in fields:
        return
    if not isinstance(body, bytes):
        (client or default_client()).report_unrecorded(TOO_LONG)
        return
    fields.pop("latency_ms", None)
    if kind == "response":
        settled = background(fields["url"], body)
        if settled is not None and settled.is_final:
            record_all([{**fields, **settled.fields}], client)
        return
    read = inlined if kind == "batch" else results
    thread = threading.Thread(
        target=_take_apart, args=(read, fields, body, client), name="llmledger-batch", daemon=True
    )
    _threads.add(thread)
    thread.start()


@harmless
def created(fields: dict[str, Any], client: TraceClient | None) -> bool:
    """Treat the answer to a request for a background response; return whether it was one."""
    body = fields.get("response")
    settled = background(fields["url"], body) if isinstance(body, bytes) else None
    if settled is None:
        return False
    whole = {**fields, **settled.fields}
    if settled.is_final:
        record_all([whole], client)
    else:
        _announce(whole, client)
    return True


@harmless
def handed(body: bytes, fields: dict[str, Any], client: TraceClient) -> bool:
    """Record what the application got by other means: a background response, or a webhook that names one.

    Return whether it was one of these; ``fields`` are those of its record.
    """
    url = fields.get("url") or DEFAULT_URL
    settled = background(url, body) or webhook(url, body)
    if settled is None:
        return False
    whole = {"provider": "openai", **fields, **settled.fields}
    if settled.is_final:
        record_all([whole], client)
    else:
        _announce(whole, client)
    return True


def _announce(whole: dict[str, Any], client: TraceClient | None) -> None:
    announced = {name: value for name, value in whole.items() if name not in _OF_RECORDS}
    (client or default_client()).hand_over("begin", {**announced, "error_type": PENDING})


def record_all(found: Iterable[dict[str, Any]], client: TraceClient | None) -> None:
    """Record those whose id was not recorded before."""
    for fields in found:
        key = str(fields.get("org_id") or ""), str(fields["provider_trace_id"])
        if key in _recorded:
            continue
        _recorded[key] = None
        if len(_recorded) > MOST_IDS:
            _recorded.popitem(last=False)
        (client or default_client()).hand_over("record", {**fields, "may_repeat": True})


@harmless
def _take_apart(
    read: Callable[[str, bytes], Iterable[dict[str, Any]]],
    fields: dict[str, Any],
    body: bytes,
    client: TraceClient | None,
) -> None:
    common = {name: value for name, value in fields.items() if name not in ("response", "response_headers")}
    try:
        record_all(({**line, **common, **_own(line, common)} for line in read(fields["url"], body)), client)
    finally:
        _threads.discard(threading.current_thread())


def _own(line: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Return the line's fields that win over those of the exchange; a step of the application's wins."""
    return {name: value for name, value in line.items() if name != "step_id" or not common.get("step_id")}


def _wait() -> None:
    for thread in tuple(_threads):
        thread.join(EXIT_SECONDS)


def _forked() -> None:
    _threads.clear()


before_closing(_wait)
in_forked_child(_forked)
