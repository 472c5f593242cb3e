"""Entries of the SDKs whose chat looks like OpenAI's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from tests.sdk_table.sdk import MESSAGES, Sdk, sdk


class Chat(Sdk):
    """``client.chat.completions.create``, which most have copied."""

    module: ClassVar[str] = "openai"
    kinds: ClassVar[tuple[str, str]] = ("OpenAI", "AsyncOpenAI")
    base: ClassVar[str] = "/v1"
    asks_usage: ClassVar[bool] = False

    def _make(self, kind: str) -> Any:
        return getattr(sdk(self.module), kind)(**self._options())

    def _options(self) -> dict[str, Any]:
        return {"base_url": self.url + self.base, "api_key": "k"}

    def _streamed(self) -> dict[str, Any]:
        return {"stream": True} | ({"stream_options": {"include_usage": True}} if self.asks_usage else {})

    def call(self, model: str) -> Any:
        return self._make(self.kinds[0]).chat.completions.create(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        client = self._make(self.kinds[0])
        found = client.chat.completions.create(model=model, messages=MESSAGES, **self._streamed())
        try:
            yield from found
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                close()

    async def acall(self, model: str) -> Any:
        client = self._make(self.kinds[1])
        return await client.chat.completions.create(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        client = self._make(self.kinds[1])
        async for one in await client.chat.completions.create(
            model=model, messages=MESSAGES, **self._streamed()
        ):
            yield one

    def raw(self, model: str) -> Any:
        completions = self._make(self.kinds[0]).chat.completions
        return completions.with_raw_response.create(model=model, messages=MESSAGES).parse()


class OpenAI(Chat):
    """OpenAI's chat."""

    name = "openai chat"
    provider = "openai"
    asks_usage = True


class AzureOpenAI(Chat):
    """OpenAI's client for Azure."""

    name = "openai AzureOpenAI"
    provider = "azure"
    kinds = ("AzureOpenAI", "AsyncAzureOpenAI")

    def _options(self) -> dict[str, Any]:
        return {"azure_endpoint": self.url, "api_key": "k", "api_version": "2024-10-21"}


class OpenAIResponses(OpenAI):
    """OpenAI's Responses."""

    name = "openai responses"

    def call(self, model: str) -> Any:
        return self._make("OpenAI").responses.create(model=model, input="hi").output_text

    def stream(self, model: str) -> Iterator[Any]:
        with self._make("OpenAI").responses.stream(model=model, input="hi") as found:
            yield from found

    async def acall(self, model: str) -> Any:
        return await self._make("AsyncOpenAI").responses.create(model=model, input="hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        client = self._make("AsyncOpenAI")
        async for one in await client.responses.create(model=model, input="hi", stream=True):
            yield one

    def raw(self, model: str) -> Any:
        with self._make("OpenAI").responses.with_streaming_response.create(model=model, input="hi") as answer:
            return answer.parse()


class Groq(Chat):
    """Groq's SDK."""

    name = "groq"
    provider = "groq"
    model = "llama-3.3-70b-versatile"
    module = "groq"
    kinds = ("Groq", "AsyncGroq")
    base = ""


class Together(Chat):
    """Together's SDK."""

    name = "together"
    requirement = "together"
    provider = "together"
    model = "meta-llama/llama-3-8b-chat-hf"
    module = "together"
    kinds = ("Together", "AsyncTogether")


class Fireworks(Chat):
    """Fireworks' SDK."""

    name = "fireworks"
    requirement = "fireworks-ai"
    provider = "fireworks"
    model = "accounts/fireworks/models/llama-v3p1-8b-instruct"
    module = "fireworks"
    kinds = ("Fireworks", "AsyncFireworks")
    base = ""


class Cerebras(Chat):
    """Cerebras' SDK."""

    name = "cerebras"
    requirement = "cerebras-cloud-sdk"
    provider = "cerebras"
    model = "llama3.1-8b"
    module = "cerebras.cloud.sdk"
    kinds = ("Cerebras", "AsyncCerebras")
    base = ""

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "warm_tcp_connection": False}


class Writer(Chat):
    """Writer's SDK, whose chat is a path of its own."""

    name = "writer"
    requirement = "writer-sdk"
    provider = "writer"
    model = "palmyra-x5"
    module = "writerai"
    kinds = ("Writer", "AsyncWriter")
    base = ""

    def call(self, model: str) -> Any:
        return self._make("Writer").chat.chat(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        found = self._make("Writer").chat.chat(model=model, messages=MESSAGES, stream=True)
        try:
            yield from found
        finally:
            found.close()

    async def acall(self, model: str) -> Any:
        return await self._make("AsyncWriter").chat.chat(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in await self._make("AsyncWriter").chat.chat(
            model=model, messages=MESSAGES, stream=True
        ):
            yield one

    def raw(self, model: str) -> Any:
        return self._make("Writer").chat.with_raw_response.chat(model=model, messages=MESSAGES).parse()


class HuggingFace(Chat):
    """Hugging Face's client."""

    name = "huggingface_hub"
    provider = "huggingface"
    model = "meta-llama/Llama-3.1-8B-Instruct"
    module = "huggingface_hub"
    kinds = ("InferenceClient", "AsyncInferenceClient")
    retries = False
    raw = Sdk.raw


class Portkey(Chat):
    """Portkey's SDK, which is OpenAI's below."""

    name = "portkey"
    requirement = "portkey-ai"
    provider = "portkey"
    module = "portkey_ai"
    kinds = ("Portkey", "AsyncPortkey")
    raw = Sdk.raw


class AzureInference(Sdk):
    """Azure's inference SDK, through requests or aiohttp."""

    name = "azure-ai-inference"
    requirement = "azure-ai-inference aiohttp"
    provider = "azure"
    model = "phi-4"

    def _client(self, module: str) -> Any:
        key = sdk("azure.core.credentials").AzureKeyCredential("k")
        return sdk(module).ChatCompletionsClient(self.url, key)

    def call(self, model: str) -> Any:
        return self._client("azure.ai.inference").complete(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        found = self._client("azure.ai.inference").complete(model=model, messages=MESSAGES, stream=True)
        try:
            yield from found
        finally:
            found.close()

    async def acall(self, model: str) -> Any:
        async with self._client("azure.ai.inference.aio") as client:
            return await client.complete(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._client("azure.ai.inference.aio") as client:
            async for one in await client.complete(model=model, messages=MESSAGES, stream=True):
                yield one


class OpenRouter(Sdk):
    """OpenRouter's SDK."""

    name = "openrouter"
    requirement = "openrouter"
    provider = "openrouter"
    model = "openai/gpt-4o"

    def _client(self) -> Any:
        return sdk("openrouter").OpenRouter(server_url=f"{self.url}/api/v1", api_key="k")

    def call(self, model: str) -> Any:
        with self._client() as client:
            return client.chat.send(model=model, messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        with self._client() as client, client.chat.send(model=model, messages=MESSAGES, stream=True) as found:
            yield from found

    async def acall(self, model: str) -> Any:
        async with self._client() as client:
            return await client.chat.send_async(model=model, messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._client() as client:
            async for one in await client.chat.send_async(model=model, messages=MESSAGES, stream=True):
                yield one


class AI21(Sdk):
    """AI21's SDK."""

    name = "ai21"
    requirement = "ai21"
    provider = "ai21"
    model = "jamba-large"
    retries = False

    def _client(self, kind: str) -> tuple[Any, list[Any]]:
        client = getattr(sdk("ai21"), kind)(api_key="k", api_host=self.url)
        return client, [sdk("ai21.models.chat").ChatMessage(role="user", content="hi")]

    def call(self, model: str) -> Any:
        client, messages = self._client("AI21Client")
        return client.chat.completions.create(model=model, messages=messages)

    def stream(self, model: str) -> Iterator[Any]:
        client, messages = self._client("AI21Client")
        yield from client.chat.completions.create(model=model, messages=messages, stream=True)

    async def acall(self, model: str) -> Any:
        client, messages = self._client("AsyncAI21Client")
        return await client.chat.completions.create(model=model, messages=messages)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        client, messages = self._client("AsyncAI21Client")
        async for one in await client.chat.completions.create(model=model, messages=messages, stream=True):
            yield one


ENTRIES: tuple[type[Sdk], ...] = (
    OpenAI,
    OpenAIResponses,
    AzureOpenAI,
    Groq,
    Together,
    Fireworks,
    Cerebras,
    Writer,
    HuggingFace,
    Portkey,
    AzureInference,
    OpenRouter,
    AI21,
)
