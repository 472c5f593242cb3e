"""A stream that has ended is recorded although nobody closes it."""

from __future__ import annotations

import threading

import pytest

from llmledger.instrumentation import lingering
from tests.helpers.waiting import until


class Held:
    """An exchange whose response the application keeps."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def closed(self) -> None:
        self.ended.set()


def test_it_ends_after_the_grace_and_the_thread_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "GRACE_SECONDS", 0.0)
    held = [Held() for _ in range(100)]
    for one in held:
        lingering.ends_soon(one)
    assert all(one.ended.wait(10) for one in held)
    until(lambda: not lingering._threads, limit=10)


def test_one_that_vanished_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "GRACE_SECONDS", 0.0)
    lingering.ends_soon(Held())
    until(lambda: not lingering._waiting and not lingering._threads, limit=10)
