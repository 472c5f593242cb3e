"""A sender with no cost of its own: writes lines that are ready, over one or many connections.

``python -m bench.pipeline.sender SOCKET FILE session|lines|one_each CONNECTIONS``. It says ``ready``,
waits for a line of standard input, sends, waits until all is taken, and says the seconds.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid

import msgspec

from llmledger.protocol import Answer, Hello, frame

CHUNK = 256 << 10


def in_session(path: str, data: memoryview, lines: int) -> None:
    """Send within a session, as the client does, until every line is durable."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(
            frame(
                "hello",
                Hello(session=str(uuid.uuid4()), first=1, client="bench", pid=os.getpid(), service="bench"),
            )
        )
        replies = sock.makefile("rb")
        msgspec.json.decode(replies.readline(), type=Answer)
        hears = threading.Thread(target=_until_durable, args=(replies, lines))
        hears.start()
        as_lines(sock, data)
        hears.join()


def _until_durable(replies: object, lines: int) -> None:
    for line in replies:  # type: ignore[attr-defined]  # a file of bytes
        if (msgspec.json.decode(line, type=Answer).durable or 0) >= lines:
            return
    raise SystemExit("the daemon hung up")


def as_lines(sock: socket.socket, data: memoryview) -> None:
    """Write it all."""
    for start in range(0, len(data), CHUNK):
        sock.sendall(data[start : start + CHUNK])


def one_way(path: str, data: memoryview) -> None:
    """Connect, write, close."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        as_lines(sock, data)


def one_each(path: str, lines: list[memoryview]) -> None:
    """A connection for each line, as versions 1 to 3 are sent today."""
    for line in lines:
        one_way(path, line)


def shares(data: bytes, count: int) -> list[list[memoryview]]:
    """Return the lines in so many parts, each in order."""
    view, lines, start = memoryview(data), [], 0
    while start < len(data):
        end = data.index(b"\n", start) + 1
        lines.append(view[start:end])
        start = end
    return [lines[len(lines) * part // count : len(lines) * (part + 1) // count] for part in range(count)]


def main() -> None:
    """Send, in one thread for each connection."""
    path, file, manner, connections = sys.argv[1:]
    with open(file, "rb") as stream:  # noqa: PTH123 - one file, read once
        data = stream.read()
    work = []
    view, start = memoryview(data), 0
    for part in shares(data, int(connections)):
        size = sum(map(len, part))
        whole, start = view[start : start + size], start + size
        if manner == "session":
            work.append(threading.Thread(target=in_session, args=(path, whole, len(part))))
        elif manner == "lines":
            work.append(threading.Thread(target=one_way, args=(path, whole)))
        else:
            work.append(threading.Thread(target=one_each, args=(path, part)))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
