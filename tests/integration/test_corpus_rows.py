"""The recorded exchanges, through the socket and the spool into the engine: the rows that they must be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.corpus import PARTS, SUMS, TEXTS, allowed, needs_corpus, scored
from tests.helpers.daemon import RunningDaemon
from tests.helpers.waiting import until

pytestmark = needs_corpus


def line_of(exchange: dict[str, Any]) -> bytes:
    """Return the record that a sender writes who knows nothing but the exchange."""
    record = {
        "protocol_version": 4,
        "provider_trace_id": exchange["id"][-128:],
        "url": exchange["url"],
        "status_code": exchange["status"],
        "response_headers": exchange.get("response_headers"),
        "request": exchange["request"],
        "timestamp": "2026-06-01T00:00:00Z",
    }
    if exchange["response_sse"] is not None:
        record["response_stream"] = exchange["response_sse"]
    else:
        record["response"] = exchange["response"]
    return json.dumps(record).encode() + b"\n"


def differences(exchange: dict[str, Any], row: dict[str, Any]) -> dict[str, tuple[object, object]]:
    """Return the columns in which the row is neither what is expected nor what can be defended."""
    wrong = {}
    for column in (*SUMS, *PARTS, *TEXTS, "is_error"):
        wanted = allowed(exchange, column)
        if not any(_same(column, want, row[column]) for want in wanted):
            wrong[column] = (wanted[0], row[column])
    return wrong


def _same(column: str, want: Any, got: Any) -> bool:
    if column == "model":
        return bool((want or "unknown") == got)
    if column == "error_type" and not want:
        return got in ("", "error")  # SPEC 3: a failed call has a type, the outcome's where no other
    if column in SUMS:
        want = want or 0
    elif column in TEXTS:
        want = (want or "")[:1000]
    return bool(want == got)


def test_every_exchange_becomes_the_row_that_it_must_be(tmp_path: Path) -> None:
    corpus = scored()
    assert len(corpus) > 1000
    with RunningDaemon(tmp_path) as daemon:
        daemon.send_one_way(b"".join(map(line_of, corpus)))
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == len(corpus))
        assert daemon.terminate() == 0
    assert not dead_letters.read(daemon.spool)
    store = Store(daemon.url)
    columns = ", ".join(("id", *SUMS, *PARTS, *TEXTS, "is_error"))
    rows = {row["id"]: row for row in store.query(f"SELECT {columns} FROM llm_traces")}
    store.close()
    passed: Counter[str] = Counter()
    failed: dict[str, dict[str, tuple[object, object]]] = {}
    for exchange in corpus:
        wrong = differences(exchange, rows[exchange["id"][-128:]])
        if wrong:
            failed[exchange["id"]] = wrong
        else:
            passed[exchange["api"]] += 1
    for api, count in sorted(passed.items()):
        print(f"{api:32} {count:4} rows right")
    assert not failed, json.dumps(failed, indent=1, default=str)
