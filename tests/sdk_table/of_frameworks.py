"""Entries of frameworks that have an SDK or a client of their own below."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from tests.sdk_table.sdk import MESSAGES, Sdk, sdk

LANGCHAIN = "langchain-openai langchain-anthropic langchain-google-genai langchain-aws"


class LiteLLM(Sdk):
    """LiteLLM with an address of OpenAI's kind."""

    name = "litellm"
    provider = "openai"

    def _options(self, model: str) -> dict[str, Any]:
        return {
            "model": f"openai/{model}",
            "api_base": f"{self.url}/v1",
            "api_key": "k",
            "messages": MESSAGES,
            "max_retries": 1,
        }

    def call(self, model: str) -> Any:
        return sdk("litellm").completion(**self._options(model))

    def stream(self, model: str) -> Iterator[Any]:
        yield from sdk("litellm").completion(stream=True, **self._options(model))

    async def acall(self, model: str) -> Any:
        return await sdk("litellm").acompletion(**self._options(model))

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in await sdk("litellm").acompletion(stream=True, **self._options(model)):
            yield one


class LiteLLMAiohttp(LiteLLM):
    """LiteLLM with an address of vLLM's kind, whose client is httpx over a transport of aiohttp."""

    name = "litellm (aiohttp)"
    retries = False

    def _options(self, model: str) -> dict[str, Any]:
        return {**super()._options(model), "model": f"hosted_vllm/{model}"}


class LiteLLMAnthropic(LiteLLM):
    """LiteLLM with Anthropic's protocol."""

    name = "litellm anthropic"
    provider = "anthropic"
    model = "claude-sonnet-4-5"
    retries = False

    def _options(self, model: str) -> dict[str, Any]:
        return {**super()._options(model), "model": f"anthropic/{model}", "api_base": self.url}


class _LangChain(Sdk):
    """LangChain's chat models have one interface."""

    requirement = LANGCHAIN

    def _model(self, model: str) -> Any:
        raise NotImplementedError

    def call(self, model: str) -> Any:
        return self._model(model).invoke("hi")

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._model(model).stream("hi")

    async def acall(self, model: str) -> Any:
        return await self._model(model).ainvoke("hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._model(model).astream("hi"):
            yield one


class LangChainOpenAI(_LangChain):
    """LangChain's OpenAI, which reads a cancelled stream to its end."""

    name = "langchain-openai"
    without = frozenset({"cancelled"})
    provider = "openai"

    def _model(self, model: str) -> Any:
        return sdk("langchain_openai").ChatOpenAI(
            model=model, base_url=f"{self.url}/v1", api_key="k", stream_usage=True
        )


class LangChainAnthropic(_LangChain):
    """LangChain's Anthropic."""

    name = distribution = "langchain-anthropic"
    provider = "anthropic"
    model = "claude-sonnet-4-5"

    def _model(self, model: str) -> Any:
        return sdk("langchain_anthropic").ChatAnthropic(model=model, base_url=self.url, api_key="k")


class LangChainGoogle(_LangChain):
    """LangChain's Gemini."""

    name = distribution = "langchain-google-genai"
    provider = "google"
    model = "gemini-2.0-flash"

    def _model(self, model: str) -> Any:
        return sdk("langchain_google_genai").ChatGoogleGenerativeAI(
            model=model, base_url=self.url, api_key="k", max_retries=2
        )


class LangChainBedrock(_LangChain):
    """LangChain's Bedrock, on an event loop by threads."""

    name = distribution = "langchain-aws"
    provider = "aws"
    model = "amazon.nova-micro-v1:0"
    acall = Sdk.acall
    astream = Sdk.astream

    def _model(self, model: str) -> Any:
        return sdk("langchain_aws").ChatBedrockConverse(
            model=model,
            provider="amazon",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )


class PydanticAI(Sdk):
    """pydantic-ai with OpenAI's chat."""

    name = "pydantic-ai"
    requirement = "pydantic-ai-slim[openai]"
    provider = "openai"

    def _agent(self, model: str) -> Any:
        provider = sdk("pydantic_ai.providers.openai").OpenAIProvider(base_url=f"{self.url}/v1", api_key="k")
        kind = sdk("pydantic_ai.models.openai").OpenAIChatModel
        return sdk("pydantic_ai").Agent(kind(model, provider=provider))

    def call(self, model: str) -> Any:
        return self._agent(model).run_sync("hi")

    async def acall(self, model: str) -> Any:
        return await self._agent(model).run("hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._agent(model).run_stream("hi") as found:
            async for one in found.stream_text(debounce_by=None):
                yield one


class OpenAIAgents(Sdk):
    """OpenAI's agents, over Responses."""

    name = "openai-agents"
    requirement = "openai-agents"
    provider = "openai"

    def _parts(self, model: str) -> tuple[Any, Any]:
        agents = sdk("agents")
        agents.set_tracing_disabled(True)
        client = sdk("openai").AsyncOpenAI(base_url=f"{self.url}/v1", api_key="k")
        kind = agents.OpenAIResponsesModel(model=model, openai_client=client)
        return agents.Runner, agents.Agent(name="a", model=kind)

    def call(self, model: str) -> Any:
        runner, agent = self._parts(model)
        return runner.run_sync(agent, "hi").final_output

    async def acall(self, model: str) -> Any:
        runner, agent = self._parts(model)
        return await runner.run(agent, "hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        runner, agent = self._parts(model)
        found = runner.run_streamed(
            agent, "hi"
        )  # in a task of its own, which the reader's end leaves running
        try:
            async for one in found.stream_events():
                if one.type == "raw_response_event":  # others come before the call
                    yield one
        finally:
            found.cancel()


class Smolagents(Sdk):
    """smolagents' model of OpenAI's kind."""

    name = "smolagents"
    requirement = "smolagents openai"
    provider = "openai"

    def _model(self, model: str) -> tuple[Any, list[Any]]:
        smolagents = sdk("smolagents")
        made = smolagents.OpenAIServerModel(model_id=model, api_base=f"{self.url}/v1", api_key="k")
        return made, [smolagents.ChatMessage(role="user", content=[{"type": "text", "text": "hi"}])]

    def call(self, model: str) -> Any:
        made, messages = self._model(model)
        return made.generate(messages)

    def stream(self, model: str) -> Iterator[Any]:
        made, messages = self._model(model)
        yield from made.generate_stream(messages)


class Instructor(Sdk):
    """instructor over OpenAI's chat, without a schema."""

    name = "instructor"
    requirement = "instructor openai"
    provider = "openai"

    def call(self, model: str) -> Any:
        client = sdk("openai").OpenAI(base_url=f"{self.url}/v1", api_key="k")
        patched = sdk("instructor").from_openai(client)
        return patched.chat.completions.create(model=model, messages=MESSAGES, response_model=None)

    async def acall(self, model: str) -> Any:
        client = sdk("openai").AsyncOpenAI(base_url=f"{self.url}/v1", api_key="k")
        patched = sdk("instructor").from_openai(client)
        return await patched.chat.completions.create(model=model, messages=MESSAGES, response_model=None)


class Haystack(Sdk):
    """Haystack's generator of OpenAI's kind."""

    name = "haystack"
    requirement = "haystack-ai"
    provider = "openai"

    def _generator(self, model: str, **options: Any) -> tuple[Any, list[Any]]:
        secret = sdk("haystack.utils").Secret.from_token("k")
        kind = sdk("haystack.components.generators.chat").OpenAIChatGenerator
        made = kind(api_key=secret, model=model, api_base_url=f"{self.url}/v1", **options)
        return made, [sdk("haystack.dataclasses").ChatMessage.from_user("hi")]

    def call(self, model: str) -> Any:
        made, messages = self._generator(model)
        return made.run(messages)

    async def acall(self, model: str) -> Any:
        made, messages = self._generator(model)
        return await made.run_async(messages)


class LlamaIndex(Sdk):
    """LlamaIndex with an address of OpenAI's kind."""

    name = "llama-index"
    requirement = "llama-index-llms-openai-like"
    provider = "openai"

    def _model(self, model: str) -> Any:
        return sdk("llama_index.llms.openai_like").OpenAILike(
            model=model, api_base=f"{self.url}/v1", api_key="k", is_chat_model=True
        )

    def _messages(self) -> list[Any]:
        return [sdk("llama_index.core.llms").ChatMessage(role="user", content="hi")]

    def call(self, model: str) -> Any:
        return self._model(model).chat(self._messages())

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._model(model).stream_chat(self._messages())

    async def acall(self, model: str) -> Any:
        return await self._model(model).achat(self._messages())

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in await self._model(model).astream_chat(self._messages()):
            yield one


class DSPy(Sdk):
    """DSPy, whose own HTTP stack calls the providers that it knows."""

    name = "dspy"
    requirement = "dspy"
    provider = "openai"
    engine: ClassVar[str] = "lm15"

    def _model(self, model: str) -> Any:
        return sdk("dspy").LM(
            f"openai/{model}",
            api_base=f"{self.url}/v1",
            api_key="k",
            cache=False,
            num_retries=1,
            engine=self.engine,
        )

    def call(self, model: str) -> Any:
        return self._model(model)("hi")

    async def acall(self, model: str) -> Any:
        return await self._model(model).acall("hi")


class DSPyOverLiteLLM(DSPy):
    """DSPy over LiteLLM."""

    name = "dspy (litellm)"
    engine = "litellm"


ENTRIES: tuple[type[Sdk], ...] = (
    LiteLLM,
    LiteLLMAiohttp,
    LiteLLMAnthropic,
    LangChainOpenAI,
    LangChainAnthropic,
    LangChainGoogle,
    LangChainBedrock,
    PydanticAI,
    OpenAIAgents,
    Smolagents,
    Instructor,
    Haystack,
    LlamaIndex,
    DSPy,
    DSPyOverLiteLLM,
)
