"""A canary, and a client whose every byte and log line is searched for it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import string
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import llmledger
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.providers import Providers
from tests.security.attack import Attack

WINDOW = 9


def made(result: Any) -> None:
    if asyncio.iscoroutine(result):
        asyncio.run(result)


class Canary:
    """A secret, and the question whether something gives it away."""

    def __init__(self, dice: random.Random, tail: str = "") -> None:
        self.text = "sk-" + "".join(dice.choices(string.ascii_letters + string.digits, k=36)) + tail

    def is_in(self, haystack: str) -> bool:
        """Return whether any form of it, or any part of a form, stands in the text."""
        lowered = haystack.lower()
        return any(
            form[at : at + WINDOW] in lowered
            for form in map(str.lower, self.forms())
            for at in range(max(1, len(form) - WINDOW + 1))
        )

    def forms(self) -> Iterator[str]:
        """Yield the ways in which it can be written."""
        data = self.text.encode()
        yield from (self.text, quote(self.text, safe=""), data.hex())
        for offset in range(3):
            yield b64encode(bytes(offset) + data).decode().rstrip("=")[4:-4]


class _Keeping(logging.Handler):
    """A log handler that appends each formatted line to a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class Scene:
    """The hooks on, a daemon that keeps every byte, providers, and a log that keeps every line."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self.dice = random.Random(14)
        ends = attack.ends
        warnings.simplefilter("ignore")
        os.environ["NO_PROXY"] = "*"
        self.daemon = ends.enter_context(FakeDaemon(attack.folder / "d.sock"))
        self.providers = ends.enter_context(Providers())
        self.client = llmledger.TraceClient(self.daemon.path)
        ends.callback(self.client.close, 10)
        unused = ends.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        self.refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
        self._logged: list[str] = []
        handler = _Keeping(self._logged)
        logging.getLogger("llmledger").addHandler(handler)
        ends.callback(logging.getLogger("llmledger").removeHandler, handler)
        self._read = 0

    def canary(self, tail: str = "") -> Canary:
        return Canary(self.dice, tail)

    @contextmanager
    def attempt(self, what: str, canary: Canary, *, records: int = 1) -> Iterator[None]:
        """Whatever happens inside; then the search. It has to have been recorded, or nothing was tried."""
        before = self.client.stats().records
        with suppress(Exception):
            yield
        assert self.client.flush(20), what
        came = self.client.stats().records - before
        lines = [line for session in self.daemon.sessions.values() for line in session]
        told = lines[self._read :]
        self._read = len(lines)
        texts = [line.decode() for line in told] + [str(json.loads(line)) for line in told] + self._logged
        self._logged.clear()
        is_told = any(map(canary.is_in, texts))
        self.attack.tried(
            what + ("" if came >= records else " (not recorded)"), through=is_told or came < records
        )
