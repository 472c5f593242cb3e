"""An exporter with no cost of its own: posts OTLP requests that are ready, over a few connections.

``python -m bench.pipeline.exporter PORT SIGNAL FILE CONNECTIONS``. It says ``ready``, waits for a line of standard
input, posts every request of the file until it is answered with 200, and says the seconds.

A file holds requests in protobuf, each after its length in 4 bytes, little-endian.
"""

from __future__ import annotations

import http.client
import mmap
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

HEADERS = {"Content-Type": "application/x-protobuf"}
PAUSE_SECONDS = 0.05
"""Time until a request that was not taken is repeated."""


def write(path: Path, requests: Iterable[bytes]) -> None:
    """Write requests into a file."""
    with path.open("wb") as file:
        for request in requests:
            file.write(len(request).to_bytes(4, "little") + request)


def read(data: mmap.mmap) -> Iterator[memoryview]:
    """Yield the requests of a file."""
    view, at = memoryview(data), 0
    while at < len(view):
        size = int.from_bytes(view[at : at + 4], "little")
        yield view[at + 4 : at + 4 + size]
        at += 4 + size


def post(port: int, path: str, requests: Iterable[memoryview]) -> None:
    """Post requests one after another on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for request in requests:
        while True:
            connection.request("POST", path, request, HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
            if answer.status not in (429, 503):
                raise SystemExit(f"{path}: {answer.status}")
            time.sleep(PAUSE_SECONDS)
    connection.close()


def main() -> None:
    """Post the file."""
    port, signal, file, connections = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    with file.open("rb") as opened:
        requests = list(read(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)))
    shares = [islice(requests, number, None, connections) for number in range(connections)]
    threads = [threading.Thread(target=post, args=(port, f"/v1/{signal}", share)) for share in shares]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
