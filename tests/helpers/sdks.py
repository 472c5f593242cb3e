"""Calls through the providers' own SDKs, in every mode they have, against the stand-ins.

Invariant: ``CALLS[name](base_url)`` makes exactly one HTTP exchange. Nothing is imported before it is
called, and through ``importlib``, because type-checking all SDKs takes longer than all of our own code.

Run as a program (``python -m tests.helpers.sdks HOST CALLS``, the calls as JSON) it makes calls that are
recorded by the hooks, by LiteLLM's callback, by both, or by both where the hooks do not know the host. Processes
of their own, because some SDKs leave event loops and threads behind.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

import llmledger
from llmledger.instrumentation.safety import faults
from tests.helpers.waiting import until

LIMIT_SECONDS = 600.0
"""The imports of all SDKs take 14 s of CPU time, and on a busy machine minutes."""

MESSAGES = [{"role": "user", "content": "How are things?"}]
Made = Callable[[str], Any]


def sdk(name: str) -> Any:
    """Return the module, which the caller knows to be there."""
    return importlib.import_module(name)


def _drain(stream: Any) -> None:
    for _ in stream:
        pass


async def _adrain(stream: Any) -> None:
    async for _ in stream:
        pass


def openai_sync(url: str, **options: Any) -> None:
    with sdk("openai").OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **options)
        if options:
            _drain(answer)


def openai_stream(url: str) -> None:
    openai_sync(url, stream=True)


async def openai_async(url: str, **options: Any) -> None:
    async with sdk("openai").AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **options)
        if options:
            await _adrain(answer)


async def openai_async_stream(url: str) -> None:
    await openai_async(url, stream=True, stream_options={"include_usage": True})


def openai_responses(url: str) -> None:
    with sdk("openai").OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        assert client.responses.create(model="gpt-4o", input="hi").output_text


async def openai_responses_async_stream(url: str) -> None:
    async with sdk("openai").AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        await _adrain(await client.responses.create(model="gpt-4o", input="hi", stream=True))


def openai_embeddings(url: str) -> None:
    with sdk("openai").OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        client.embeddings.create(model="text-embedding-3-small", input="hi", encoding_format="float")


def anthropic_sync(url: str) -> None:
    with sdk("anthropic").Anthropic(base_url=url, api_key="k") as client:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=MESSAGES)


def anthropic_stream(url: str) -> None:
    with (
        sdk("anthropic").Anthropic(base_url=url, api_key="k") as client,
        client.messages.stream(model="claude-sonnet-4-5", max_tokens=9, messages=MESSAGES) as stream,
    ):
        assert stream.get_final_text()


async def anthropic_async(url: str) -> None:
    async with sdk("anthropic").AsyncAnthropic(base_url=url, api_key="k") as client:
        await client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=MESSAGES)


async def anthropic_async_stream(url: str) -> None:
    async with sdk("anthropic").AsyncAnthropic(base_url=url, api_key="k") as client:
        await _adrain(
            await client.messages.create(
                model="claude-sonnet-4-5", max_tokens=9, messages=MESSAGES, stream=True
            )
        )


def _google(url: str) -> Any:
    return sdk("google.genai").Client(api_key="k", http_options={"base_url": url})


def google_sync(url: str) -> None:
    with _google(url) as client:
        client.models.generate_content(model="gemini-2.0-flash", contents="hi")


def google_stream(url: str) -> None:
    with _google(url) as client:
        _drain(client.models.generate_content_stream(model="gemini-2.0-flash", contents="hi"))


async def google_async(url: str) -> None:
    async with _google(url).aio as client:
        await client.models.generate_content(model="gemini-2.0-flash", contents="hi")


async def google_async_stream(url: str) -> None:
    async with _google(url).aio as client:
        await _adrain(await client.models.generate_content_stream(model="gemini-2.0-flash", contents="hi"))


def _mistral(url: str) -> Any:
    return sdk("mistralai.client").Mistral(server_url=url, api_key="k")


def mistral_sync(url: str) -> None:
    with _mistral(url) as client:
        client.chat.complete(model="mistral-small-latest", messages=MESSAGES)


def mistral_stream(url: str) -> None:
    with (
        _mistral(url) as client,
        client.chat.stream(model="mistral-small-latest", messages=MESSAGES) as stream,
    ):
        _drain(stream)


async def mistral_async(url: str) -> None:
    async with _mistral(url) as client:
        await client.chat.complete_async(model="mistral-small-latest", messages=MESSAGES)


async def mistral_async_stream(url: str) -> None:
    async with _mistral(url) as client:
        await _adrain(await client.chat.stream_async(model="mistral-small-latest", messages=MESSAGES))


def groq_sync(url: str) -> None:
    with sdk("groq").Groq(base_url=url, api_key="k") as client:
        client.chat.completions.create(model="llama-3.3-70b-versatile", messages=MESSAGES)


async def groq_async_stream(url: str) -> None:
    async with sdk("groq").AsyncGroq(base_url=url, api_key="k") as client:
        await _adrain(
            await client.chat.completions.create(
                model="llama-3.3-70b-versatile", messages=MESSAGES, stream=True
            )
        )


def cohere_sync(url: str) -> None:
    sdk("cohere").ClientV2(base_url=url, api_key="k").chat(model="command-a-03-2025", messages=MESSAGES)


def cohere_stream(url: str) -> None:
    _drain(
        sdk("cohere")
        .ClientV2(base_url=url, api_key="k")
        .chat_stream(model="command-a-03-2025", messages=MESSAGES)
    )


def _litellm(url: str) -> dict[str, Any]:
    return {
        "model": "hosted_vllm/qwen",
        "api_base": f"{url}/v1",
        "api_key": "k",
        "messages": MESSAGES,
        "max_retries": 0,
    }


def litellm_sync(url: str) -> None:
    sdk("litellm").completion(**_litellm(url))


def litellm_stream(url: str) -> None:
    _drain(sdk("litellm").completion(stream=True, **_litellm(url)))


async def litellm_async(url: str) -> None:
    await sdk("litellm").acompletion(**_litellm(url))


async def litellm_async_stream(url: str) -> None:
    await _adrain(await sdk("litellm").acompletion(stream=True, **_litellm(url)))


def _litellm_anthropic(url: str) -> dict[str, Any]:
    return {**_litellm(url), "model": "anthropic/claude-sonnet-4-5", "api_base": url, "stream": True}


def litellm_anthropic_stream(url: str) -> None:
    _drain(sdk("litellm").completion(**_litellm_anthropic(url)))


async def litellm_anthropic_async_stream(url: str) -> None:
    await _adrain(await sdk("litellm").acompletion(**_litellm_anthropic(url)))


def litellm_failure(url: str) -> None:
    try:
        sdk("litellm").completion(**{**_litellm(url), "model": "hosted_vllm/fail-500"})
    except sdk("litellm").InternalServerError:
        return
    raise AssertionError("it was to fail")


def _bedrock(url: str) -> Any:
    return sdk("boto3").client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )


BEDROCK_MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]


def bedrock_converse(url: str) -> None:
    _bedrock(url).converse(modelId="amazon.nova-micro-v1:0", messages=BEDROCK_MESSAGES)


def bedrock_converse_stream(url: str) -> None:
    answer = _bedrock(url).converse_stream(modelId="amazon.nova-micro-v1:0", messages=BEDROCK_MESSAGES)
    assert "metadata" in list(answer["stream"])[-1]


def bedrock_invoke(url: str) -> None:
    answer = _bedrock(url).invoke_model(
        modelId="anthropic.claude-3-haiku-20240307-v1:0", body=b'{"max_tokens":9}'
    )
    assert answer["body"].read()


def bedrock_invoke_stream(url: str) -> None:
    answer = _bedrock(url).invoke_model_with_response_stream(
        modelId="anthropic.claude-3-haiku-20240307-v1:0", body=b'{"max_tokens":9}'
    )
    assert list(answer["body"])


CALLS: dict[str, Made] = {
    made.__name__: made
    for made in (
        openai_sync,
        openai_stream,
        openai_async,
        openai_async_stream,
        openai_responses,
        openai_responses_async_stream,
        openai_embeddings,
        anthropic_sync,
        anthropic_stream,
        anthropic_async,
        anthropic_async_stream,
        google_sync,
        google_stream,
        google_async,
        google_async_stream,
        mistral_sync,
        mistral_stream,
        mistral_async,
        mistral_async_stream,
        groq_sync,
        groq_async_stream,
        cohere_sync,
        cohere_stream,
        litellm_sync,
        litellm_stream,
        litellm_async,
        litellm_async_stream,
        litellm_anthropic_stream,
        litellm_anthropic_async_stream,
        bedrock_converse,
        bedrock_converse_stream,
        bedrock_invoke,
        bedrock_invoke_stream,
    )
}


def make(name: str, url: str) -> None:
    """Make the call of that name, whichever kind it is."""
    made = {**CALLS, litellm_failure.__name__: litellm_failure}[name](url)
    if asyncio.iscoroutine(made):
        asyncio.run(made)


class Calls(msgspec.Struct):
    """Calls of one process: how they are recorded, the socket of their daemon, and their names."""

    how: str
    socket: str
    names: Sequence[str]


def run(host: str, *calls: Calls) -> None:
    """Make the calls, those of each entry in a process of its own. Raises CalledProcessError where one fails.

    The processes are forked from one that has imported LiteLLM, where it is called, which takes 5 s of CPU time;
    the other SDKs are imported when they are first called.
    """
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else LiteLLM's import asks the network
        "NO_PROXY": "*",
    }
    command = [sys.executable, "-m", __name__, host, msgspec.json.encode(calls).decode()]
    subprocess.run(command, env=environment, check=True, timeout=LIMIT_SECONDS)


def main(host: str, calls: Sequence[Calls]) -> None:
    """Make the calls of each entry in a fork, of a process that has imported LiteLLM where one needs it."""
    if any(name.startswith("litellm") for one in calls for name in one.names):
        sdk("litellm")
    for one in calls:
        child = os.fork()
        if not child:
            os.environ["LLMLEDGER_SOCKET"] = one.socket
            _make_all(one.how, host, one.names)
            return
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"the calls failed: {one.how}")


def _make_all(how: str, host: str, names: Sequence[str]) -> None:
    """Make the calls, and end only when their records are durable."""
    if how in ("hooks", "both"):
        llmledger.instrument(hosts=[host])
    if how == "stranger":
        llmledger.instrument()  # the stand-ins' host is unknown
    if how in ("callback", "both", "stranger"):
        from llmledger.litellm import LlmledgerLogger

        sdk("litellm").callbacks = [LlmledgerLogger()]
    for number, name in enumerate(names, start=1):
        with llmledger.context(org_id="acme", step_id=name, tags=["sdk"]):
            make(name, f"http://{host}")
        # LiteLLM calls back from a thread, or later on the loop.
        until(lambda: llmledger.stats().records >= number, limit=30, what=name)  # noqa: B023 - called at once
    assert llmledger.close(30)
    assert not faults


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=list[Calls]))
