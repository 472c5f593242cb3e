"""What payloads cost, by where they are put: bytes in the table, bytes in object storage, speed.

Sends the same records of 50 KB to one daemon after the other, each on an empty embedded store: inline,
metadata_only, offloaded to a folder, offloaded to a stand-in for S3 on this machine. Time runs from the
first byte sent until the last row is stored. The texts are random words, which compress to about half;
real conversations, which repeat themselves, compress better.

``python bench/payloads.py [records]``, 100,000 by default, takes some ten minutes and, mode by mode,
3 GB under the temporary folder. The stand-in is Python, so that its line is a lower bound.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from llmledgerd.errors import StoreBusy
from llmledgerd.query.daemon_client import DaemonAnswers
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.telemetry.status import Status

RECORD_BYTES = 50_000
STAND_IN = Path(__file__).parents[1] / "tests" / "helpers" / "object_server.py"
S3_OPTIONS = """
endpoint = "http://127.0.0.1:{port}"
region = "us-east-1"
access_key_id = "bench"
secret_access_key = "bench"
"""


class Result(msgspec.Struct):
    """One mode's line of the table."""

    mode: str
    table_bytes: int
    object_bytes: int
    objects: int
    seconds: float


def words(size: int) -> str:
    """Return so many characters of random words."""
    dice = random.Random(1)
    known = ["".join(dice.choices("etaoinshrdlucmfwyp", k=dice.randint(2, 9))) for _ in range(5_000)]
    return " ".join(dice.choices(known, k=size // 5))[:size]


def lines(count: int, text: str) -> Iterator[bytes]:
    """Yield records; what they say is cut anywhere from the text, so that no two are alike."""
    dice = random.Random(2)
    for number in range(count):
        start = dice.randrange(len(text) - RECORD_BYTES)
        said = text[start : start + RECORD_BYTES - 800]
        record = {
            "protocol_version": 4,
            "provider_trace_id": f"call-{number}",
            "provider": "openai",
            "org_id": f"org-{number % 10}",
            "agent_id": f"agent-{number % 100}",
            "status_code": 200,
            "latency_ms": 1200,
            "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": said[500:]}]},
            "response": {
                "model": "gpt-4o-2024-08-06",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": said[:500]}}],
                "usage": {"prompt_tokens": 9000, "completion_tokens": 100, "total_tokens": 9100},
            },
        }
        yield json.dumps(record).encode() + b"\n"


@contextmanager
def daemon(folder: Path, settings: dict[str, object]) -> Iterator[None]:
    """Run a daemon on an empty store; its socket and admin socket lie in the folder."""
    chosen = {
        "socket_path": folder / "s",
        "spool_dir": folder / "spool",
        "clickhouse_url": f"chdb://{folder}/clickhouse",
        "log_level": "warning",
        **settings,
    }
    command = [sys.executable, "-m", "llmledgerd", "serve"]
    for name, value in chosen.items():
        command += ["--set", f"{name}={value}"]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def stored(admin: Path, count: int) -> None:
    """Return when so many records are rows."""
    answers = DaemonAnswers(f"unix:{admin}")
    try:
        while True:
            try:
                status: Status = await answers.get("/v1/status", Status)
                if status.stored >= count:
                    return
            except StoreBusy:
                pass  # it has not started yet
            await asyncio.sleep(0.05)
    finally:
        await answers.close()


def measure(
    mode: str, folder: Path, settings: dict[str, object], objects: Path, count: int, text: str
) -> Result:
    with daemon(folder, settings):
        asyncio.run(stored(folder / "admin.sock", 0))
        began = time.perf_counter()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sender:
            sender.connect(str(folder / "s"))
            for line in lines(count, text):
                sender.sendall(line)
        asyncio.run(stored(folder / "admin.sock", count))
        seconds = time.perf_counter() - began
    store = Store(f"chdb://{folder}/clickhouse")
    table = store.query(
        "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND table = 'llm_traces'"
    )
    store.close()
    sizes = [path.stat().st_size for path in objects.rglob("*.json.gz")]
    return Result(mode, table[0]["bytes"], sum(sizes), len(sizes), seconds)


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, object]]:
    """Run the stand-in, and give the settings that name it."""
    command = [sys.executable, str(STAND_IN), "--data", str(folder / "objects")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        options = folder / "s3.toml"
        options.write_text(S3_OPTIONS.format(port=int(process.stdout.readline())))
        yield {"payloads": "offload", "payload_store": "s3://bench/here", "payload_store_file": options}
        process.kill()


def run(mode: str, count: int, text: str) -> Result:
    folder = Path(tempfile.mkdtemp())
    objects = folder / "objects"
    objects.mkdir()
    try:
        if mode == "offload, S3":
            with s3(folder) as settings:
                return measure(mode, folder, settings, objects, count, text)
        settings = {"payloads": mode.partition(",")[0], "payload_store": f"file://{objects}"}
        return measure(mode, folder, settings, objects, count, text)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    text = words(20_000_000)
    print(f"{count:,} records of {RECORD_BYTES:,} bytes")
    print(
        f"{'mode':<16}{'table MB':>10}{'object MB':>11}{'objects':>10}{'seconds':>9}{'records/s':>11}{'MB/s':>7}"
    )
    for mode in ("inline", "metadata_only", "offload, folder", "offload, S3"):
        found = run(mode, count, text)
        speed = count / found.seconds
        print(
            f"{mode:<16}{found.table_bytes / 1e6:>10,.1f}{found.object_bytes / 1e6:>11,.1f}{found.objects:>10,}"
            f"{found.seconds:>9,.1f}{speed:>11,.0f}{speed * RECORD_BYTES / 1e6:>7,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
