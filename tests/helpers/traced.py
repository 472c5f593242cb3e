"""A daemon whose system calls are recorded: what it asked of the kernel, and in which order.

Invariant: a call is listed when it has returned, with the places in the record of its begin and its end,
so that of two calls of different threads it can be told which was over before the other began.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from tests.helpers.daemon import RunningDaemon
from tests.helpers.prefork import Process
from tests.helpers.waiting import until

STRACE = shutil.which("strace") or ""
CALLS = (
    "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,openat,unlink,unlinkat,rename,renameat,renameat2,"
    "rmdir,ftruncate,truncate"
)
UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)", re.DOTALL)


class Call(msgspec.Struct):
    """One system call that has worked."""

    name: str
    arguments: str
    began: int
    ended: int

    @property
    def file(self) -> str:
        """The path of the descriptor that is its first argument."""
        found = re.match(r"\d+<([^>]*?)(?: \(deleted\))?>", self.arguments)
        return found[1] if found else ""

    @property
    def paths(self) -> list[str]:
        """The paths among its arguments, as they are written; relative ones after their folder."""
        return re.findall(r'"((?:[^"\\]|\\.)*)"', self.arguments)


def calls(record: Path) -> Iterator[Call]:
    """Yield what has worked, in the order in which it was over."""
    begun: dict[str, tuple[int, str]] = {}
    with record.open(errors="replace") as lines:
        for at, line in enumerate(lines):
            text, began = line.rstrip("\n"), at
            if found := UNFINISHED.match(text):
                begun[found[1]] = at, found[2]
                continue
            if found := RESUMED.match(text):
                began, head = begun.pop(found[1], (at, ""))
                text = f"{found[1]} {head}{found[2]}"
            whole = WHOLE.match(text)
            if whole and int(whole[4]) >= 0:
                yield Call(whole[2], whole[3], began, at)


class TracedDaemon(RunningDaemon):
    """``llmledgerd serve`` under strace."""

    @property
    def record(self) -> Path:
        return self.folder / "calls"

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        assert STRACE, "strace is needed"
        self.record.unlink(missing_ok=True)
        traced = [STRACE, "-f", "--seccomp-bpf", "-y", "-qq", "-s", "120", "-e", f"trace={CALLS}"]
        return super()._launch([*traced, "-o", str(self.record), "--", *command], environment, log)

    def kill(self) -> None:
        """SIGKILL for the daemon; strace ends with it."""
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """SIGTERM for the daemon; return its exit code."""
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGTERM)
        return self.wait()


@contextmanager
def recorded(pid: int, record: Path) -> Iterator[None]:
    """Record what a process that runs already asks of the kernel, until it ends or the block does."""
    assert STRACE, "strace is needed"
    command = [
        STRACE,
        "-f",
        "-y",
        "-qq",
        "-s",
        "8",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(record),
        "-p",
        str(pid),
    ]
    tracer = subprocess.Popen(command)
    try:
        until(lambda: all(_is_traced(task) for task in Path(f"/proc/{pid}/task").iterdir()), what="strace")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


def _is_traced(task: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in (task / "status").read_text()
    except FileNotFoundError:  # a thread that has ended
        return True


def lose_unsynced(folder: Path, record: Path) -> list[Path]:
    """Take the bytes of all files below a folder that a power cut may take, by the calls of their process.

    What is not in the record was there before, and is left alone; so is every name.
    """
    dirty: dict[str, int] = {}
    for call in calls(record):
        if call.name == "openat" and "O_CREAT" in call.arguments:
            dirty[call.paths[0]] = call.ended
        elif call.name in ("write", "writev", "pwrite64", "pwritev", "ftruncate"):
            dirty[call.file] = call.ended
        elif call.name in ("fsync", "fdatasync") and dirty.get(call.file, call.began) < call.began:
            del dirty[call.file]
        elif call.name.startswith("rename"):
            old, new = (path.rstrip("/") for path in call.paths[-2:])
            for path in [path for path in dirty if path == old or path.startswith(f"{old}/")]:
                dirty[new + path.removeprefix(old)] = dirty.pop(path)
    lost = [Path(path) for path in dirty if path.startswith(f"{folder}/") and Path(path).is_file()]
    for file in lost:
        os.truncate(file, 0)
    return lost
