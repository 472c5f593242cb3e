"""Keys in the providers' SDKs, and in what LiteLLM hands to a callback."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import llmledger
from tests.helpers.sdks import MESSAGES, sdk
from tests.helpers.waiting import until
from tests.security.client_scene import Scene, made


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
    from llmledger.litellm import LlmledgerLogger

    logger = LlmledgerLogger(scene.client)
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


def _until_recorded(client: llmledger.TraceClient, records: int) -> None:
    until(lambda: client.stats().records >= records, limit=10, what="LiteLLM's callback")
