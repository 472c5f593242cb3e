"""Entries of the SDKs that speak their provider's own protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from tests.sdk_table.sdk import MESSAGES, Sdk, each, sdk


class Anthropic(Sdk):
    """Anthropic's Messages."""

    name = "anthropic"
    provider = "anthropic"
    model = "claude-sonnet-4-5"

    def _client(self) -> Any:
        return sdk("anthropic").Anthropic(base_url=self.url, api_key="k")

    def _async_client(self) -> Any:
        return sdk("anthropic").AsyncAnthropic(base_url=self.url, api_key="k")

    def call(self, model: str) -> Any:
        with self._client() as client:
            return client.messages.create(model=model, max_tokens=9, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        with (
            self._client() as client,
            client.messages.stream(model=model, max_tokens=9, messages=MESSAGES) as found,
        ):
            yield from found.text_stream

    async def acall(self, model: str) -> Any:
        async with self._async_client() as client:
            return await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._async_client() as client:
            async for one in await client.messages.create(
                model=model, max_tokens=9, messages=MESSAGES, stream=True
            ):
                yield one

    def raw(self, model: str) -> Any:
        with self._client() as client:
            answer = client.messages.with_raw_response.create(model=model, max_tokens=9, messages=MESSAGES)
            return answer.parse()


class AnthropicBedrock(Anthropic):
    """Anthropic's client for Bedrock."""

    name = "anthropic[bedrock]"
    requirement = "anthropic[bedrock,vertex]"
    provider = "aws"
    model = "anthropic.claude-3-haiku-20240307-v1:0"

    def _options(self) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "aws_region": "us-east-1",
            "aws_access_key": "k",
            "aws_secret_key": "s",
        }

    def _client(self) -> Any:
        return sdk("anthropic").AnthropicBedrock(**self._options())

    def _async_client(self) -> Any:
        return sdk("anthropic").AsyncAnthropicBedrock(**self._options())


class AnthropicVertex(Anthropic):
    """Anthropic's client for Vertex."""

    name = "anthropic[vertex]"
    requirement = "anthropic[bedrock,vertex]"
    provider = "vertex"

    def _options(self) -> dict[str, Any]:
        return {"base_url": f"{self.url}/v1", "region": "us-east5", "project_id": "p", "access_token": "t"}

    def _client(self) -> Any:
        return sdk("anthropic").AnthropicVertex(**self._options())

    def _async_client(self) -> Any:
        return sdk("anthropic").AsyncAnthropicVertex(**self._options())


class GoogleGenai(Sdk):
    """Google's SDK for Gemini."""

    name = "google-genai"
    provider = "google"
    model = "gemini-2.0-flash"

    def _client(self) -> Any:
        options = {"base_url": self.url, "retry_options": {"attempts": 3, "initial_delay": 0.01}}
        return sdk("google.genai").Client(api_key="k", http_options=options)

    def call(self, model: str) -> Any:
        with self._client() as client:
            return client.models.generate_content(model=model, contents="hi")

    def stream(self, model: str) -> Iterator[Any]:
        with self._client() as client:
            yield from client.models.generate_content_stream(model=model, contents="hi")

    async def acall(self, model: str) -> Any:
        async with self._client().aio as client:
            return await client.models.generate_content(model=model, contents="hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._client().aio as client:
            async for one in await client.models.generate_content_stream(model=model, contents="hi"):
                yield one


class Mistral(Sdk):
    """Mistral's SDK."""

    name = "mistralai"
    provider = "mistral"
    model = "mistral-small-latest"

    def _client(self) -> Any:
        utils = sdk("mistralai.client.utils")
        retry = utils.RetryConfig("backoff", utils.BackoffStrategy(10, 50, 1.1, 5000), True)
        return sdk("mistralai.client").Mistral(server_url=self.url, api_key="k", retry_config=retry)

    def call(self, model: str) -> Any:
        with self._client() as client:
            return client.chat.complete(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        with self._client() as client, client.chat.stream(model=model, messages=MESSAGES) as found:
            yield from found

    async def acall(self, model: str) -> Any:
        async with self._client() as client:
            return await client.chat.complete_async(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._client() as client:
            async for one in await client.chat.stream_async(model=model, messages=MESSAGES):
                yield one


class Cohere(Sdk):
    """Cohere's chat, version 2."""

    name = "cohere"
    provider = "cohere"
    model = "command-a-03-2025"

    def _client(self) -> Any:
        return sdk("cohere").ClientV2(base_url=self.url, api_key="k")

    def _async_client(self) -> Any:
        return sdk("cohere").AsyncClientV2(base_url=self.url, api_key="k")

    def call(self, model: str) -> Any:
        return self._client().chat(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._client().chat_stream(model=model, messages=MESSAGES)

    async def acall(self, model: str) -> Any:
        return await self._async_client().chat(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._async_client().chat_stream(model=model, messages=MESSAGES):
            yield one

    def raw(self, model: str) -> Any:
        return self._client().with_raw_response.chat(model=model, messages=MESSAGES)


class BedrockConverse(Sdk):
    """Bedrock's Converse by boto3."""

    name = "boto3 converse"
    provider = "aws"
    model = "amazon.nova-micro-v1:0"

    def _client(self) -> Any:
        return sdk("boto3").client(
            "bedrock-runtime",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )

    def call(self, model: str) -> Any:
        messages = [{"role": "user", "content": [{"text": "hi"}]}]
        return self._client().converse(modelId=model, messages=messages)

    def stream(self, model: str) -> Iterator[Any]:
        messages = [{"role": "user", "content": [{"text": "hi"}]}]
        found = self._client().converse_stream(modelId=model, messages=messages)["stream"]
        try:
            yield from found
        finally:
            found.close()


class BedrockInvoke(BedrockConverse):
    """Bedrock's InvokeModel by boto3."""

    name = "boto3 invoke_model"
    model = "anthropic.claude-3-haiku-20240307-v1:0"

    def call(self, model: str) -> Any:
        return self._client().invoke_model(modelId=model, body=b'{"max_tokens":9}')["body"].read()

    def stream(self, model: str) -> Iterator[Any]:
        answer = self._client().invoke_model_with_response_stream(modelId=model, body=b'{"max_tokens":9}')
        try:
            yield from answer["body"]
        finally:
            answer["body"].close()


class Ollama(Sdk):
    """Ollama's SDK, which tries nothing again."""

    name = "ollama"
    requirement = "ollama"
    provider = "ollama"
    model = "llama3.2"
    retries = False

    def call(self, model: str) -> Any:
        return sdk("ollama").Client(host=self.url).chat(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        yield from sdk("ollama").Client(host=self.url).chat(model=model, messages=MESSAGES, stream=True)

    async def acall(self, model: str) -> Any:
        return await sdk("ollama").AsyncClient(host=self.url).chat(model=model, messages=MESSAGES)

    def astream(self, model: str) -> AsyncIterator[Any]:
        return each(
            sdk("ollama").AsyncClient(host=self.url).chat(model=model, messages=MESSAGES, stream=True)
        )


class Replicate(Sdk):
    """Replicate's SDK; a prediction is waited for by its header."""

    name = "replicate"
    requirement = "replicate"
    provider = "replicate"
    model = "meta/meta-llama-3-8b-instruct"
    retries = False  # it tries no POST again

    def _client(self) -> Any:
        return sdk("replicate").Client(api_token="k", base_url=self.url)

    def call(self, model: str) -> Any:
        return list(self._client().run(model, input={"prompt": "hi"}))

    async def acall(self, model: str) -> Any:
        return list(await self._client().async_run(model, input={"prompt": "hi"}))


class Voyage(Sdk):
    """Voyage's embeddings, through aiohttp or requests."""

    name = "voyageai"
    requirement = "voyageai"
    provider = "voyage"
    model = "voyage-3.5"

    def call(self, model: str) -> Any:
        client = sdk("voyageai").Client(api_key="k", base_url=f"{self.url}/v1", max_retries=2)
        return client.embed(["hi"], model=model)

    async def acall(self, model: str) -> Any:
        client = sdk("voyageai").AsyncClient(api_key="k", base_url=f"{self.url}/v1", max_retries=2)
        return await client.embed(["hi"], model=model)


class Dashscope(Sdk):
    """Alibaba's own SDK."""

    name = "dashscope"
    requirement = "dashscope"
    provider = "alibaba"
    model = "qwen-plus"
    retries = False

    def _ask(self, model: str, **options: Any) -> Any:
        dashscope = sdk("dashscope")
        dashscope.base_http_api_url = f"{self.url}/api/v1"
        return dashscope.Generation.call(
            api_key="k", model=model, messages=MESSAGES, result_format="message", **options
        )

    def call(self, model: str) -> Any:
        answer = self._ask(model)
        assert answer.status_code == 200, answer
        return answer

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._ask(model, stream=True, incremental_output=True)


ENTRIES: tuple[type[Sdk], ...] = (
    Anthropic,
    AnthropicBedrock,
    AnthropicVertex,
    GoogleGenai,
    Mistral,
    Cohere,
    BedrockConverse,
    BedrockInvoke,
    Ollama,
    Replicate,
    Voyage,
    Dashscope,
)
