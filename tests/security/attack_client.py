"""What the client records: keys, tokens, cookies and passwords, wherever a request can carry them.

Every attempt has a canary of its own in one place of a request, and something that goes wrong (a newline in
the header, a refused connection, a time-out), through every library and SDK. Then all bytes
that came to the daemon's socket, and all that was logged, are searched for the canary: as it is, cut to
``WINDOW`` characters, escaped, percent-encoded, in Base64 and in hexadecimal.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import httpx2
import requests
import urllib3

import llmledger
from llmledger.instrumentation.exchange import Exchange
from llmledger.instrumentation.recognize import Call
from llmledger.legacy import SocketProviderTraceBackend
from tests.security.attack import Attack
from tests.security.client_scene import Scene, made
from tests.security.client_sdks import keys_of_sdks, litellms_callback

CALL_SECONDS = 0.3
PATH = "/v1/chat/completions"
Request = Callable[[str, dict[str, str], dict[str, Any]], Any]


def by_httpx(library: Any) -> Request:
    def call(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        with library.Client(timeout=CALL_SECONDS, follow_redirects=True) as session:
            session.post(url, headers=headers, json=body).raise_for_status()

    return call


def by_async_httpx(library: Any) -> Request:
    async def call(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        async with library.AsyncClient(timeout=CALL_SECONDS) as session:
            (await session.post(url, headers=headers, json=body)).raise_for_status()

    return call


async def by_aiohttp(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.post(url, headers=headers, json=body) as answer,
    ):
        await answer.read()


def by_requests(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
    requests.post(url, headers=headers, json=body, timeout=CALL_SECONDS).raise_for_status()


def by_urllib3(url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
    with urllib3.PoolManager(retries=False, timeout=CALL_SECONDS) as pool:
        pool.request("POST", url, headers=headers, json=body)


WAYS: dict[str, Request] = {
    "httpx": by_httpx(httpx),
    "httpx async": by_async_httpx(httpx),
    "httpx2": by_httpx(httpx2),
    "httpx2 async": by_async_httpx(httpx2),
    "aiohttp": by_aiohttp,
    "requests": by_requests,
    "urllib3": by_urllib3,
}

HEADERS: dict[str, Callable[[str], tuple[str, str]]] = {
    "authorization": lambda key: ("Authorization", f"Bearer {key}"),
    "basic": lambda key: ("Authorization", f"Basic {b64encode(f'user:{key}'.encode()).decode()}"),
    "x-api-key": lambda key: ("x-api-key", key),
    "api-key": lambda key: ("api-key", key),
    "x-goog-api-key": lambda key: ("x-goog-api-key", key),
    "x-amz-security-token": lambda key: ("X-Amz-Security-Token", key),
    "sigv4": lambda key: ("Authorization", f"AWS4-HMAC-SHA256 Credential=AKIA/x, Signature={key}"),
    "cookie": lambda key: ("Cookie", f"a=b; session={key}; c=d"),
    "proxy-authorization": lambda key: ("Proxy-Authorization", f"Basic {key}"),
    "another": lambda key: ("X-Custom-Thing", key),
    "user-agent": lambda key: ("User-Agent", f"app/1 ({key})"),
}
SPOILT = {
    "well": "{}",
    "newline": "{}\n",
    "injection": "{}\r\nX-More: 1",
    "first": "\n{}",
    "nul": "{}\0",
    "blank": " {}\t\x0b",
    "cyrillic": "{}ключ",
    "surrogate": "{}\udc80",
}
URLS: dict[str, Callable[[str, str], str]] = {
    "query": lambda base, key: f"{base}{PATH}?key={key}&alt=sse",
    "bare query": lambda base, key: f"{base}{PATH}?{key}",
    "user and password": lambda base, key: base.replace("://", f"://user:{key}@") + PATH,
    "user": lambda base, key: base.replace("://", f"://{key}@") + PATH,
    "fragment": lambda base, key: f"{base}{PATH}?a=b#{key}",
    "parameter": lambda base, key: f"{base}/v1;key={key}/chat/completions",
    "path": lambda base, key: f"{base}/t/{key}{PATH}",
}
FATES = ("gpt-4o", "fail-401", "fail-500", "cut", "hang", "refused")


def headers_of_libraries(scene: Scene) -> None:
    """Every header, spoilt in every way, through every library."""
    for way, call in WAYS.items():
        for place, header in HEADERS.items():
            for how, spoil in SPOILT.items():
                canary = scene.canary()
                name, value = header(canary.text)
                # Some libraries refuse such a header before there is an exchange.
                with scene.attempt(f"{way}: {place}, {how}", canary, records=how == "well"):
                    made(call(scene.providers.url + PATH, {name: spoil.format(value)}, {"model": "m"}))


def urls_of_libraries(scene: Scene) -> None:
    """Every place of a URL, with every way to fail, through every library."""
    for way, call in WAYS.items():
        for place, url in URLS.items():
            for fate in FATES:
                canary = scene.canary()
                base = scene.refused if fate == "refused" else scene.providers.url
                body = {"model": fate, "stream": fate in ("cut", "hang")}
                with scene.attempt(f"{way}: {place}, {fate}", canary):
                    made(call(url(base, canary.text), {}, body))


def arguments_of_aiohttp(scene: Scene) -> None:
    """What aiohttp is given beside headers and URL."""
    given: dict[str, Callable[[str], dict[str, Any]]] = {
        "params": lambda key: {"params": {"key": key}},
        "params of no type": lambda key: {"params": {"key": {key}}},
        "auth": lambda key: {"auth": aiohttp.BasicAuth("user", key)},
        "cookies": lambda key: {"cookies": {"session": key}},
        "proxy": lambda key: {"proxy": scene.refused.replace("://", f"://u:{key}@")},
        "proxy that is none": lambda key: {"proxy": f"ftp://u:{key}@[::"},
    }

    async def call(options: dict[str, Any], fate: str) -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.post(scene.providers.url + PATH, json={"model": fate}, **options)

    for place, options in given.items():
        for fate in FATES[:4]:
            canary = scene.canary()
            with scene.attempt(f"aiohttp: {place}, {fate}", canary):
                asyncio.run(call(options(canary.text), fate))


def _in_header(header: Callable[[str], tuple[str, str]], key: str) -> tuple[str, dict[str, str]]:
    return "", dict([header(key)])


def _in_url(url: Callable[[str, str], str], key: str) -> tuple[str, dict[str, str]]:
    return url("http://h", key), {}


def exceptions(scene: Scene) -> None:
    """Exceptions of any library to come, that quote what they were given in any form."""
    places: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
        **{name: partial(_in_header, header) for name, header in HEADERS.items()},
        **{name: partial(_in_url, url) for name, url in URLS.items()},
    }
    for place, carry in places.items():
        for tail in ("", "\n", "é\u2028/+=&", "ключ 鍵"):
            for how, said in _quotations():
                canary = scene.canary(tail)
                url, headers = carry(canary.text)
                with scene.attempt(f"exception: {place}, {how}, {tail!r}", canary):
                    exchange = Exchange(
                        Call("openai", "", False),
                        url=url or "http://h" + PATH,
                        headers=headers,
                        client=scene.client,
                    )
                    exchange.failed(ValueError(said(canary.text, next(iter(headers.values()), url))))


def classes(scene: Scene) -> None:
    """Exceptions of classes that were made at run time, and of names that hold what was sent."""
    for place, header in HEADERS.items():
        for how in ("{}", "Error{}", "{}Error", "no {}", "sk-proj-{}", "a.b:{}", "{}\n", "x" * 200 + "{}"):
            for base in (ValueError, OSError):
                canary = scene.canary()
                name, value = header(canary.text)
                with scene.attempt(f"class: {place}, {how[-9:]!r}", canary):
                    exchange = Exchange(
                        Call("openai", "", False),
                        url="http://h" + PATH,
                        headers={name: value},
                        client=scene.client,
                    )
                    kept = how.format(canary.text.replace("-", "_"))
                    exchange.failed(type(kept, (type(how.format(canary.text), (base,), {}),), {})("no"))


def _quotations() -> Iterator[tuple[str, Callable[[str, str], str]]]:
    """Yield ways to quote a key, or the header or URL that it stands in."""
    yield "as it is", lambda key, whole: f"refused: {whole} (400)"
    yield "as bytes", lambda key, whole: f"refused: {whole.encode()!r}"
    yield "in a list", lambda key, whole: str({"headers": [(b"authorization", whole.encode())], "k": [whole]})
    yield "escaped", lambda key, whole: f"refused: {whole!a}"
    yield "as JSON", lambda key, whole: json.dumps({"message": {"header": whole}})
    yield "in small letters", lambda key, whole: f"refused: {whole.lower()}"
    yield "percent-encoded", lambda key, whole: f"GET /x?next={quote(key, safe='')} failed"
    yield (
        "twice percent-encoded",
        lambda key, whole: f"GET /x?next={quote(quote(key, safe=''), safe='')} failed",
    )
    yield "each character as \\x", lambda key, whole: "no " + "".join(f"\\x{one:02x}" for one in key.encode())
    yield "each character as \\u", lambda key, whole: "no " + "".join(f"\\u{one:04X}" for one in key.encode())
    yield "each character percent-encoded", lambda key, whole: "".join(f"%{one:02X}" for one in key.encode())
    yield "each character as an entity", lambda key, whole: "".join(f"&#{one};" for one in key.encode())
    yield (
        "each character as an entity in hexadecimal",
        lambda key, whole: "".join(f"&#x{one:x};" for one in key.encode()),
    )
    yield "as HTML", lambda key, whole: f"<pre>{html.escape(whole)}</pre>"
    yield "in Base64", lambda key, whole: f"refused: {b64encode(key.encode()).decode()}"
    yield (
        "in Base64 behind a user",
        lambda key, whole: f"no: {b64encode(b'somebody:' + key.encode()).decode()}",
    )
    yield "in hexadecimal", lambda key, whole: f"refused: {key.encode().hex()}"
    yield "cut", lambda key, whole: f"refused: {key[:20]}… and …{key[-16:]}"
    yield "in the middle of a word", lambda key, whole: f"refused: xx{key}yy"
    yield "in a long text", lambda key, whole: "x " * 1990 + key + " y" * 4000


def by_hand(scene: Scene) -> None:
    """What an application hands over itself: URL, headers, settings."""
    for place, url in URLS.items():
        if place in ("path", "parameter"):
            continue  # a path is what it is; docs say so
        canary = scene.canary()
        with scene.attempt(f"record: url, {place}", canary):
            scene.client.record(model="m", url=url("https://api.openai.com", canary.text))
    for name in (
        "set-cookie",
        "authorization",
        "x-api-key",
        "Proxy-Authenticate",
        "location",
        "x-amz-security-token",
    ):
        for is_pairs in (False, True):
            canary = scene.canary()
            given: Any = [(name, canary.text)] if is_pairs else {name: canary.text}
            with scene.attempt(f"record: response_headers, {name}", canary):
                scene.client.record(model="m", response_headers=given)
    for what in (
        "api_key",
        "apiKey",
        "aws_secret_access_key",
        "api_token",
        "headers",
        "model_endpoint",
        "credentials",
    ):
        canary = scene.canary()
        value: Any = {"Authorization": canary.text} if what in ("headers", "credentials") else canary.text
        value = f"https://u:{value}@host/v1?key={value}" if what == "model_endpoint" else value
        with scene.attempt(f"drop-in: llm_config, {what}", canary):
            backend = SocketProviderTraceBackend(str(scene.daemon.path))
            backend._client = scene.client
            trace = SimpleNamespace(
                request_json={}, response_json={}, llm_config={"model": "m", "x": [{what: value}]}
            )
            backend.create_sync(None, trace)


def run(attack: Attack) -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    scene = Scene(attack)
    llmledger.instrument(hosts=["127.0.0.1", "h"], client=scene.client)
    try:
        for part in (
            headers_of_libraries,
            urls_of_libraries,
            arguments_of_aiohttp,
            exceptions,
            classes,
            keys_of_sdks,
        ):
            part(scene)
    finally:
        llmledger.uninstrument()
    litellms_callback(scene)
    by_hand(scene)
