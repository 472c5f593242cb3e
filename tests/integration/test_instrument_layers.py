"""Each HTTP library, hooked: what it does is unchanged, and each exchange is one record.

The same calls are made through every library by a small adapter, so that one test says it for all.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import urllib3

import llmledger
from llmledger.instrumentation.safety import faults
from llmledger.instrumentation.switch import LIBRARIES
from tests.helpers.captured import Captured
from tests.helpers.providers import Providers
from tests.helpers.ways import (
    JSON,
    Call,
    by_aiohttp,
    by_aiohttp_lines,
    by_async_httpx,
    by_async_httpx2,
    by_httpx,
    by_httpx2,
    by_httpx2_stream,
    by_httpx_stream,
    by_requests,
    by_requests_stream,
    by_urllib3,
    by_urllib3_pieces,
)

PATH = "/v1/chat/completions"
HTTPX = [httpx, httpx2]
ids = [module.__name__ for module in HTTPX]


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


@pytest.fixture
def client(providers: Providers) -> Iterator[Captured]:
    made = Captured()
    hooked = llmledger.instrument(hosts={providers.host: "stand-in"}, client=made)
    assert hooked[: len(LIBRARIES)] == list(LIBRARIES)  # behind them, what other tests have imported
    yield made
    llmledger.uninstrument()
    assert not faults


WAYS: list[Call] = [
    by_httpx,
    by_httpx2,
    by_async_httpx,
    by_async_httpx2,
    by_httpx_stream,
    by_httpx2_stream,
    by_aiohttp,
    by_aiohttp_lines,
    by_requests,
    by_requests_stream,
    by_urllib3,
    by_urllib3_pieces,
]
every_way = pytest.mark.parametrize("call", WAYS)


@every_way
async def test_a_call_is_recorded_as_it_passed(call: Call, client: Captured, providers: Providers) -> None:
    status, body = await call(providers.url + PATH, {"model": "m"})
    record = client.record_of()
    assert status == record["status_code"] == 200
    assert record["response"] == body
    assert json.loads(record["request"]) == {"model": "m"}
    assert record["url"] == providers.url + PATH
    assert record["provider"] == "stand-in"
    assert record["response_headers"]["x-request-id"] == "req-1"
    assert "outcome" not in record
    assert client.begins() == []


@every_way
async def test_a_stream_is_recorded_as_it_passed(call: Call, client: Captured, providers: Providers) -> None:
    _, body = await call(providers.url + PATH, {"model": "m", "stream": True})
    record = client.record_of()
    assert record["response_stream"] == body
    assert body.endswith(b"data: [DONE]\n\n")
    assert 0 < record["time_to_first_token_ms"] <= record["latency_ms"]
    assert "outcome" not in record
    (announced,) = client.begins()
    assert announced["provider_trace_id"] == record["provider_trace_id"]


@every_way
async def test_an_error_page_is_recorded_with_its_status(
    call: Call, client: Captured, providers: Providers
) -> None:
    status, body = await call(providers.url + PATH, {"model": "fail-429", "stream": True})
    record = client.record_of()
    assert (status, record["status_code"], record["response"]) == (429, 429, body)


@every_way
async def test_a_connection_cut_in_the_middle_is_an_error(
    call: Call, client: Captured, providers: Providers
) -> None:
    with pytest.raises(Exception) as caught:
        await call(providers.url + PATH, {"model": "cut", "stream": True})
    record = client.record_of()
    assert record["outcome"] == "error"
    assert record.get("status_code") == (None if call is by_urllib3 else 200), (
        "urllib3 reads before it answers"
    )
    assert record["error_type"].endswith(("Error", "IncompleteRead"))
    assert caught.value is not None


@every_way
async def test_a_refused_connection_is_an_error(call: Call, client: Captured) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        llmledger.instrument(hosts=[f"127.0.0.1:{unused.getsockname()[1]}"], client=client)
        with pytest.raises(Exception) as caught:
            await call(f"http://127.0.0.1:{unused.getsockname()[1]}{PATH}", {"model": "m"})
    record = client.record_of()
    assert record["outcome"] == "error"
    assert json.loads(record["request"]) == {"model": "m"}
    assert "status_code" not in record
    assert caught.value is not None


@every_way
async def test_other_traffic_is_untouched(call: Call, client: Captured, providers: Providers) -> None:
    llmledger.instrument(client=client)
    assert (await call(providers.url + PATH, {"model": "m"}))[0] == 200
    assert client.lines == []


@every_way
async def test_nothing_is_recorded_after_uninstrument(
    call: Call, client: Captured, providers: Providers
) -> None:
    llmledger.uninstrument()
    assert (await call(providers.url + PATH, {"model": "m"}))[0] == 200
    assert client.lines == []


@pytest.mark.parametrize(
    "call", [by_async_httpx, by_async_httpx2, by_httpx_stream, by_httpx2_stream, by_aiohttp]
)
async def test_a_cancelled_task_is_a_cancelled_call(
    call: Call, client: Captured, providers: Providers
) -> None:
    task = asyncio.ensure_future(call(providers.url + PATH, {"model": "hang", "stream": True}))
    async with asyncio.timeout(20):
        while not any(exchange._first_byte for exchange in _open_exchanges()):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.record_of()["outcome"] == "cancelled"


def _open_exchanges() -> list[Any]:
    from llmledger.instrumentation.exchange import _open

    return [exchange for reference in tuple(_open.values()) if (exchange := reference()) is not None]


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_a_stream_left_early_is_cancelled(library: Any, client: Captured, providers: Providers) -> None:
    with library.stream("POST", providers.url + PATH, json={"model": "m", "stream": True}) as answer:
        for _ in answer.iter_lines():
            break
    assert client.record_of()["outcome"] == "cancelled"


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_a_stream_forgotten_half_way_is_cancelled(
    library: Any, client: Captured, providers: Providers
) -> None:
    session = library.Client()
    answer = session.send(
        session.build_request("POST", providers.url + PATH, json={"model": "m", "stream": True}), stream=True
    )
    pieces = answer.iter_bytes()
    next(pieces)
    del pieces, answer
    session.close()
    gc.collect()
    assert client.record_of()["outcome"] == "cancelled"


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_what_is_compressed_is_recorded_decoded(library: Any, client: Captured) -> None:
    def answer(request: Any) -> Any:
        import gzip

        stream = (gzip.compress(b'{"a":1}')[start : start + 5] for start in range(0, 40, 5))
        return library.Response(200, headers={**JSON, "content-encoding": "gzip"}, content=stream)

    llmledger.instrument(hosts=["stand-in"], client=client)
    with library.Client(transport=library.MockTransport(answer)) as session:
        assert session.post("https://stand-in" + PATH, json={}).json() == {"a": 1}
        with session.stream("POST", "https://stand-in" + PATH, json={}) as response:
            raw = b"".join(response.iter_raw())
    assert raw.startswith(b"\x1f\x8b")
    assert [record["response"] for record in client.records()] == [b'{"a":1}'] * 2


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_a_transport_that_answers_from_memory_is_recorded(library: Any, client: Captured) -> None:
    llmledger.instrument(hosts=["stand-in"], client=client)
    transport = library.MockTransport(lambda _: library.Response(200, json={"a": 1}))
    with library.Client(transport=transport) as session:
        session.post("https://stand-in" + PATH, json={})
    assert json.loads(client.record_of()["response"]) == {"a": 1}


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_a_response_hides_nothing_of_the_librarys(
    library: Any, client: Captured, providers: Providers
) -> None:
    answer = library.post(providers.url + PATH, json={"model": "m"})
    assert answer.elapsed.total_seconds() > 0
    assert answer.num_bytes_downloaded == len(answer.content)
    assert answer.request.method == "POST"
    assert client.record_of()


@pytest.mark.parametrize("library", HTTPX, ids=ids)
def test_an_upload_is_described(library: Any, client: Captured, providers: Providers) -> None:
    library.post(providers.url + "/v1/audio/transcriptions", files={"file": b"RIFF"}, data={"model": "m"})
    record = client.record_of()
    assert record["request"]["model"] == "m"
    assert record["request"]["file"]["bytes"] == 4
    assert record["type"] == "transcription"


@pytest.mark.parametrize("library", HTTPX, ids=ids)
async def test_one_exchange_through_two_layers_is_one_record(
    library: Any, client: Captured, providers: Providers
) -> None:
    class OverAiohttp(library.AsyncBaseTransport):  # type: ignore[misc]  # the base is a parameter
        async def handle_async_request(self, request: Any) -> Any:
            async with aiohttp.ClientSession() as session:
                answer = await session.post(str(request.url), data=request.content, headers=JSON)
                return library.Response(answer.status, headers=answer.headers, content=await answer.read())

    async with library.AsyncClient(transport=OverAiohttp()) as session:
        await session.post(providers.url + PATH, json={"model": "layers"})
    assert providers.requests["layers"] >= 1
    assert json.loads(client.record_of()["request"]) == {"model": "layers"}


def test_the_retries_of_urllib3_are_exchanges_of_their_own(client: Captured, providers: Providers) -> None:
    retries = urllib3.Retry(2, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    with urllib3.PoolManager() as pool, pytest.raises(urllib3.exceptions.MaxRetryError):
        pool.request("POST", providers.url + PATH, json={"model": "fail-503"}, retries=retries)
    gc.collect()
    assert [record["status_code"] for record in client.records()] == [503] * 3


@pytest.mark.parametrize(
    ("header", "value", "attempt"),
    [
        ("x-stainless-retry-count", "0", 1),
        ("x-stainless-retry-count", "2", 3),
        ("amz-sdk-request", "attempt=2; max=3", 2),
    ],
)
def test_an_sdk_says_which_attempt_it_is(
    client: Captured, providers: Providers, header: str, value: str, attempt: int
) -> None:
    httpx.post(providers.url + PATH, json={"model": "m"}, headers={header: value})
    assert client.record_of()["attempt"] == attempt


async def _raised(url: str, *, on_session: bool, check: Any) -> None:
    of_session, of_call = (check, None) if on_session else (False, check)
    async with aiohttp.ClientSession(raise_for_status=of_session) as session:
        await session.post(url, json={"model": "fail-429"}, raise_for_status=of_call)


async def _own_check(response: aiohttp.ClientResponse) -> None:
    raise LookupError(await response.text())


@pytest.mark.parametrize("on_session", [False, True])
@pytest.mark.parametrize("check", [True, _own_check])
def test_a_status_that_aiohttp_raises_is_recorded_with_its_answer(
    client: Captured, providers: Providers, on_session: bool, check: Any
) -> None:
    url = f"{providers.url}{PATH}"
    with pytest.raises((aiohttp.ClientResponseError, LookupError)) as raised:
        asyncio.run(_raised(url, on_session=on_session, check=check))
    record = client.record_of()
    assert record["status_code"] == 429
    assert json.loads(record["response"])["error"]["message"] == "out of order"
    assert record["response_headers"]["x-request-id"] == "req-1"
    if check is True:
        assert isinstance(raised.value, aiohttp.ClientResponseError)
        assert raised.value.status == 429


def test_a_success_passes_aiohttps_check(client: Captured, providers: Providers) -> None:
    async def call() -> bytes:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{providers.url}{PATH}", json={"model": "m"}) as answer,
        ):
            return await answer.read()

    assert asyncio.run(call()) == client.record_of()["response"]


class _OverAiohttp(httpx.AsyncBaseTransport):
    """A transport as LiteLLM's: httpx above, aiohttp below."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, str(request.url), data=request.content) as answer,
        ):
            return httpx.Response(answer.status, content=await answer.read())


class _Counting(Captured):
    """Counts reports of calls that are not recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    def report_unrecorded(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_call_to_an_unknown_host_through_two_libraries_is_counted_once(
    providers: Providers, is_recorded: bool
) -> None:
    client = _Counting()

    async def call() -> None:
        async with httpx.AsyncClient(transport=_OverAiohttp()) as session:
            for _ in range(2):
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
                await session.post(providers.url + PATH, json=body)

    llmledger.instrument(client=client, unknown_hosts=is_recorded)
    try:
        asyncio.run(call())
    finally:
        llmledger.uninstrument()
    expected = [] if is_recorded else [f"unknown_host:{providers.host}"] * 2
    assert client.reasons == expected
    assert len(client.records()) == (2 if is_recorded else 0)
