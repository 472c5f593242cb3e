"""What a service manager does between fork and exec; and two ways for the daemon to hang.

Invariant: until a signal comes, the daemon that runs here is the one that users run. SIGUSR1 blocks its
event loop for ever, SIGUSR2 its shipper at the next segment.

Run as ``python -m tests.helpers.activated DESCRIPTOR serve …``; the rest is ``llmledgerd``'s.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from llmledgerd.cli import daemon
from llmledgerd.delivery import batch, preparer

FIRST_DESCRIPTOR = 3
FOR_EVER = threading.Event()


def hand_over(descriptor: int) -> None:
    os.dup2(descriptor, FIRST_DESCRIPTOR)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "record"}


def block_the_loop(number: int, frame: object) -> None:
    """Python runs this in the main thread, which is the event loop's."""
    FOR_EVER.wait()


def hang_the_shipper(number: int, frame: object) -> None:
    def prepare(*arguments: Any) -> batch.Batch:
        FOR_EVER.wait()
        raise AssertionError("for ever is over")

    preparer.Preparer.prepare = prepare  # type: ignore[method-assign,assignment]  # this is the harm


def main() -> None:
    hand_over(int(sys.argv.pop(1)))
    signal.signal(signal.SIGUSR1, block_the_loop)
    signal.signal(signal.SIGUSR2, hang_the_shipper)
    daemon.main()


if __name__ == "__main__":
    main()
