"""Entries of the SDKs over gRPC, each with a stand-in of its own in the child, since only the child has gRPC."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.helpers.more_formats import COMPLETION_TOKENS, PROMPT_TOKENS, WORDS
from tests.sdk_table.sdk import Sdk, sdk

_servers: dict[str, str] = {}
"""Addresses by service; they run until the process ends."""

_asked: dict[str, int] = {}

Answer = Callable[[str, str, bool], Any]
"""Makes a message of model, text and whether it is the last one."""


def _served(service: str, methods: dict[str, tuple[Any, Any, bool]], answer: Answer) -> str:
    """Serve methods, given as request type, response type and whether they stream; return the address."""
    if service in _servers:
        return _servers[service]
    grpc = sdk("grpc")

    def model_of(request: Any, context: Any) -> str:
        model = str(request.model)
        _asked[model] = _asked.get(model, 0) + 1
        if "fail-400" in model:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "out of order")
        if "flaky" in model and _asked[model] == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")
        return model.rpartition("/")[2]

    def one(request: Any, context: Any) -> Any:
        return answer(model_of(request, context), "".join(WORDS), True)

    def each(request: Any, context: Any) -> Iterator[Any]:
        model = model_of(request, context)
        while "endless" in model and context.is_active():
            yield answer(model, WORDS[0], False)
            time.sleep(0.005)  # as a model's words come
        for number, word in enumerate(WORDS):
            yield answer(model, word, number == len(WORDS) - 1)

    def handler(asked: Any, answered: Any, is_stream: bool) -> Any:
        plus = hasattr(asked, "deserialize")
        options = {
            "request_deserializer": asked.deserialize if plus else asked.FromString,
            "response_serializer": answered.serialize if plus else answered.SerializeToString,
        }
        if is_stream:
            return grpc.unary_stream_rpc_method_handler(each, **options)
        return grpc.unary_unary_rpc_method_handler(one, **options)

    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {name: handler(*kinds) for name, kinds in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    _servers[service] = f"localhost:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    _servers[service + " kept"] = server
    return _servers[service]


class Xai(Sdk):
    """xAI's SDK."""

    name = "xai-sdk"
    requirement = "xai-sdk"
    provider = "xai"
    model = "grok-4"
    retries = False  # gRPC itself tries again, below the hook: one row

    def _client(self, kind: str) -> Any:
        chat = sdk("xai_sdk.proto").chat_pb2
        usage = sdk("xai_sdk.proto").usage_pb2

        def answer(model: str, text: str, is_last: bool) -> Any:
            # The counts of a stream grow with it.
            done = COMPLETION_TOKENS if is_last else 1
            counts = usage.SamplingUsage(
                prompt_tokens=PROMPT_TOKENS, completion_tokens=done, total_tokens=PROMPT_TOKENS + done
            )
            reason = {"finish_reason": 1} if is_last else {}
            if text == "".join(WORDS):
                message = chat.CompletionMessage(content=text, role=2)
                output = chat.CompletionOutput(index=0, message=message, **reason)
                return chat.GetChatCompletionResponse(id="x", model=model, usage=counts, outputs=[output])
            delta = chat.Delta(content=text, role=2)
            output = chat.CompletionOutputChunk(index=0, delta=delta, **reason)
            return chat.GetChatCompletionChunk(id="x", model=model, usage=counts, outputs=[output])

        methods = {
            "GetCompletion": (chat.GetCompletionsRequest, chat.GetChatCompletionResponse, False),
            "GetCompletionChunk": (chat.GetCompletionsRequest, chat.GetChatCompletionChunk, True),
        }
        address = _served("xai_api.Chat", methods, answer)
        return getattr(sdk("xai_sdk"), kind)(api_key="k", api_host=address, use_insecure_channel=True)

    def _chat(self, kind: str, model: str) -> Any:
        return self._client(kind).chat.create(model=model, messages=[sdk("xai_sdk.chat").user("hi")])

    def call(self, model: str) -> Any:
        return self._chat("Client", model).sample()

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._chat("Client", model).stream()

    async def acall(self, model: str) -> Any:
        return await self._chat("AsyncClient", model).sample()

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in self._chat("AsyncClient", model).stream():
            yield one


class VertexGrpc(Sdk):
    """Google's generated client of Vertex AI."""

    name = "google-cloud-aiplatform (gRPC)"
    requirement = "google-cloud-aiplatform"
    provider = "vertex"
    model = "gemini-2.0-flash"
    retries = False

    def _address(self) -> str:
        types = sdk("google.cloud.aiplatform_v1.types")

        def answer(model: str, text: str, is_last: bool) -> Any:
            reason = {"finish_reason": 1} if is_last else {}
            content = {"role": "model", "parts": [{"text": text}]}
            done = COMPLETION_TOKENS if is_last else 1
            return types.GenerateContentResponse(
                candidates=[{"index": 0, "content": content, **reason}],
                model_version=model,
                usage_metadata={
                    "prompt_token_count": PROMPT_TOKENS,
                    "candidates_token_count": done,
                    "total_token_count": PROMPT_TOKENS + done,
                },
            )

        kinds = (types.GenerateContentRequest, types.GenerateContentResponse)
        methods = {"GenerateContent": (*kinds, False), "StreamGenerateContent": (*kinds, True)}
        return _served("google.cloud.aiplatform.v1.PredictionService", methods, answer)

    def _request(self, model: str) -> dict[str, Any]:
        contents = [{"role": "user", "parts": [{"text": "hi"}]}]
        named = f"projects/p/locations/us-central1/publishers/google/models/{model}"
        return {"model": named, "contents": contents}

    def _client(self, *, is_async: bool) -> Any:
        service = sdk("google.cloud.aiplatform_v1.services.prediction_service")
        transports = sdk(f"{service.__name__}.transports")
        grpc = sdk("grpc")
        if is_async:
            channel = grpc.aio.insecure_channel(self._address())
            transport = transports.PredictionServiceGrpcAsyncIOTransport(channel=channel)
            return service.PredictionServiceAsyncClient(transport=transport)
        channel = grpc.insecure_channel(self._address())
        return service.PredictionServiceClient(
            transport=transports.PredictionServiceGrpcTransport(channel=channel)
        )

    def call(self, model: str) -> Any:
        return self._client(is_async=False).generate_content(self._request(model))

    def stream(self, model: str) -> Iterator[Any]:
        yield from self._client(is_async=False).stream_generate_content(self._request(model))

    async def acall(self, model: str) -> Any:
        return await self._client(is_async=True).generate_content(self._request(model))

    async def astream(self, model: str) -> AsyncIterator[Any]:
        async for one in await self._client(is_async=True).stream_generate_content(self._request(model)):
            yield one


ENTRIES: tuple[type[Sdk], ...] = (Xai, VertexGrpc)
