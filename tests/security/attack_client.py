"""What the client records: keys, tokens, cookies and passwords, wherever a request can carry them.

Every attempt has a canary of its own in one place of a request, and something that goes wrong (a newline in
the header, a refused connection, a redirect, a time-out), through every library and SDK. Then all bytes
that came to the daemon's socket, and all that was logged, are searched for the canary: as it is, cut to
``WINDOW`` characters, escaped, percent-encoded, in Base64 and in hexadecimal.
"""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import httpx2
import requests
import urllib3

import llmtrace
from llmtrace.instrumentation.exchange import Exchange
from llmtrace.instrumentation.recognise import Call
from llmtrace.legacy import SocketProviderTraceBackend
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.providers import Providers
from tests.helpers.sdks import sdk
from tests.security.attack import Attack

WINDOW = 9
CALL_SECONDS = 0.3
PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
Request = Callable[[str, dict[str, str], dict[str, Any]], Any]


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
        self.client = llmtrace.TraceClient(self.daemon.path)
        ends.callback(self.client.close, 10)
        unused = ends.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        self.refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
        self._logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self._logged.append(logging.Formatter().format(record))  # type: ignore[method-assign]
        logging.getLogger("llmtrace").addHandler(handler)
        ends.callback(logging.getLogger("llmtrace").removeHandler, handler)
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


def made(result: Any) -> None:
    if asyncio.iscoroutine(result):
        asyncio.run(result)


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


def exceptions(scene: Scene) -> None:
    """Exceptions of any library to come, that quote what they were given in any form."""
    places: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
        **{name: lambda key, of=header: ("", dict([of(key)])) for name, header in HEADERS.items()},  # type: ignore[misc]
        **{name: lambda key, of=url: (of("http://h", key), {}) for name, url in URLS.items()},  # type: ignore[misc]
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
    yield "in Base64", lambda key, whole: f"refused: {b64encode(key.encode()).decode()}"
    yield (
        "in Base64 behind a user",
        lambda key, whole: f"no: {b64encode(b'somebody:' + key.encode()).decode()}",
    )
    yield "in hexadecimal", lambda key, whole: f"refused: {key.encode().hex()}"
    yield "cut", lambda key, whole: f"refused: {key[:20]}… and …{key[-16:]}"
    yield "in the middle of a word", lambda key, whole: f"refused: xx{key}yy"
    yield "in a long text", lambda key, whole: "x " * 1990 + key + " y" * 4000


def keys_of_sdks(scene: Scene) -> None:
    """Keys as people paste them, through the SDKs."""
    for name, call in SDKS.items():
        for how, spoil in (("well", "{}"), ("newline", "{}\n"), ("cyrillic", "{}ключ")):
            for model in ("gpt-4o", "fail-401"):
                canary = scene.canary()
                with scene.attempt(f"{name}: {how}, {model}", canary, records=how == "well"):
                    made(call(scene.providers.url, spoil.format(canary.text), model))


def _openai(url: str, key: str, model: str) -> None:
    with sdk("openai").OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)


async def _openai_query(url: str, key: str, model: str) -> None:
    options = {"default_query": {"key": key}, "default_headers": {"x-portkey-api-key": key}}
    async with sdk("openai").AsyncOpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0, **options
    ) as client:
        await client.chat.completions.create(model=model, messages=MESSAGES)


def _azure(url: str, key: str, model: str) -> None:
    made_of = {"azure_endpoint": url, "api_key": key, "api_version": "2024-10-21", "max_retries": 0}
    with sdk("openai").AzureOpenAI(**made_of) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)


def _anthropic(url: str, key: str, model: str) -> None:
    with sdk("anthropic").Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        client.messages.create(model=model, max_tokens=9, messages=MESSAGES)


def _google(url: str, key: str, model: str) -> None:
    with sdk("google.genai").Client(api_key=key, http_options={"base_url": url}) as client:
        client.models.generate_content(model=model, contents="hi")


def _mistral(url: str, key: str, model: str) -> None:
    with sdk("mistralai.client").Mistral(server_url=url, api_key=key) as client:
        client.chat.complete(model=model, messages=MESSAGES)


def _groq(url: str, key: str, model: str) -> None:
    with sdk("groq").Groq(base_url=url, api_key=key, max_retries=0) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)


def _cohere(url: str, key: str, model: str) -> None:
    client = sdk("cohere").ClientV2(base_url=url, api_key=key)
    client.chat(model=model, messages=MESSAGES, request_options={"max_retries": 0})


def _bedrock(url: str, key: str, model: str) -> None:
    config = sdk("botocore.config").Config(retries={"max_attempts": 1})
    keys = {"aws_access_key_id": key, "aws_secret_access_key": key, "aws_session_token": key}
    client = sdk("boto3").client(
        "bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=config, **keys
    )
    client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}])


def _litellm(url: str, key: str, model: str) -> None:
    options = {"api_base": f"{url}/v1", "api_key": key, "max_retries": 0, "extra_headers": {"x-team": key}}
    sdk("litellm").completion(model=f"hosted_vllm/{model}", messages=MESSAGES, **options)


SDKS: dict[str, Callable[[str, str, str], Any]] = {
    "openai": _openai,
    "openai, query and headers": _openai_query,
    "azure": _azure,
    "anthropic": _anthropic,
    "google": _google,
    "mistral": _mistral,
    "groq": _groq,
    "cohere": _cohere,
    "bedrock": _bedrock,
    "litellm": _litellm,
}


def litellms_callback(scene: Scene) -> None:
    """The same without hooks: what LiteLLM hands to a callback."""
    from llmtrace.litellm import LlmtraceLogger

    logger = LlmtraceLogger(scene.client)
    sdk("litellm").callbacks = [logger]
    bedrock = {"model": "bedrock/anthropic.claude-3-haiku-20240307-v1:0", "aws_region_name": "us-east-1"}
    calls: dict[str, Callable[[str], dict[str, Any]]] = {
        "key": lambda key: {"model": "hosted_vllm/m", "api_key": key},
        "key, newline": lambda key: {"model": "hosted_vllm/m", "api_key": f"{key}\n"},
        "headers": lambda key: {"model": "hosted_vllm/m", "api_key": "k", "extra_headers": {"x-k": f"{key}\n"}},
        "address": lambda key: {
            "model": "hosted_vllm/fail-500",
            "api_key": "k",
            "api_base": scene.providers.url.replace("://", f"://u:{key}@"),
        },
        "anthropic": lambda key: {"model": "anthropic/claude-3-haiku-20240307", "api_key": f"{key}\n"},
        "azure": lambda key: {"model": "azure/gpt", "api_key": f"{key}\n", "api_version": "2024-10-21"},
        "gemini": lambda key: {"model": "gemini/gemini-2.0-flash", "api_key": f"{key}\n"},
        "token of azure": lambda key: {
            "model": "azure/gpt", "azure_ad_token": f"{key}\n", "api_version": "2024-10-21",
        },
        "bedrock, token": lambda key: {
            **bedrock, "aws_access_key_id": "k", "aws_secret_access_key": "s", "aws_session_token": f"{key}\n",
        },
        "bedrock, secret": lambda key: {**bedrock, "aws_access_key_id": key, "aws_secret_access_key": key},
        "vertex": lambda key: {
            "model": "vertex_ai/gemini-2.0-flash",
            "vertex_credentials": json.dumps({"type": "service_account", "private_key": key}),
        },
    }  # fmt: skip
    for what, options in calls.items():
        canary = scene.canary()
        before = scene.client.stats().records
        with scene.attempt(f"LiteLLM's callback: {what}", canary):
            given = {"api_base": f"{scene.providers.url}/v1", **options(canary.text)}
            with suppress(Exception):
                sdk("litellm").completion(messages=MESSAGES, max_retries=0, num_retries=0, **given)
            _until_recorded(scene.client, before + 1)
    sdk("litellm").callbacks = []


def _until_recorded(client: llmtrace.TraceClient, records: int) -> None:
    from tests.helpers.waiting import until

    until(lambda: client.stats().records >= records, limit=10, what="LiteLLM's callback")


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
        for given in (lambda name, key: {name: key}, lambda name, key: [(name, key)]):
            canary = scene.canary()
            with scene.attempt(f"record: response_headers, {name}", canary):
                scene.client.record(model="m", response_headers=given(name, canary.text))
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
    llmtrace.instrument(hosts=["127.0.0.1", "h"], client=scene.client)
    try:
        for part in (headers_of_libraries, urls_of_libraries, arguments_of_aiohttp, exceptions, keys_of_sdks):
            part(scene)
    finally:
        llmtrace.uninstrument()
    litellms_callback(scene)
    by_hand(scene)
