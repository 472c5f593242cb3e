"""From nothing to rows: a daemon on the embedded engine, an application, and what landed.

Run by ``make demo``. The data stay in ``demo-data`` for further questions.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "demo-data"
URL = f"chdb://{DATA / 'clickhouse'}"
BIN = Path(sys.executable).parent
READY_SECONDS = 60


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def start_daemon(run: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start ``llmledgerd serve`` and return when it says that it is ready."""
    command: list[str | Path] = [BIN / "llmledgerd", "serve", "--socket", run / "llmledgerd.sock"]
    command += ["--clickhouse-url", URL, "--spool-dir", DATA / "spool"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLMLEDGER_", "CLICKHOUSE_"))}
    with log.open("wb") as stream:
        daemon = subprocess.Popen(command, stderr=stream, env=environment)
    deadline = time.monotonic() + READY_SECONDS
    while '"event": "ready"' not in log.read_text():
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.kill()
            sys.exit(f"the daemon did not get ready:\n{log.read_text()}")
        time.sleep(0.05)
    return daemon


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    log = DATA / "daemon.log"
    # Not below DATA: the path of a Unix socket has at most 107 bytes, and clones lie deep.
    with tempfile.TemporaryDirectory(prefix="llmledger-") as run:
        say("1. llmledgerd serve, on an embedded ClickHouse")
        daemon = start_daemon(Path(run), log)
        try:
            print(f"  ready, pid {daemon.pid}, data in {DATA}")
            say("2. An application makes five LLM calls (examples/application.py)")
            environment = {
                **os.environ,
                "LLMLEDGER_SOCKET": f"{run}/llmledgerd.sock",
                "LLMLEDGER_SERVICE": "demo",
            }
            subprocess.run(
                [sys.executable, Path(__file__).with_name("application.py")], env=environment, check=True
            )
        finally:
            daemon.terminate()
            daemon.wait(60)
    stopped = json.loads(log.read_text().splitlines()[-1])
    print(f"  daemon stopped, {stopped['lines_left_in_spool']} lines left in its spool")
    for title, arguments in (
        ("3. What landed: llmledger traces", ["traces"]),
        ("4. What it cost: llmledger usage --by model", ["usage", "--by", "model"]),
    ):
        say(title)
        subprocess.run([BIN / "llmledger", *arguments, "--url", URL], check=True)
    say("Ask more of it:")
    print(f"  export LLMLEDGER_CLICKHOUSE_URL={URL}")
    print(f"  {os.path.relpath(BIN)}/llmledger traces --errors")
    print(f"  {os.path.relpath(BIN)}/llmledger trace ID")


if __name__ == "__main__":
    main()
