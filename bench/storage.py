"""Bytes that the calls of agents take, beside what they could take, for several forms of the table.

An agent's request repeats the one before, so that what a run could take is what ``zstd -3`` with a long window
makes of its own requests (the limit). Each form of the table gets the same lines by way of the daemon's own
rows and inserts, in segments of the daemon's size, in a process of its own, and is measured three times: fresh
(no part was merged), settled (the engine has merged in the background for at most a minute) and merged
(``OPTIMIZE FINAL``). The sizes are those of the whole table: all columns, marks and indexes.

``python -m bench.storage`` takes about a minute: 20 runs at once without run ids, the table as it was beside the
table as it is. ``--at-once 3 130 --run-ids no yes --runs 130 --forms all`` is the whole of it, some 20 minutes.
"""

from __future__ import annotations

import argparse
import gzip
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lz4.block  # type: ignore[import-untyped]  # ships no types
import msgspec
import zstandard

from bench.agent_traffic import KINDS, Plan, calls
from llmledger.protocol import Record
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, TRACES, Row
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store

BEFORE: Final = "(organization_id, created_at)"
HOUR: Final = "organization_id, intDiv(toInt64(created_at), 3600)"


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the table; what is empty is as in the DDL."""

    key: str = ""
    primary: str = ""
    codec: str = ""
    answer_codec: str = ""
    settings: str = ""


def blocks(mib: int, window: int, level: int = 3) -> str:
    size = mib << 20
    return f"CODEC(ZSTD({level}, {window})) SETTINGS (min_compress_block_size = {size}, max_compress_block_size = {size})"


GRANULE: Final = f"index_granularity_bytes = {10 << 20}"
FORMS: Final = {
    "before": Form(
        key=BEFORE, primary=BEFORE, codec="CODEC(ZSTD(3))", answer_codec="CODEC(ZSTD(3))", settings=GRANULE
    ),
    "as it is": Form(),
    "by time": Form(key=BEFORE, primary=BEFORE),
    "by conversation": Form(key=f"({HOUR}, conversation_id, created_at)", primary=f"({HOUR})"),
    "by run": Form(key=f"({HOUR}, run_id, conversation_id, created_at)", primary=f"({HOUR})"),
    "first by run": Form(
        key=f"({HOUR}, if(parent_turn_id = '', run_id, conversation_id), created_at)", primary=f"({HOUR})"
    ),
    "1 MiB": Form(codec="CODEC(ZSTD(3))", answer_codec="CODEC(ZSTD(3))"),
    "4 MiB": Form(codec=blocks(4, 22)),
    "8 MiB": Form(codec=blocks(8, 23)),
    "64 MiB": Form(codec=blocks(64, 26)),
    "large granules": Form(settings=GRANULE),
}


class Measured(msgspec.Struct, kw_only=True):
    """What one form took. Bytes on disk, seconds, MiB."""

    rows: int = 0
    fresh: int = 0
    settled: int = 0
    merged: int = 0
    parts: dict[str, int] = {}
    columns: dict[str, int] = {}
    insert_seconds: float = 0
    insert_cpu: float = 0
    insert_mib: float = 0
    settle_seconds: float = 0
    settle_cpu: float = 0
    settle_mib: float = 0
    merge_seconds: float = 0
    merge_cpu: float = 0
    merge_mib: float = 0
    by_id_ms: float = 0
    by_id_cpu_ms: float = 0
    newest_ms: float = 0


def ddl(form: Form) -> str:
    """Return the statement that creates the table of the form."""
    text = migrations.Migration.load()[0].statements(migrations.Layout(ttl_days=90))[0]
    if form.key:
        text = re.sub(
            r"PRIMARY KEY .*?\nORDER BY .*?\n", f"PRIMARY KEY {form.primary} ORDER BY {form.key}\n", text
        )
    for column, codec in (("request_json", form.codec), ("response_json", form.answer_codec)):
        if codec:
            text = re.sub(
                rf"({column} +String) CODEC\(ZSTD\(.*?\)\)\s+SETTINGS \(.*?\),\n", rf"\1 {codec},\n", text
            )
    if form.settings:
        text = (
            re.sub(r"    index_granularity_bytes = .*?,\n", "", text)
            if "granularity" in form.settings
            else text
        )
        text = text.rstrip(";\n ") + f", {form.settings}"
    return text


def segments(lines: Path, most: int) -> Iterator[list[Row]]:
    """Yield the rows of one segment after another."""
    builder, rows, size, number = RowBuilder(Pricer()), list[Row](), 0, 0
    with lines.open("rb") as file:
        for line in file:
            record = parse(line.rstrip())
            assert isinstance(record, Record)
            batch = f"00000000-0000-4000-8000-{number:012x}"
            row = builder.row(
                record,
                line=line,
                service="",
                received_us=time.time_ns() // 1000,
                batch_id=batch,
                batch_row=len(rows),
            )
            rows.append(row)
            size += len(line)
            if size >= most:
                yield rows
                rows, size, number = [], 0, number + 1
    if rows:
        yield rows


@contextmanager
def metered(result: Measured, name: str) -> Iterator[None]:
    """Record seconds, CPU seconds of this process, and how far its memory rose."""
    Path("/proc/self/clear_refs").write_text("5")
    before, began, cpu = _memory("VmRSS"), time.perf_counter(), time.process_time()
    yield
    setattr(result, f"{name}_seconds", getattr(result, f"{name}_seconds") + time.perf_counter() - began)
    setattr(result, f"{name}_cpu", getattr(result, f"{name}_cpu") + time.process_time() - cpu)
    setattr(result, f"{name}_mib", max(getattr(result, f"{name}_mib"), _memory("VmHWM") - before))


def _memory(name: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]  # Linux has it


def size(store: Store, result: Measured, when: str) -> int:
    (row,) = store.query(
        "SELECT sum(bytes_on_disk) AS size, count() AS parts FROM system.parts WHERE active AND table = 'llm_traces'"
    )
    result.parts[when] = row["parts"]
    setattr(result, when, row["size"])
    return int(row["parts"])


def measure(lines: Path, form: Form, most: int, settle_seconds: float) -> Measured:
    result = Measured()
    with tempfile.TemporaryDirectory(prefix="llmledger-bench-") as folder:
        store = Store(f"chdb://{folder}/clickhouse", timeout_seconds=600)
        store.run(ddl(form))
        store.run("SYSTEM STOP MERGES llm_traces")
        for rows in segments(lines, most):
            result.rows += len(rows)
            with metered(result, "insert"):
                store.insert(TRACES, COLUMNS, rows, token=str(time.time_ns()))
        size(store, result, "fresh")
        with metered(result, "settle"):
            store.run("SYSTEM START MERGES llm_traces")
            settle(store, result, settle_seconds)
        size(store, result, "settled")
        with metered(result, "merge"):
            store.run("OPTIMIZE TABLE llm_traces FINAL")
        size(store, result, "merged")
        for row in store.query(
            "SELECT column, sum(column_data_compressed_bytes) AS size FROM system.parts_columns WHERE active AND table = 'llm_traces' GROUP BY column ORDER BY size DESC"
        ):
            result.columns[row["column"]] = row["size"]
        (row,) = store.query(
            "SELECT sum(secondary_indices_compressed_bytes) AS size, sum(marks_bytes) AS marks FROM system.parts WHERE active AND table = 'llm_traces'"
        )
        result.columns |= {"(indexes)": row["size"], "(marks)": row["marks"]}
        read(store, result)
        store.close()
    return result


def settle(store: Store, result: Measured, seconds: float) -> None:
    until, same, last = time.monotonic() + seconds, 0, -1
    while time.monotonic() < until and same < 12:
        time.sleep(0.5)
        now = size(store, result, "settled")
        (busy,) = store.query("SELECT count() AS n FROM system.merges")
        same = same + 1 if now == last and not busy["n"] else 0
        last = now


def read(store: Store, result: Measured) -> None:
    ids = [row["id"] for row in store.query("SELECT id FROM llm_traces ORDER BY cityHash64(id) LIMIT 25")]
    taken = []
    cpu = time.process_time()
    for one in ids:
        began = time.perf_counter()
        store.query(
            "SELECT request_json, response_json FROM llm_traces WHERE organization_id = 'org-1' AND id = {id:String}",
            {"id": one},
            raw=("request_json", "response_json"),
        )
        taken.append((time.perf_counter() - began) * 1000)
    result.by_id_ms = statistics.median(taken)
    result.by_id_cpu_ms = (time.process_time() - cpu) * 1000 / len(ids)
    began = time.perf_counter()
    store.query(
        "SELECT request_json FROM llm_traces WHERE organization_id = 'org-1' ORDER BY created_at DESC LIMIT 50",
        raw=("request_json",),
    )
    result.newest_ms = (time.perf_counter() - began) * 1000


def limit(requests: dict[int, list[bytes]]) -> int:
    """Return the bytes of each run's requests with ``zstd -3`` and a long window, summed."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    return sum(len(packer.compress(b"\n".join(found))) for found in requests.values())


def write(plan: Plan, path: Path) -> tuple[int, int, int]:
    """Write the plan's lines; return the bytes of the requests, of the answers, and the limit."""
    requests, raw, whole = defaultdict[int, list[bytes]](list), 0, 0
    with path.open("wb") as file:
        for call in calls(plan):
            file.write(call.line + b"\n")
            requests[call.run].append(call.request)
            raw, whole = raw + len(call.request), whole + len(call.line)
    return raw, whole, limit(requests)


def alone(plan: Plan) -> None:
    """Print what the requests take where each is compressed alone, as in objects and in PostgreSQL."""
    requests, order = defaultdict[int, list[bytes]](list), list[bytes]()
    for call in calls(plan):
        requests[call.run].append(call.request)
        order.append(call.request)
    raw, least = sum(map(len, order)), limit(requests)
    training: list[bytes | bytearray | memoryview[int]] = [
        text[: 128 << 10] for text in order[: len(order) // 4]
    ]
    dictionary = zstandard.train_dictionary(110 << 10, training, k=2000, d=8, steps=4)
    ways: dict[str, Callable[[bytes], bytes]] = {
        "gzip -3": lambda text: gzip.compress(text, 3, mtime=0),
        "gzip -6": lambda text: gzip.compress(text, 6, mtime=0),
        "zstd -3": zstandard.ZstdCompressor(level=3).compress,
        "zstd -9": zstandard.ZstdCompressor(level=9).compress,
        "zstd -3, dictionary": zstandard.ZstdCompressor(level=3, dict_data=dictionary).compress,
        "lz4": lz4.block.compress,
    }
    print(f"{len(order)} requests of {raw / 1e6:.1f} MB, each alone; limit {least / 1e6:.2f} MB")
    for name, pack in ways.items():
        began = time.process_time()
        packed = sum(len(pack(text)) for text in order)
        speed = raw / 1e6 / (time.process_time() - began)
        print(f"{name:22}{packed / 1e6:8.2f} MB{packed / least:8.2f} x limit{speed:8.0f} MB/s")


def report(name: str, result: Measured, least: int) -> None:
    ratios = " ".join(f"{getattr(result, when) / least:6.2f}" for when in ("fresh", "settled", "merged"))
    parts = "/".join(str(result.parts[when]) for when in ("fresh", "settled", "merged"))
    print(
        f"{name:22}{ratios} {parts:>9} {result.insert_seconds:6.1f}{result.insert_cpu:6.1f}{result.insert_mib:6.0f}"
        f" {result.settle_seconds:6.1f}{result.settle_cpu:6.1f}{result.settle_mib:6.0f}"
        f" {result.merge_seconds:6.1f}{result.merge_cpu:6.1f}{result.merge_mib:6.0f}"
        f" {result.by_id_ms:6.1f}{result.by_id_cpu_ms:6.1f}{result.newest_ms:7.0f}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--at-once", type=int, nargs="+", default=[20])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--run-ids", nargs="+", choices=("yes", "no"), default=["no"])
    parser.add_argument("--segment-mib", type=float, default=8)
    parser.add_argument("--settle", type=float, default=60)
    parser.add_argument("--forms", nargs="+", default=["before", "as it is"])
    parser.add_argument("--settings", default="")
    parser.add_argument("--columns", action="store_true")
    parser.add_argument("--alone", action="store_true", help="each request alone, as in objects")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    most = int(chosen.segment_mib * (1 << 20))
    if chosen.one:
        form = msgspec.json.decode(chosen.one[1], type=Form)
        print(msgspec.json.encode(measure(Path(chosen.one[0]), form, most, chosen.settle)).decode())
        return
    if chosen.alone:
        alone(Plan(runs=40, at_once=40, steps=20))
        return
    for at_once in chosen.at_once:
        for run_ids in chosen.run_ids:
            plan = Plan(
                runs=chosen.runs or at_once,
                at_once=at_once,
                steps=chosen.steps,
                kinds=tuple(chosen.kinds),
                has_run_ids=run_ids == "yes",
            )
            with tempfile.TemporaryDirectory(prefix="llmledger-bench-") as folder:
                lines = Path(folder) / "lines"
                raw, whole, least = write(plan, lines)
                print(
                    f"\n{plan.runs} runs, {at_once} at once, run ids: {run_ids}; requests {raw / 1e6:.1f} MB of {whole / 1e6:.1f} MB; limit {least / 1e6:.2f} MB ({raw / least:.1f} times smaller)"
                )
                print(
                    f"{'bytes / limit':22}{'fresh':>6} {'settl.':>6} {'merged':>6} {'parts':>9} {'insert':>6}{'cpu':>6}{'MiB':>6} {'settle':>6}{'cpu':>6}{'MiB':>6} {'merge':>6}{'cpu':>6}{'MiB':>6} {'by id':>6}{'cpu':>6}{'newest':>7}"
                )
                for name in list(FORMS) if chosen.forms == ["all"] else chosen.forms:
                    form = FORMS[name]
                    if chosen.settings:
                        form = msgspec.structs.replace(form, settings=chosen.settings)
                    command = [
                        sys.executable,
                        "-m",
                        "bench.storage",
                        "--one",
                        str(lines),
                        msgspec.json.encode(form).decode(),
                        "--segment-mib",
                        str(chosen.segment_mib),
                        "--settle",
                        str(chosen.settle),
                    ]
                    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[
                        -1
                    ]
                    result = msgspec.json.decode(answer, type=Measured)
                    report(name, result, least)
                    if chosen.columns:
                        print(
                            "   ",
                            ", ".join(
                                f"{column} {size / least:.3f}"
                                for column, size in list(result.columns.items())[:60]
                                if size > least / 500
                            ),
                        )


if __name__ == "__main__":
    main()
