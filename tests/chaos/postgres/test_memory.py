"""One line that is nearly as large as lines may be, for both stores: the daemon's memory stays a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.postgres.books import STORES, balance
from tests.chaos.postgres.stage import restart, send
from tests.helpers import postgres
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.two_stores import TwoStores

pytestmark = pytest.mark.chaos

LINE_BYTES = 57 << 20
MOST = 6.5
"""Peak memory in lines: one that is inserted, and one that is prepared, which takes up to four."""
TEXT = 'a word \\ and "more" of ünï '
EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"some words of an answer"}}]}\n\n'
SIZES = "SELECT id, request_size_bytes + response_size_bytes AS size FROM"


def filled(text: str, wrap: Any) -> bytes:
    """Return a line whose one long text makes it as long as wanted."""
    return line("large", 1, **wrap(text * (LINE_BYTES // len(line("", 1, **wrap(text * 1000))) * 1000)))


LINES = {
    "request": lambda: filled(TEXT, lambda text: {"request": {"messages": [{"content": text}]}}),
    "stream": lambda: filled(EVENT, lambda text: {"response": None, "response_stream": text}),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_large_line_takes_a_few_times_its_size_with_two_stores(
    two: TwoStores, storage: Folder, kind: str
) -> None:
    restart(two, payloads="inline", insert_timeout_seconds=60)
    send(two, "small", 100)
    for store in STORES:
        two.settled(store, 100)
    large = LINES[kind]()
    assert 0.9 < len(large) / LINE_BYTES < 1.1
    Path(f"/proc/{two.daemon.pid}/clear_refs").write_text("5")  # the peak counts from now on
    before = two.daemon.peak_memory_bytes()
    two.daemon.send_one_way(large)
    for store in STORES:
        assert two.settled(store, 101)["dead_letters"] == 0
    grown = two.daemon.peak_memory_bytes() - before
    print(f"{kind}: {len(large) >> 20} MiB, {before >> 20} MiB before, {grown >> 20} MiB more at the peak")
    sizes = [
        {str(row["id"]): int(str(row["size"])) for row in rows}
        for rows in (
            two.table.query(f"{SIZES} llm_traces"),
            postgres.query(two.postgres_url, f"{SIZES} provider_traces"),
        )
    ]
    assert sizes[0] == sizes[1]
    assert sizes[0]["large"] > 0.8 * len(large)
    assert grown < MOST * len(large)
    balance(two, storage)
