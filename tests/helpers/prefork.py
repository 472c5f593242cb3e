"""The project's two commands in processes of their own, forked from one that has imported them already.

Invariant: such a process differs from one that was started anew in nothing but its command line and the
second of CPU time that the imports take: environment, standard streams and arguments are those it
was given, it is a child of the test's process, and it runs the command's own entry point to its end.
What looks at the command line, or at the imports, starts the command by itself.

The source of the forks has one thread and runs no test's code; it ends with the test's process.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import io
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import typer.main

ROOT = Path(__file__).parents[2]
ENTRIES = {"llmledgerd": "llmledgerd.cli.daemon", "llmledger": "llmledgerd.cli.app"}
"""The module whose ``main`` is the command; as in ``project.scripts``."""
IMPORTED = (*ENTRIES.values(), "llmledgerd.daemon.app", "uvloop")
"""And the modules of all commands, which these import when one is called."""
PACKAGES = ("llmledgerd.admin", "llmledgerd.otlp", "llmledgerd.payloads", "llmledgerd.stores")
"""Packages whose modules are imported when a setting asks for them; some are 0.2 s of CPU time for a daemon."""
PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES = 1 << 18

_one_at_a_time = threading.Lock()


class Process(Protocol):
    """What a daemon's process is used for, whichever way it was started."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


class Request(msgspec.Struct):
    """What to run; three descriptors come along, the standard streams."""

    command: str
    arguments: list[str]
    environment: dict[str, str]


class Forked:
    """A process that was forked elsewhere, and was handed to this one as a child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            ended = os.pidfd_open(self.pid)
            try:
                if not select.select([ended], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            finally:
                os.close(ended)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


@functools.cache
def _source(owner: int) -> socket.socket:
    """Return the way to the source of this process's forks, started when it is first needed."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"process {owner} cannot become a subreaper")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        for end in (ours, theirs):
            for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, size, REQUEST_BYTES)
        command = [sys.executable, "-m", "tests.helpers.prefork", str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    process.returncode = 0  # it ends with this process, which has nothing to wait for
    atexit.register(ours.close)
    return ours


def start(
    command: str,
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    out: int,
    err: int,
    given: str = "",
) -> Forked:
    """Start ``llmledgerd`` or ``llmledger`` with these descriptors to write to, and a text to read."""
    source = _source(os.getpid())
    request = Request(command, arguments, dict(environment))
    with _one_at_a_time, tempfile.TemporaryFile() as standard_input:
        standard_input.write(given.encode())
        standard_input.seek(0)
        socket.send_fds(source, [msgspec.json.encode(request)], [standard_input.fileno(), out, err])
        answer = source.recv(REQUEST_BYTES)
    if not answer:
        raise RuntimeError("the source of forks has ended")
    return Forked(int(answer))


def run(
    command: str, *arguments: str, environment: Mapping[str, str], given: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run one to its end, and return its exit code and what it wrote. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(
            command, list(arguments), environment=environment, out=out.fileno(), err=err.fileno(), given=given
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        return subprocess.CompletedProcess([command, *arguments], code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _serve(control: socket.socket) -> Any:
    """Fork for each request; return, in the fork, what it is to run. The source itself never returns."""
    while True:
        data, streams, _, _ = socket.recv_fds(control, REQUEST_BYTES, 3)
        if not data:
            os._exit(0)
        ours, theirs = os.pipe()
        middle = os.fork()
        if not middle:  # ends at once, so that its child becomes one of the test's process
            child = os.fork()
            if not child:
                os.close(ours)
                os.close(theirs)
                control.close()
                return _become(msgspec.json.decode(data, type=Request), streams)
            os.write(theirs, str(child).encode())
            os._exit(0)
        os.close(theirs)
        os.waitpid(middle, 0)
        control.send(os.read(ours, 32))
        os.close(ours)
        for stream in streams:
            os.close(stream)


def _become(request: Request, streams: list[int]) -> Any:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        if stream > 2:
            os.close(stream)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    sys.argv[:] = [request.command, *request.arguments]
    return sys.modules[ENTRIES[request.command]]


def _warm_up() -> None:
    """Import everything, also what is imported when a command first runs."""
    for imported in IMPORTED:
        importlib.import_module(imported)
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(folder, f"{package}."):
            importlib.import_module(found.name)
    for module in ENTRIES.values():
        group: Any = typer.main.get_command(sys.modules[module].app)
        for name in group.commands:
            group.load(name)
    arguments, sys.argv[1:] = sys.argv[1:], ["--version"]
    for module in ENTRIES.values():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            sys.modules[module].main()
    sys.argv[1:] = arguments
    assert len(list(Path("/proc/self/task").iterdir())) == 1, (
        "an import has started a thread, which no fork has"
    )
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _warm_up()
    _serve(socket.socket(fileno=int(sys.argv[1]))).main()
