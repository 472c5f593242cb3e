"""What a process took of the machine: CPU and memory, as the kernel counts them. Linux alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLED_EVERY_SECONDS = 0.05


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of all threads of a process, and of children it has waited for."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(after_name[index]) for index in (11, 12, 13, 14)) / TICKS


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def disk_bytes(folder: Path) -> int:
    """Return what a folder's files take of the disk; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue
    return total


class Cost(msgspec.Struct):
    """What was taken between two moments."""

    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    peak_disk_bytes: int = 0


class Watch(threading.Thread):
    """Watches a process, and a folder of its own, for the length of a block."""

    def __init__(self, pid: int, folder: Path | None = None) -> None:
        super().__init__(daemon=True)
        self.cost = Cost()
        self._pid, self._folder = pid, folder
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self._before = cpu_seconds(self._pid)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cost.cpu_seconds = cpu_seconds(self._pid) - self._before
        self.cost.peak_mib = peak_mib(self._pid)
        self._is_over.set()
        self.join()

    def run(self) -> None:
        while self._folder is not None and not self._is_over.wait(SAMPLED_EVERY_SECONDS):
            self.cost.peak_disk_bytes = max(self.cost.peak_disk_bytes, disk_bytes(self._folder))
