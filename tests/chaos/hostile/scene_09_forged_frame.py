"""After a torn write, frames that a sender has put into a line are not taken for the spool's own.

The lines of a victim are acknowledged and wait for their store. Then a sender writes a line with frames in
it that say that they are stored, rejected, lost; the power fails while its group is written, so that
the beginning of that group is not on the disk and the rest is.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import xxhash

from llmledgerd.spool.format import FORMAT, MAGIC
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

VICTIMS = 3
NOBODY = "http://127.0.0.1:9/default"
BLOCK = 4096
TORN = 2 * BLOCK
"""Of the group's beginning; its frames come later in the line."""
KINDS = {"header": 1, "group": 2, "settled": 3, "rejected row": 4, "padding": 5}


def run(stage: Stage) -> str:
    engine = stage.engine()
    with stage.daemon(url=NOBODY) as daemon:
        with Session(daemon.socket) as victim:
            victim.hello()
            victim.send([line(f"victim-{number}", number) for number in range(1, VICTIMS + 1)])
            victim.wait_durable(VICTIMS)
        until(lambda: admin.status(daemon.folder / "admin.sock")["spool_segments"])
        newest = daemon.segments()[-1]
        at = quiet_size(newest)
        frames = list(made_up(daemon))
        evil = b"[" + b" " * (2 * TORN) + b"".join(frames) + b"]\n"
        daemon.send_one_way(evil)
        until(lambda: evil[-60:] in newest.read_bytes(), what="the group on the disk")
        daemon.kill()
        tear(newest, at)
        daemon.url = engine.url
        daemon.start()
        status = until(lambda: drained(daemon), what="the spool to drain")
    found = engine.query("SELECT count() FROM llm_traces WHERE startsWith(id, 'victim-')")
    assert found == str(VICTIMS), f"{found} rows of {VICTIMS} acknowledged lines; lost {status['lost']}"
    return f"{found} rows of {VICTIMS}, {len(frames)} frames in the torn group"


def drained(daemon: RunningDaemon) -> dict[str, int]:
    status = admin.status(daemon.folder / "admin.sock")
    done = status["stored"] + status["lost"] + status["dead_letters"]
    return status if done >= VICTIMS and not status["in_spool"] else {}


def quiet_size(path: Path) -> int:
    """Return the file's size once nothing is written to it."""
    sizes = [0]

    def settled() -> bool:
        sizes.append(path.stat().st_size)
        return len(sizes) > 20 and len(set(sizes[-20:])) == 1

    until(settled)
    return sizes[-1]


def tear(path: Path, at: int) -> None:
    """Let the first blocks of the newest group be as they are where they were never written."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(TORN))


def made_up(daemon: RunningDaemon) -> Iterator[bytes]:
    """Yield frames as good as a sender can make them: by the format, and by markers that it may guess."""
    known = [bytes(8), b"\xff" * 8, b"\0" * 7 + b"\1"]
    numbers = [int(path.stem) for path in daemon.segments()]
    metas: list[tuple[int, dict[str, object]]] = [
        (KINDS["settled"], {"segment": number, **what})
        for number in range(1, max(numbers) + 2)
        for what in ({"lost": VICTIMS}, {"stored": VICTIMS})
    ]
    pack = msgspec.msgpack.encode
    header = {"batch": b"b" * 16, "created_us": 1, "previous": 1, "previous_size": 1}
    for (kind, meta), guess in itertools.product([*metas, (KINDS["header"], header)], known):
        if kind == KINDS["header"]:
            yield frame(guess, kind, pack({"format": FORMAT, **meta}), pack({"stores": {}}))
        else:
            yield frame(guess, kind, pack(meta), b"")


def frame(guess: bytes, kind: int, meta: bytes, body: bytes) -> bytes:
    """Return a frame of today's format under a guessed marker."""
    head = (
        MAGIC
        + guess
        + struct.pack("<BBHIQQ", kind, 0, 0, len(meta), len(body), xxhash.xxh3_64_intdigest(body))
    )
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + meta)) + meta + body
