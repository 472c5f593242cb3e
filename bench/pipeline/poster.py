"""Posts bodies that are ready, some at a time: how fast the server is when nobody computes anything.

``python -m bench.pipeline.poster URL IN_FLIGHT FILE...``. It says ``ready``, waits for a line of
standard input, posts, and says the seconds.
"""

from __future__ import annotations

import http.client
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from urllib.parse import quote, urlsplit

from llmledgerd.records.schema import COLUMNS

INSERT = f"INSERT INTO llm_traces ({', '.join(COLUMNS)}) FORMAT Native"
_mine = local()


def post(url: str, body: bytes, token: str) -> None:
    """Insert one body, with the settings that the daemon uses."""
    if not hasattr(_mine, "connection"):
        parts = urlsplit(url)
        _mine.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    query = f"/?query={quote(INSERT)}&async_insert=0&insert_deduplication_token={token}"
    _mine.connection.request("POST", query, body)
    answer = _mine.connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise SystemExit(said.decode())


def main() -> None:
    """Post all files."""
    url, in_flight, *files = sys.argv[1:]
    bodies = [Path(file).read_bytes() for file in files]
    print("ready", flush=True)
    token = sys.stdin.readline().strip()
    began = time.perf_counter()
    with ThreadPoolExecutor(int(in_flight)) as pool:
        list(pool.map(lambda pair: post(url, pair[1], f"{token}-{pair[0]}"), enumerate(bodies)))
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
