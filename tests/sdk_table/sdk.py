"""What an SDK's entry in the table is, and the ways to make a call. Nothing here imports an SDK.

Invariant: each way makes the same call, told by its model's name what becomes of it (``tests.helpers.providers``).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar

MESSAGES = [{"role": "user", "content": "How are things?"}]

WAIT_SECONDS = 120.0

_runner = asyncio.Runner()
"""One event loop for all calls, as in an application: some frameworks share clients."""


class Sdk:
    """One SDK. A method that it has no way for is left as it is, and its cells are empty."""

    name: ClassVar[str] = ""
    requirement: ClassVar[str] = ""
    """What pip installs; "" for an SDK that the development environment has."""

    provider: ClassVar[str] = ""
    model: ClassVar[str] = "gpt-4o"
    distribution: ClassVar[str] = ""
    """The distribution whose version is shown (default: the first requirement, or the name)."""

    retries: ClassVar[bool] = True
    always_streams: ClassVar[bool] = False
    """Whether its plain calls are streams on the wire, too."""

    without: ClassVar[frozenset[str]] = frozenset()
    """Ways that the SDK itself does not come to an end in, with or without hooks."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, model: str) -> Any:
        """Make a plain call."""
        raise NotImplementedError

    def stream(self, model: str) -> Iterator[Any]:
        """Make a streamed call."""
        raise NotImplementedError

    async def acall(self, model: str) -> Any:
        """Make a plain call on an event loop."""
        raise NotImplementedError

    def astream(self, model: str) -> AsyncIterator[Any]:
        """Make a streamed call on an event loop."""
        raise NotImplementedError

    def raw(self, model: str) -> Any:
        """Make a plain call, and read the raw response."""
        raise NotImplementedError


def sdk(name: str) -> Any:
    """Return a module, which ships types that would take long to check."""
    return importlib.import_module(name)


async def each(stream: Any) -> AsyncIterator[Any]:
    """Yield from what a coroutine or an asynchronous iterator gives."""
    async for one in await stream if asyncio.iscoroutine(stream) else stream:
        yield one


def plain(made: Sdk, model: str) -> None:
    made.call(model)


def stream(made: Sdk, model: str) -> None:
    assert list(made.stream(model))


def in_async(made: Sdk, model: str) -> None:
    _run(_limited(made.acall(model)))


def async_stream(made: Sdk, model: str) -> None:
    async def drain() -> None:
        assert [one async for one in made.astream(model)]

    _run(_limited(drain()))


def left(made: Sdk, model: str) -> None:
    """Leave a stream that never ends after its first items, as a reader of a generator does."""
    iterator = iter(made.stream(f"endless-{model}"))
    next(iterator)
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def cancelled(made: Sdk, model: str) -> None:
    """Cancel a task that waits for the rest of a stream."""

    async def consume(first: asyncio.Event) -> None:
        async for _ in made.astream(f"endless-{model}"):
            first.set()

    async def run() -> None:
        first = asyncio.Event()
        task = asyncio.create_task(consume(first))
        waiting = asyncio.create_task(first.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_SECONDS)
        waiting.cancel()
        if task.done():
            await task  # raises what went wrong
        assert first.is_set()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        others = asyncio.all_tasks() - {asyncio.current_task()}  # of frameworks, which end a moment later
        if others:
            await asyncio.wait(others, timeout=WAIT_SECONDS)

    _run(run())


def failed(made: Sdk, model: str) -> None:
    """Get status 400, which no SDK tries again."""
    try:
        made.call(f"fail-400-{model}")
    except Exception:  # noqa: BLE001 - each SDK has its own
        return
    raise AssertionError("the call was to fail")


def retried(made: Sdk, model: str) -> None:
    """Get status 503, and an answer at the second attempt."""
    made.call(f"flaky-{model}")


def raw(made: Sdk, model: str) -> None:
    made.raw(model)


async def _limited(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, WAIT_SECONDS)


def _run(awaitable: Coroutine[Any, Any, object]) -> None:
    _runner.run(awaitable, context=copy_context())  # else that of the first call


Way = Callable[[Sdk, str], None]

WAYS: dict[str, tuple[Way, str]] = {
    "plain": (plain, "call"),
    "stream": (stream, "stream"),
    "async": (in_async, "acall"),
    "async stream": (async_stream, "astream"),
    "left": (left, "stream"),
    "cancelled": (cancelled, "astream"),
    "failed": (failed, "call"),
    "retried": (retried, "call"),
    "raw": (raw, "raw"),
}
"""Each way, and the method that an SDK has to have for it."""


def distribution(entry: type[Sdk]) -> str:
    """Return the name of the entry's distribution.

    >>> distribution(Sdk)
    ''
    """
    named = entry.distribution or entry.requirement or entry.name
    return named.partition(" ")[0].partition("[")[0]


def has(entry: type[Sdk], way: str) -> bool:
    """Return whether the SDK has a cell of this way."""
    method = WAYS[way][1]
    if way in entry.without or (way == "retried" and not entry.retries):
        return False
    return getattr(entry, method) is not getattr(Sdk, method)
