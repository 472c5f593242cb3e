"""An application that inserts each call itself: ``python -m bench.pipeline.within FILE URL``."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import clickhouse_connect

from bench.pipeline.naive import COLUMNS, row

THREADS = 32
_mine = local()


def insert(line: bytes, url: str) -> None:
    """Insert one record, on a connection of the thread's own."""
    if not hasattr(_mine, "client"):
        _mine.client = clickhouse_connect.get_client(dsn=url, settings={"async_insert": 0})
    document = json.dumps(dict(zip(COLUMNS, row(line), strict=True))).encode()
    _mine.client.raw_insert("llm_traces", COLUMNS, document, fmt="JSONEachRow")


def main() -> None:
    """Insert all lines of the file."""
    file, url = sys.argv[1:]
    lines = Path(file).read_bytes().splitlines()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda line: insert(line, url), lines))
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
