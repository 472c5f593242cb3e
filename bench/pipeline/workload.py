"""What is sent: lines of records, and the same rows as bodies that a server takes ready-made.

Invariant: the same size, count and seed give the same bytes but for the time, which is that of the process' start (an
old record is looked up in the store), and the bodies hold the rows of the
lines, cut as the daemon cuts its segments.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llmledger.protocol import Record
from llmledgerd.config.settings import Config
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from llmledgerd.stores.clickhouse.client import Store

NOW_US = time.time_ns() // 1000
TIMESTAMP = datetime.fromtimestamp(NOW_US / 1e6, UTC).isoformat()
BATCH_ROWS, BATCH_BYTES = Config().batch_max_rows, Config().batch_max_bytes
_TEXT_BYTES = 2 << 20
_BLOCK_BYTES = 1 << 20
_ENVELOPE_BYTES = 850
"""What a record has beside the text of its messages."""


class Workload(msgspec.Struct, frozen=True):
    """Where the lines and the bodies of one size lie."""

    size: int
    count: int
    lines: Path
    """The lines of one session, numbered from 1."""
    line_bytes: int
    bodies: list[Path]
    """One for each batch: the rows in ClickHouse's Native format."""


def prepare(folder: Path, size: int, count: int, store: Store | None, *, version: int = 4) -> Workload:
    """Write a workload into a folder; the store says how its columns are encoded, None: no bodies."""
    lines = folder / f"{size}-{version}.ndjson"
    with lines.open("wb") as file:
        for line in make_lines(size, count, version=version):
            file.write(line)
    bodies = list(_write_bodies(folder, lines, store)) if store is not None else []
    return Workload(size, count, lines, lines.stat().st_size, bodies)


def make_lines(size: int, count: int, *, version: int = 4, seed: int = 1) -> Iterator[bytes]:
    """Yield so many lines of about so many bytes; four fifths of a record is its request."""
    dice = random.Random(seed)
    body = max(64, size - _ENVELOPE_BYTES)
    text = _text(dice)
    text *= 2 + body // len(text)
    for number in range(count):
        at = dice.randrange(len(text) - body)
        words = text[at : at + body]
        yield msgspec.json.encode(_record(version, number, words, dice)) + b"\n"


def _record(version: int, number: int, words: str, dice: random.Random) -> dict[str, object]:
    cut = len(words) * 4 // 5
    given, made = len(words[:cut]) // 4, len(words[cut:]) // 4
    usage = {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": given // 2},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    message = {"role": "assistant", "content": words[cut:]}
    record: dict[str, object] = {
        "protocol_version": version,
        "provider_trace_id": f"provider_trace-00000000-0000-4000-8000-{number:012x}",
        "agent_id": f"agent-{dice.randrange(200)}",
        "run_id": f"run-{number // 10}",
        "step_id": f"step-{number}",
        "tags": ["bench", "nightly"],
        "type": "agent_step",
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words[:cut]}]},
        "response": {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        },
        "error": None,
        "timestamp": TIMESTAMP,
    }
    if version >= 2:
        record |= {"org_id": f"org-{dice.randrange(50)}", "user_id": f"user-{dice.randrange(999)}"}
    if version >= 4:
        record |= {
            "provider": "openai",
            "latency_ms": 800 + number % 400,
            "status_code": 200,
            "url": "https://api.openai.com/v1/chat/completions",
            "outcome": "ok",
        }
    return record


def _text(dice: random.Random) -> str:
    """Return words in the proportions of a language, which compress as text does."""
    words = ["".join(dice.choices(string.ascii_lowercase, k=dice.randint(2, 9))) for _ in range(5_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(dice.choices(words, weights, k=_TEXT_BYTES // 5))


def _write_bodies(folder: Path, lines: Path, store: Store) -> Iterator[Path]:
    builder = RowBuilder(Pricer())
    rows: list[tuple[object, ...]] = []
    blocks: list[bytearray] = []
    block_bytes = batch_bytes = batch_rows = number = 0
    path = folder / f"{lines.stem}-{number}.native"

    def close_block() -> None:
        nonlocal block_bytes
        if rows:
            blocks.append(store.encode("llm_traces", COLUMNS, rows))
        rows.clear()
        block_bytes = 0

    with lines.open("rb") as file:
        for line in file:
            record = parsing.parse(line)
            assert isinstance(record, Record)
            rows.append(
                builder.row(
                    record,
                    line=line,
                    service="bench",
                    received_us=NOW_US,
                    batch_id=path.stem,
                    batch_row=batch_rows,
                )
            )
            block_bytes += len(line)
            batch_bytes += len(line)
            batch_rows += 1
            if block_bytes >= _BLOCK_BYTES:
                close_block()
            if batch_rows >= BATCH_ROWS or batch_bytes >= BATCH_BYTES:
                close_block()
                path.write_bytes(b"".join(blocks))
                yield path
                blocks.clear()
                batch_bytes, batch_rows, number = 0, 0, number + 1
                path = folder / f"{lines.stem}-{number}.native"
    close_block()
    if blocks:
        path.write_bytes(b"".join(blocks))
        yield path
