"""The hook of lm15's transports, on classes of the same shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.lm15 import hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Hosts
from llmledger.instrumentation.safety import faults
from tests.helpers.captured import Captured

CHUNKS = [b'{"usage":', b'{"prompt_tokens":1}}']


class Response:
    """lm15's response: an iterator of chunks, and a release."""

    def __init__(self, chunks: Any, release: Any) -> None:
        self.status = 200
        self.headers = [("Content-Type", "application/json")]
        self._chunks = chunks
        self._release = release

    def read(self) -> bytes:
        found = b"".join(self._chunks)
        self._release(True)
        return found

    async def aread(self) -> bytes:
        found = b"".join([one async for one in self._chunks])
        await self._release(True)
        return found


class StdlibTransport:
    released: list[bool]

    def stream(self, request: Any) -> Response:
        self.released = []
        if request.body == b"refused":
            raise ConnectionRefusedError
        return Response(iter(CHUNKS), self.released.append)


class StdlibAsyncTransport:
    async def _do_stream(self, _: Any) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in CHUNKS:
                yield chunk

        async def release(_: bool) -> None:
            return

        return Response(chunks(), release)


@pytest.fixture
def client() -> Iterator[Captured]:
    library = ModuleType("lm15.transports")
    vars(library).update(StdlibTransport=StdlibTransport, StdlibAsyncTransport=StdlibAsyncTransport)
    made, patches = Captured(), Patches()
    assert hook(library, Hook(hosts=Hosts(), client=made, begin=False, patches=patches))
    yield made
    patches.restore()
    assert not faults


def request(body: bytes = b'{"model":"m"}', path: str = "/v1/chat/completions") -> Any:
    headers = [("Content-Type", "application/json"), ("Authorization", "Bearer k")]
    url = f"https://api.openai.com{path}"
    return SimpleNamespace(method="POST", url=url, headers=headers, body=body)


def test_a_call_is_a_record(client: Captured) -> None:
    transport = StdlibTransport()
    assert transport.stream(request()).read() == b"".join(CHUNKS)
    assert transport.released == [True]
    record = client.record_of()
    assert (record["provider"], record["status_code"]) == ("openai", 200)
    assert (record["request"], record["response"]) == (b'{"model":"m"}', b"".join(CHUNKS))


def test_an_asynchronous_call_is_a_record(client: Captured) -> None:
    async def call() -> bytes:
        return await (await StdlibAsyncTransport()._do_stream(request())).aread()

    assert asyncio.run(call()) == b"".join(CHUNKS)
    assert client.record_of()["response"] == b"".join(CHUNKS)


def test_a_response_that_is_released_early_is_cancelled(client: Captured) -> None:
    transport = StdlibTransport()
    response = transport.stream(request())
    next(response._chunks)
    response._release(False)
    assert transport.released == [False]
    assert client.record_of()["outcome"] == "cancelled"


def test_a_connection_that_is_refused_is_an_error(client: Captured) -> None:
    with pytest.raises(ConnectionRefusedError):
        StdlibTransport().stream(request(b"refused"))
    assert client.record_of()["error_type"] == "ConnectionRefusedError"


def test_another_path_is_not_observed(client: Captured) -> None:
    StdlibTransport().stream(request(path="/v1/models")).read()
    assert client.lines == []
