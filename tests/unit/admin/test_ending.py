"""Threads that ask a store end with the daemon."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from llmledgerd.admin.ending import end_all

LONG_SECONDS = 30.0


def test_each_statement_of_a_question_is_canceled() -> None:
    canceled, begun = threading.Event(), threading.Event()
    ended = []

    def question() -> None:
        for number in range(3):
            begun.set()
            ended.append((number, canceled.wait(LONG_SECONDS)))
            canceled.clear()

    threads = ThreadPoolExecutor(1)
    threads.submit(question)
    assert begun.wait(LONG_SECONDS)

    end_all(threads, canceled.set, most=LONG_SECONDS, between=0.001)

    assert ended == [(0, True), (1, True), (2, True)]


def test_a_question_that_cannot_be_canceled_is_left() -> None:
    interrupts: list[None] = []
    released = threading.Event()
    threads = ThreadPoolExecutor(1)
    threads.submit(released.wait, LONG_SECONDS)

    end_all(threads, lambda: interrupts.append(None), most=0.01, between=0.001)

    assert len(interrupts) == 10
    released.set()


def test_nothing_is_canceled_where_nothing_runs() -> None:
    interrupts: list[None] = []

    end_all(ThreadPoolExecutor(1), lambda: interrupts.append(None), between=LONG_SECONDS)

    assert not interrupts
