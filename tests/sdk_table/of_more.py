"""Entries of further SDKs, and of frameworks above them, that the development environment has not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from tests.sdk_table.of_compatible import Chat
from tests.sdk_table.of_frameworks import _LangChain
from tests.sdk_table.of_providers import BedrockConverse
from tests.sdk_table.sdk import MESSAGES, Sdk, sdk


class SambaNova(Chat):
    """SambaNova's SDK."""

    name = "sambanova"
    requirement = "sambanova"
    provider = "sambanova"
    model = "Meta-Llama-3.3-70B-Instruct"
    module = "sambanova"
    kinds = ("SambaNova", "AsyncSambaNova")


class Perplexity(Chat):
    """Perplexity's SDK."""

    name = "perplexityai"
    requirement = "perplexityai"
    provider = "perplexity"
    model = "sonar"
    module = "perplexity"
    kinds = ("Perplexity", "AsyncPerplexity")
    base = ""


class Zai(Chat):
    """Z.ai's SDK, which has no client for an event loop."""

    name = "zai-sdk"
    requirement = "zai-sdk"
    provider = "zhipu"
    model = "glm-4.6"
    module = "zai"
    kinds = ("ZaiClient", "")
    base = "/api/paas/v4"
    acall = Sdk.acall
    astream = Sdk.astream
    raw = Sdk.raw


class Zhipu(Zai):
    """Zhipu's SDK."""

    name = "zhipuai"
    requirement = "zhipuai"
    module = "zhipuai"
    kinds = ("ZhipuAI", "")


class Ark(Chat):
    """Volcengine's SDK."""

    name = "volcengine"
    requirement = "volcengine-python-sdk[ark]"
    provider = "volcengine"
    model = "doubao-seed-1-6"
    module = "volcenginesdkarkruntime"
    kinds = ("Ark", "AsyncArk")
    base = "/api/v3"
    raw = Sdk.raw


class Reka(Sdk):
    """Reka's SDK, with a protocol of its own."""

    name = "reka-api"
    requirement = "reka-api"
    provider = "reka"
    model = "reka-flash"
    retries = False

    def _client(self, kind: str) -> Any:
        return getattr(sdk("reka.client"), kind)(base_url=f"{self.url}/reka/v1", api_key="k")

    def _asked(self, model: str) -> dict[str, Any]:
        return {"messages": [sdk("reka").ChatMessage(content="hi", role="user")], "model": model}

    def call(self, model: str) -> Any:
        return self._client("Reka").chat.create(**self._asked(model))

    async def acall(self, model: str) -> Any:
        return await self._client("AsyncReka").chat.create(**self._asked(model))

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._client("Reka").chat.create_stream(**self._asked(model))

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._client("AsyncReka").chat.create_stream(**self._asked(model)):
            yield one


class Databricks(Sdk):
    """Databricks' SDK, through requests."""

    name = "databricks-sdk"
    requirement = "databricks-sdk"
    provider = "databricks"
    model = "databricks-llama"
    retries = False

    def call(self, model: str) -> Any:
        serving = sdk("databricks.sdk.service.serving")
        client = sdk("databricks.sdk").WorkspaceClient(host=self.url, token="t")
        message = serving.ChatMessage(role=serving.ChatMessageRole.USER, content="hi")
        return client.serving_endpoints.query(name=model, messages=[message])


class Watsonx(Sdk):
    """IBM's SDK for watsonx."""

    name = "ibm-watsonx-ai"
    requirement = "ibm-watsonx-ai"
    provider = "watsonx"
    model = "ibm/granite-3-8b-instruct"
    retries = False

    def _model(self, model: str) -> Any:
        credentials = sdk("ibm_watsonx_ai").Credentials(url=self.url, token="t")
        return sdk("ibm_watsonx_ai.foundation_models").ModelInference(
            model_id=model, credentials=credentials, project_id="p", validate=False
        )

    def call(self, model: str) -> Any:
        return self._model(model).chat(messages=MESSAGES)

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._model(model).chat_stream(messages=MESSAGES)

    async def acall(self, model: str) -> Any:
        return await self._model(model).achat(messages=MESSAGES)

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in await self._model(model).achat_stream(messages=MESSAGES):
            yield one


class Aioboto3(BedrockConverse):
    """Bedrock's Converse by aioboto3, through aiohttp."""

    name = "aioboto3 converse"
    requirement = "aioboto3"

    call = Sdk.call
    stream = Sdk.stream

    def _session(self) -> Any:
        return (
            sdk("aioboto3")
            .Session()
            .client(
                "bedrock-runtime",
                endpoint_url=self.url,
                region_name="us-east-1",
                aws_access_key_id="k",
                aws_secret_access_key="s",
            )
        )

    async def acall(self, model: str) -> Any:
        async with self._session() as client:
            return await client.converse(
                modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}]
            )

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async with self._session() as client:
            answer = await client.converse_stream(
                modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}]
            )
            async for one in answer["stream"]:
                yield one


class LangChainGroq(_LangChain):
    """LangChain's Groq."""

    name = requirement = "langchain-groq"
    provider = "groq"
    model = "llama-3.3-70b-versatile"

    def _model(self, model: str) -> Any:
        return sdk("langchain_groq").ChatGroq(model=model, base_url=self.url, api_key="k")


class LangChainMistral(_LangChain):
    """LangChain's Mistral, which has an HTTP client of its own."""

    name = requirement = "langchain-mistralai"
    provider = "mistral"
    model = "mistral-small-latest"
    retries = False

    def _model(self, model: str) -> Any:
        return sdk("langchain_mistralai").ChatMistralAI(model=model, endpoint=f"{self.url}/v1", api_key="k")


class LangChainOllama(_LangChain):
    """LangChain's Ollama."""

    name = requirement = "langchain-ollama"
    provider = "ollama"
    model = "llama3.2"
    retries = False

    def _model(self, model: str) -> Any:
        return sdk("langchain_ollama").ChatOllama(model=model, base_url=self.url)


class Agno(Sdk):
    """Agno's agents."""

    name = "agno"
    requirement = "agno openai"
    provider = "openai"

    def _agent(self, model: str) -> Any:
        chat = sdk("agno.models.openai").OpenAIChat(
            id=model, base_url=f"{self.url}/v1", api_key="k", max_retries=2
        )
        return sdk("agno.agent").Agent(model=chat, telemetry=False)

    def call(self, model: str) -> Any:
        answer = self._agent(model).run("hi")
        assert str(getattr(answer.status, "value", answer.status)).upper() != "ERROR", answer
        return answer

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._agent(model).run("hi", stream=True)

    async def acall(self, model: str) -> Any:
        return await self._agent(model).arun("hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._agent(model).arun("hi", stream=True):
            yield one


class Strands(Sdk):
    """Strands' agents."""

    name = "strands-agents"
    requirement = "strands-agents[openai]"
    provider = "openai"

    def _agent(self, model: str) -> Any:
        options = {"base_url": f"{self.url}/v1", "api_key": "k"}
        chat = sdk("strands.models.openai").OpenAIModel(client_args=options, model_id=model)
        return sdk("strands").Agent(model=chat, callback_handler=None)

    def call(self, model: str) -> Any:
        return self._agent(model)("hi")

    async def acall(self, model: str) -> Any:
        return await self._agent(model).invoke_async("hi")

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._agent(model).stream_async("hi"):
            if "data" in one:
                yield one


class AutoGen(Sdk):
    """AutoGen's client of OpenAI."""

    name = "autogen-ext"
    requirement = "autogen-ext[openai] autogen-agentchat"
    provider = "openai"

    def _client(self, model: str) -> Any:
        info = {"vision": False, "function_calling": True, "json_output": True, "family": "gpt-4o"}
        return sdk("autogen_ext.models.openai").OpenAIChatCompletionClient(
            model=model,
            base_url=f"{self.url}/v1",
            api_key="k",
            model_info={**info, "structured_output": True},
            include_name_in_message=False,
        )

    def _asked(self) -> list[Any]:
        return [sdk("autogen_core.models").UserMessage(content="hi", source="user")]

    async def acall(self, model: str) -> Any:
        return await self._client(model).create(self._asked())

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._client(model).create_stream(
            self._asked(), extra_create_args={"stream_options": {"include_usage": True}}
        ):
            yield one


ENTRIES: tuple[type[Sdk], ...] = (
    SambaNova,
    Perplexity,
    Zai,
    Zhipu,
    Ark,
    Reka,
    Databricks,
    Watsonx,
    Aioboto3,
    LangChainGroq,
    LangChainMistral,
    LangChainOllama,
    Agno,
    Strands,
    AutoGen,
)
