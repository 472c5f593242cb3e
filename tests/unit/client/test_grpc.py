"""The hook of gRPC, on a library with its classes and without its network."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from llmledger import context
from llmledger.instrumentation.grpc import hook
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Hosts
from llmledger.instrumentation.safety import faults
from tests.helpers.captured import Captured

ANSWER = {"model": "grok-4", "outputs": [{"message": {"content": "a"}, "finish_reason": "REASON_STOP"}]}
CHUNK = {"model": "grok-4", "outputs": [{"delta": {"content": "a"}}]}
LAST = {"model": "grok-4", "outputs": [{"delta": {}, "finish_reason": "REASON_STOP"}]}


class Message(SimpleNamespace):
    """A message of protobuf around its JSON."""

    DESCRIPTOR = None


class RpcError(Exception):
    """gRPC's error, which has a code."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.code = lambda: SimpleNamespace(name=name)


class Future:
    """gRPC's future, done as soon as somebody listens."""

    def add_done_callback(self, callback: Any) -> None:
        callback(self)

    def cancelled(self) -> bool:
        return False

    def exception(self) -> None:
        return None

    def result(self) -> Message:
        return Message(fields=ANSWER)


class UnaryUnary:
    _method = b"/xai_api.Chat/GetCompletion"
    _target = b"api.x.ai:443"

    def __call__(self, request: Any, **_: Any) -> Message:
        if request.fail:
            raise RpcError(request.fail)
        return Message(fields=ANSWER)

    def with_call(self, _: Any, **__: Any) -> tuple[Message, str]:
        return Message(fields=ANSWER), "call"

    def future(self, _: Any, **__: Any) -> Future:
        return Future()


class Call:
    """A stream of messages; blocking and asynchronous."""

    def __init__(self, fail: str = "") -> None:
        self._messages = iter([Message(fields=CHUNK), Message(fields=LAST)])
        self._fail = fail

    def __next__(self) -> Message:
        if self._fail:
            raise RpcError(self._fail)
        return next(self._messages)

    async def __aiter__(self) -> AsyncIterator[Message]:
        for one in self._messages:
            yield one

    async def read(self) -> Any:
        return next(self._messages, "EOF")

    def __await__(self) -> Generator[Any, Any, Message]:
        yield from asyncio.sleep(0).__await__()
        return Message(fields=ANSWER)

    def cancel(self) -> bool:
        return True

    def code(self) -> str:
        return "a code"


class UnaryStream:
    _method = b"/xai_api.Chat/GetCompletionChunk"
    _target = b"api.x.ai:443"

    def __call__(self, request: Any, **_: Any) -> Call:
        return Call(request.fail)


class Channel:
    def __init__(self, target: str) -> None:
        self.target = target


class AioUnary:
    _method = b"/xai_api.Chat/GetCompletion"

    def __init__(self, channel: Channel) -> None:
        self._python_channel = channel

    def __call__(self, _: Any, **__: Any) -> Call:
        return Call()


class AioStream(AioUnary):
    _method = b"/xai_api.Chat/GetCompletionChunk"

    def __call__(self, _: Any, **__: Any) -> Call:
        return Call()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    def to_dict(message: Any, **_: Any) -> Any:
        return json.loads(json.dumps(message.fields))

    library = ModuleType("fakegrpc")
    sync = {"_UnaryUnaryMultiCallable": UnaryUnary, "_UnaryStreamMultiCallable": UnaryStream}
    aio = {"Channel": Channel, "UnaryUnaryMultiCallable": AioUnary, "UnaryStreamMultiCallable": AioStream}
    modules: dict[str, dict[str, Any]] = {
        "fakegrpc": {},
        "fakegrpc._channel": sync,
        "fakegrpc.aio": {},
        "fakegrpc.aio._channel": aio,
        "google.protobuf": {},
        "google.protobuf.json_format": {"MessageToDict": to_dict},
    }
    for name, found in modules.items():
        module = ModuleType(name)
        vars(module).update(found)
        monkeypatch.setitem(sys.modules, name, module)
    made, patches = Captured(), Patches()
    assert hook(library, Hook(hosts=Hosts(), client=made, begin=False, patches=patches))
    with context(org_id="acme"):
        yield made
    patches.restore()
    assert not faults


def request(fail: str = "") -> Message:
    return Message(fields={"model": "grok-4"}, fail=fail)


@pytest.mark.parametrize("way", ["call", "with_call", "future"])
def test_a_call_is_a_record(client: Captured, way: str) -> None:
    made = UnaryUnary()
    ways: dict[str, Any] = {"call": made, "with_call": made.with_call, "future": made.future}
    ways[way](request(), metadata=(("authorization", "Bearer k"),))
    record = client.record_of()
    assert (record["provider"], record["status_code"], record["org_id"]) == ("xai", 200, "acme")
    assert record["url"] == "https://api.x.ai/xai_api.Chat/GetCompletion"
    assert json.loads(record["response"])["choices"][0]["finish_reason"] == "stop"
    assert json.loads(record["request"]) == {"model": "grok-4"}


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [("RESOURCE_EXHAUSTED", 429, "error"), ("INTERNAL", 500, "error"), ("CANCELLED", None, "cancelled")],
)
def test_a_failure_has_the_status_that_http_would_have(
    client: Captured, code: str, status: int | None, outcome: str
) -> None:
    with pytest.raises(RpcError):
        UnaryUnary()(request(code))
    with pytest.raises(RpcError):
        next(UnaryStream()(request(code)))
    for record in client.records():
        assert (record.get("status_code"), record["outcome"]) == (status, outcome)
    assert len(client.records()) == 2


def test_a_stream_is_passed_on_and_recorded(client: Captured) -> None:
    call: Any = UnaryStream()(request())
    assert [one.fields for one in call] == [CHUNK, LAST]
    assert call.code() == "a code"
    assert isinstance(call, Call)
    record = client.record_of()
    assert record["response_stream"].count(b"data: ") == 2
    assert "outcome" not in record


def test_a_stream_that_is_cancelled_is_cancelled(client: Captured) -> None:
    call: Any = UnaryStream()(request())
    next(call)
    assert call.cancel()
    assert client.record_of()["outcome"] == "cancelled"


def test_asynchronous_calls_are_records_with_their_channels_host(client: Captured) -> None:
    channel = Channel("gateway.internal:50051")

    async def calls() -> None:
        assert (await AioUnary(channel)(request())).fields == ANSWER
        assert [one.fields async for one in AioStream(channel)(request())] == [CHUNK, LAST]
        call = AioStream(channel)(request())
        while await call.read() != "EOF":
            pass

    asyncio.run(calls())
    assert [one["url"].partition("/xai")[0] for one in client.records()] == [
        "https://gateway.internal:50051"
    ] * 3
    assert all("outcome" not in one for one in client.records())


def test_another_method_is_not_touched(client: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnaryStream, "_method", b"/grpc.health.v1.Health/Watch")
    assert type(UnaryStream()(request())) is Call
    assert client.lines == []
