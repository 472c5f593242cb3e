"""Libraries that are imported after ``instrument()`` are hooked then, once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmledger
from llmledger import auto
from llmledger.imports import Watch
from llmledger.instrumentation.switch import LATER, LIBRARIES
from tests.helpers.captured import Captured

TRANSPORTS = """
class Response:
    def __init__(self):
        self.status, self.headers = 200, [("Content-Type", "application/json")]
        self._chunks, self._release = iter([b"{}"]), lambda _: None

class StdlibTransport:
    def stream(self, request):
        return Response()

class StdlibAsyncTransport:
    async def _do_stream(self, request):
        return Response()
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    (tmp_path / "lm15").mkdir()
    (tmp_path / "lm15" / "__init__.py").write_text("")
    (tmp_path / "lm15" / "transports.py").write_text(TRANSPORTS)
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield Captured()
    llmledger.uninstrument()
    assert sys.meta_path == before
    for name in ("lm15", "lm15.transports"):
        sys.modules.pop(name, None)


def calls(transports: Any) -> None:
    url = "https://api.openai.com/v1/chat/completions"
    request = SimpleNamespace(method="POST", url=url, headers=[], body=b'{"model":"m"}')
    assert b"".join(transports.StdlibTransport().stream(request)._chunks) == b"{}"


def test_a_library_that_is_imported_later_is_hooked_once_by_all_who_watch(client: Captured) -> None:
    watch = Watch(auto.LIBRARIES, auto._hook)  # as ``llmledger-run`` does
    watch.start()
    llmledger.instrument(client=client)
    transports = importlib.import_module("lm15.transports")
    calls(transports)
    watch.stop()
    assert len(client.records()) == 1
    assert not hasattr(transports.StdlibTransport.stream.__wrapped__, "__wrapped__")
    llmledger.instrument(client=client)
    calls(transports)
    assert len(client.records()) == 2
    llmledger.uninstrument()
    calls(transports)
    assert len(client.records()) == 2


def test_after_uninstrument_a_library_is_left_alone(client: Captured) -> None:
    llmledger.instrument(client=client)
    llmledger.uninstrument()
    calls(importlib.import_module("lm15.transports"))
    assert client.lines == []


def test_zero_code_knows_every_library() -> None:
    assert set(auto.LIBRARIES) == LIBRARIES.keys() | LATER.keys()
