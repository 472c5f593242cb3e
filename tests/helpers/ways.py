"""One call of a model through every HTTP library, by small functions of one shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import requests
import urllib3

Call = Callable[[str, dict[str, Any]], Awaitable[tuple[int, bytes]]]


def _body(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


JSON = {"content-type": "application/json"}


async def by_httpx(url: str, request: dict[str, Any], library: Any = httpx) -> tuple[int, bytes]:
    with library.Client() as session:
        answer = session.post(url, json=request)
    return answer.status_code, answer.content


async def by_httpx2(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    return await by_httpx(url, request, httpx2)


async def by_async_httpx(url: str, request: dict[str, Any], library: Any = httpx) -> tuple[int, bytes]:
    async with library.AsyncClient() as session:
        answer = await session.post(url, json=request)
    return answer.status_code, answer.content


async def by_async_httpx2(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    return await by_async_httpx(url, request, httpx2)


async def by_httpx_stream(url: str, request: dict[str, Any], library: Any = httpx) -> tuple[int, bytes]:
    async with library.AsyncClient() as session, session.stream("POST", url, json=request) as answer:
        return answer.status_code, b"".join([piece async for piece in answer.aiter_bytes()])


async def by_httpx2_stream(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    return await by_httpx_stream(url, request, httpx2)


async def by_aiohttp(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.post(url, json=request) as answer:
        return answer.status, await answer.read()


async def by_aiohttp_lines(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=_body(request), headers=JSON) as answer,
    ):
        return answer.status, b"".join([line async for line in answer.content])


async def by_requests(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    answer = await asyncio.to_thread(requests.post, url, json=request)
    return answer.status_code, answer.content


async def by_requests_stream(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    def call() -> tuple[int, bytes]:
        with requests.post(url, json=request, stream=True) as answer:
            return answer.status_code, b"".join(answer.iter_content(7))

    return await asyncio.to_thread(call)


async def by_urllib3(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", url, json=request, retries=False)
        return answer.status, answer.data


async def by_urllib3_pieces(url: str, request: dict[str, Any]) -> tuple[int, bytes]:
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "POST", url, body=_body(request), headers=JSON, retries=False, preload_content=False
        )
        pieces = []
        while piece := answer.read(11):
            pieces.append(piece)
        return answer.status, b"".join(pieces)
