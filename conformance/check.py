"""Plays the daemon to a client in any language, and says what the client does wrong.

    python3 conformance/check.py COMMAND [ARGUMENT ...]

PROTOCOL.md, section 6, says what the command has to do. Invariant: in every scene each record has to
be stored once, in order, under one number of one session, as far as the scene lets the client know.
Needs Python 3.11 and nothing else. The exit status is the number of scenes that failed.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 20.0
"""How long the client may take for a step: to connect again, to write its next line, to end."""

QUIET_SECONDS = 0.3
"""How long a client is watched for what it must not write."""

MAX_LINE_BYTES = 128 << 20
CONTROLS = ("begin", "dropped", "end")


class Wrong(Exception):
    """What the client did against the protocol."""


class Peer:
    """One connection of the client."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(PATIENCE_SECONDS)
        self._received = b""

    def line(self) -> bytes:
        """Return the next whole line; empty when the client has closed."""
        while b"\n" not in self._received:
            try:
                data = self._connection.recv(1 << 16)
            except TimeoutError:
                raise Wrong(f"wrote nothing for {PATIENCE_SECONDS:g} s where a line was due") from None
            except ConnectionError:
                data = b""
            if not data:
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def say(self, *answers: dict[str, Any], in_pieces: bool = False) -> None:
        """Write answers, byte by byte if asked to. The client may have gone."""
        data = b"".join(json.dumps(answer).encode() + b"\n" for answer in answers)
        step = 1 if in_pieces else len(data)
        with suppress(ConnectionError):
            for start in range(0, len(data), step):
                self._connection.sendall(data[start : start + step])

    def is_quiet(self) -> bool:
        """Return whether the client writes nothing for a while."""
        return not self._received and not select.select([self._connection], [], [], QUIET_SECONDS)[0]

    def close(self) -> None:
        """Cut the connection; what was not read of it is gone."""
        self._connection.close()


class Stage:
    """One run of the client, and the disk of the daemon that it talks to."""

    def __init__(self, command: list[str], folder: Path, *, records: int = 20, size: int = 100) -> None:
        self.path = folder / "s"
        self.records = records
        self.stored: list[bytes] = []
        self.read = 0
        """The highest number of a line that any connection brought."""
        self.told = 0
        self.session = ""
        self._ids: dict[int, str] = {}
        self._peers: list[Peer] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(PATIENCE_SECONDS)
        own = {"LLMLEDGER_SOCKET": self.path, "CONFORMANCE_RECORDS": records, "CONFORMANCE_BYTES": size}
        environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        self._process = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own command line

    def listen(self) -> None:
        """Be there from now on."""
        self._listener.bind(str(self.path))
        self._listener.listen(8)

    def end(self) -> None:
        """Let the run be over, whatever the client thinks."""
        self._process.kill()
        self._process.wait()
        self._listener.close()
        for peer in self._peers:
            peer.close()

    def hello(self) -> tuple[Peer, dict[str, Any]]:
        """Return the next connection with its hello, read, checked, and not yet answered."""
        try:
            peer = Peer(self._listener.accept()[0])
        except TimeoutError:
            raise Wrong(f"did not connect within {PATIENCE_SECONDS:g} s") from None
        self._peers.append(peer)
        first = decoded(peer.line())
        if first.get("protocol_version") != 4 or not isinstance(first.get("hello"), dict):
            raise Wrong(f"its first line is no hello of version 4: {first}")
        self._check_hello(first["hello"])
        if not peer.is_quiet():
            raise Wrong("wrote on before its hello was answered")
        return peer, first["hello"]

    def connect(self) -> Peer:
        """Return the next connection, its hello answered with what is stored."""
        peer, _ = self.hello()
        self.answer(peer)
        return peer

    def answer(self, peer: Peer, **more: Any) -> None:
        """Answer a hello."""
        self.told = len(self.stored)
        peer.say({"protocol_version": 4, "durable": self.told, "max_line_bytes": MAX_LINE_BYTES, **more})

    def durable(self, peer: Peer) -> None:
        """Say what is stored."""
        self.told = len(self.stored)
        peer.say({"durable": self.told})

    def take(self, peer: Peer) -> dict[str, Any]:
        """Read and store one line; an empty dict when the client has closed."""
        line = peer.line()
        if not line:
            return {}
        read = decoded(line)
        number = len(self.stored) + 1
        self._check_line(read, number)
        self.stored.append(line)
        self.read = max(self.read, number)
        return read

    def take_to_end(self, peer: Peer) -> dict[str, Any]:
        """Store and confirm line by line until the session's end; return that."""
        while line := self.take(peer):
            self.durable(peer)
            if "end" in line:
                return line
        raise Wrong("closed before its session's end was written")

    def finish(self, peer: Peer) -> None:
        """Take all the rest, then check the whole session and the client's exit."""
        end = self.take_to_end(peer)
        if end["end"] != {"taken": self.records}:
            raise Wrong(f"ended with {end['end']}, and was handed {self.records} records")
        if peer.line():
            raise Wrong("wrote on after its session's end")
        self.exits()
        lost = sum(sum(line["dropped"].values()) for line in map(decoded, self.stored) if "dropped" in line)
        ids = [name for name in map(record_id, map(decoded, self.stored)) if name]
        if len(ids) + lost != self.records:
            raise Wrong(f"of {self.records} records {len(ids)} were stored and {lost} reported as lost")
        if ids != sorted(set(ids), key=lambda name: int(name.rpartition("-")[2])):
            raise Wrong(f"records are out of order or repeated: {ids}")

    def exits(self) -> None:
        """Wait for the client's end."""
        try:
            status = self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Wrong(f"did not exit within {PATIENCE_SECONDS:g} s") from None
        if status:
            raise Wrong(f"exited with {status}")

    def connects_again(self) -> bool:
        """Return whether the client comes back within a while."""
        return bool(select.select([self._listener], [], [], 10 * QUIET_SECONDS)[0])

    def _check_hello(self, hello: dict[str, Any]) -> None:
        session, first, last = hello.get("session"), hello.get("first"), hello.get("last")
        try:
            uuid.UUID(session)
        except (ValueError, TypeError, AttributeError):
            raise Wrong(f"its session is no UUID: {session!r}") from None
        if self.session and session != self.session:
            raise Wrong("began another session after a reconnect")
        self.session = str(session)
        if type(first) is not int or first < 1:
            raise Wrong(f"`first` is no integer above 0: {first!r}")
        if first > self.told + 1:
            raise Wrong(f"holds lines from {first} on only, and {self.told} were durable")
        if (last or 0) < self.read:
            raise Wrong(f"`last` is {last}, and it has written line {self.read}")

    def _check_line(self, line: dict[str, Any], number: int) -> None:
        if line.get("protocol_version") != 4:
            raise Wrong(f"line {number} is not of version 4")
        if "hello" in line:
            raise Wrong(f"line {number} is a second hello")
        kind = next((name for name in CONTROLS if name in line), "") or record_id(line)
        if self._ids.setdefault(number, kind) != kind:
            raise Wrong(f"line {number} was {self._ids[number]} and has become {kind}")


def decoded(line: bytes) -> dict[str, Any]:
    """Return a line as an object; Wrong where it is none."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise Wrong(f"a line is no JSON ({error}): {line[:80]!r}") from None
    if not isinstance(value, dict):
        raise Wrong(f"a line is no object: {line[:80]!r}")
    return value


def record_id(line: dict[str, Any]) -> str:
    """Return a record's id; empty for other lines."""
    return "" if any(name in line for name in CONTROLS) else str(line.get("provider_trace_id"))


def nothing_goes_wrong(stage: Stage) -> None:
    """Every record arrives once, in order, and the end says how many there were."""
    stage.listen()
    stage.finish(stage.connect())


def the_daemon_comes_late(stage: Stage) -> None:
    """The client tries again until there is a daemon."""
    time.sleep(2 * QUIET_SECONDS)
    stage.listen()
    stage.finish(stage.connect())


def answers_are_held_back(stage: Stage) -> None:
    """What was never called durable is kept, and repeated on the next connection."""
    stage.listen()
    peer = stage.connect()
    for _ in range(stage.records // 2):
        stage.take(peer)
    peer.close()
    stage.stored.clear()
    stage.finish(stage.connect())


def the_connection_is_cut_again_and_again(stage: Stage) -> None:
    """After each cut the client goes on with the line after the last stored one, and whole."""
    stage.listen()
    for count in (1, 2, 3):
        peer = stage.connect()
        for _ in range(count):
            stage.take(peer)
        stage.durable(peer)
        stage.take(peer)
        peer.close()
        stage.stored.pop()  # it was read, and not yet on the disk
    stage.finish(stage.connect())


def lines_were_stored_and_nobody_said_so(stage: Stage) -> None:
    """The answer to the hello is the truth: nothing that it covers is sent again."""
    stage.listen()
    peer = stage.connect()
    for _ in range(5):
        stage.take(peer)
    peer.close()
    stage.finish(stage.connect())


def a_hello_is_not_answered(stage: Stage) -> None:
    """A connection that dies before the answer costs nothing."""
    stage.listen()
    peer, _ = stage.hello()
    peer.close()
    stage.finish(stage.connect())


def answers_come_in_pieces(stage: Stage) -> None:
    """An answer ends with its newline, wherever the reads are cut."""
    stage.listen()
    peer, _ = stage.hello()
    peer.say({"protocol_version": 4, "durable": 0, "max_line_bytes": MAX_LINE_BYTES}, in_pieces=True)
    stage.take(peer)
    peer.say({"durable": 0}, {"durable": 1}, in_pieces=True)
    stage.told = 1
    stage.finish(peer)


def answers_have_unknown_keys(stage: Stage) -> None:
    """What a later daemon may add is ignored."""
    stage.listen()
    peer, _ = stage.hello()
    stage.answer(peer, weather={"is": "fine"})
    stage.take(peer)
    peer.say({"news": [1, 2]}, {"durable": 1, "since": "now"})
    stage.told = 1
    stage.finish(peer)


def records_are_rejected(stage: Stage) -> None:
    """A dead letter is durable and is not sent again."""
    stage.listen()
    peer = stage.connect()
    for _ in range(3):
        stage.take(peer)
    peer.say({"rejected": 2, "reason": "wrong_type"}, {"durable": 3}, {"rejected": 1, "reason": "bad_id"})
    stage.told = 3
    peer.close()
    stage.finish(stage.connect())


def lines_are_longer_than_the_limit(stage: Stage) -> None:
    """They are not sent but reported as dropped."""
    stage.listen()
    peer, _ = stage.hello()
    stage.answer(peer, max_line_bytes=1_000)
    stage.finish(peer)
    if any(len(line) > 1_000 for line in stage.stored):
        raise Wrong("sent a line over `max_line_bytes`")


def large_lines_are_cut_in_the_middle(stage: Stage) -> None:
    """Half a line is no line: it is written again from its beginning."""
    stage.listen()
    peer = stage.connect()
    stage.take(peer)
    stage.durable(peer)
    peer.close()
    stage.finish(stage.connect())


def the_version_is_not_supported(stage: Stage) -> None:
    """The client gives up, and ends."""
    stage.listen()
    peer, _ = stage.hello()
    peer.say({"error": "unsupported_protocol_version", "supported": [1, 2, 3]})
    peer.close()
    if stage.connects_again():
        raise Wrong("tried again with a version that is not supported")
    stage.exits()


Scene = Callable[[Stage], None]
SCENES: tuple[tuple[Scene, dict[str, int]], ...] = (
    (nothing_goes_wrong, {}),
    (the_daemon_comes_late, {}),
    (answers_are_held_back, {}),
    (the_connection_is_cut_again_and_again, {}),
    (lines_were_stored_and_nobody_said_so, {}),
    (a_hello_is_not_answered, {}),
    (answers_come_in_pieces, {}),
    (answers_have_unknown_keys, {}),
    (records_are_rejected, {}),
    (lines_are_longer_than_the_limit, {"size": 2_000}),
    (large_lines_are_cut_in_the_middle, {"size": 500_000}),
    (the_version_is_not_supported, {}),
)


def fault(scene: Scene, sizes: dict[str, int], command: list[str]) -> str:
    """Run one scene; return what the client did wrong in it, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(command, Path(folder), **sizes)
        try:
            scene(stage)
        except Wrong as error:
            return str(error)
        finally:
            stage.end()
    return ""


def main() -> int:
    """Run every scene, and say how each went."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    failed = 0
    for scene, sizes in SCENES:
        wrong = fault(scene, sizes, sys.argv[1:])
        failed += bool(wrong)
        verdict = f"FAIL {scene.__name__}: the client {wrong}" if wrong else f"ok   {scene.__name__}"
        sys.stdout.write(verdict + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
