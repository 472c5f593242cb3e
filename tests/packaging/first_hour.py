"""README's quickstart, played as a newcomer would: each block as it stands, from wheels, in an empty home.

Run as ``python -m tests.packaging.first_hour [PYTHON ...]`` it plays the blocks with each of the given
interpreters and prints the transcript.

Invariant: a block is the text between its fences, unchanged. Blocks that go on running (``serve``, ``ui``)
are started, and the next one begins when they say that they are ready.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.helpers.waiting import until

ROOT: Final = Path(__file__).resolve().parents[2]
RUNNING: Final = {"llmledgerd serve": '"ready"', "llmledger ui": "open http://"}
"""What goes on running, and what it writes when it is ready."""
NOT_FOUND: Final = 1
"""Exit code of a question whose answer is that there is none."""
SECONDS: Final = 600
"""Limit of one block; an installation downloads hundreds of megabytes."""


class BlockFailed(Exception):
    """A block of the quickstart ended with an error; the message is the transcript so far."""


def blocks(readme: str) -> list[str]:
    """Return the blocks of the chapter Quickstart that a reader is to run."""
    chapter = readme.partition("\n## Quickstart\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", chapter, re.M | re.S)


def play(python: str, home: Path) -> str:
    """Run the blocks in order in an empty home; return the transcript. Raises BlockFailed."""
    checkout = home / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    bin_folder = home / "bin"
    bin_folder.mkdir()
    for name in ("python3", "pip"):
        script = f'#!/bin/sh\nexec {python} {"-m pip " if name == "pip" else ""}"$@"\n'
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(0o755)
    environment = {
        "HOME": str(home),
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    environment |= {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP"))
    }
    said: list[str] = []
    with ExitStack() as running:
        exported = ""
        for number, text in enumerate(blocks((ROOT / "README.md").read_text())):
            said.append("".join(f"$ {line}\n" for line in text.splitlines()))
            block = exported + text
            # A terminal keeps what an earlier block exported.
            exported += "".join(f"{line}\n" for line in text.splitlines() if line.startswith("export "))
            ready = next((words for command, words in RUNNING.items() if command in block), None)
            if ready is None:
                said.append(_run(block, checkout, environment, said))
            else:
                log = home / f"block-{number}.log"
                running.enter_context(_started(block, checkout, environment, log, ready))
                said.append(log.read_text())
    return "".join(said)


def _run(block: str, folder: Path, environment: dict[str, str], said: list[str]) -> str:
    """Run a block to its end; again while it shows nothing yet, since a row takes a second to be there."""
    outputs: list[str] = []

    def once() -> bool:
        done = subprocess.run(
            ["sh", "-ec", block], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        outputs.append(done.stdout + done.stderr)
        is_early = done.returncode == NOT_FOUND and "llmledger traces" in block
        if done.returncode != 0 and not is_early:
            raise BlockFailed("".join([*said, outputs[-1]]))
        return not is_early

    until(once)
    return outputs[-1]


@contextmanager
def _started(block: str, folder: Path, environment: dict[str, str], log: Path, ready: str) -> Iterator[None]:
    """Run a block that does not end, from its being ready to the end of the context."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["sh", "-ec", block], cwd=folder, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )  # fmt: skip
    try:
        until(lambda: ready in log.read_text() or process.poll() is not None, limit=SECONDS)
        if process.poll() is not None:
            raise BlockFailed(log.read_text())
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def main(pythons: list[str]) -> None:
    for python in pythons or [sys.executable]:
        found = shutil.which(python) or python
        with tempfile.TemporaryDirectory(prefix="first-hour-") as home:
            print(f"==== {python}")
            print(play(found, Path(home)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
