"""Stand-ins for the providers on localhost: their wire formats, and their ways to fail.

Invariant: what the request's model is called says what happens, so a test's call says it all:
``fail-429`` is answered with that status, ``cut`` loses its connection in the middle of the answer,
``hang`` says its first event and then nothing until the client goes, ``endless`` goes on until then, ``flaky`` is
answered with status 503 the first time; anything else is answered whole.
Every answer counts ``PROMPT_TOKENS`` and ``COMPLETION_TOKENS``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.helpers import more_formats
from tests.helpers.eventstreams import event
from tests.helpers.more_formats import COMPLETION_TOKENS, PROMPT_TOKENS, WORDS

__all__ = ["COMPLETION_TOKENS", "PROMPT_TOKENS", "WORDS", "Providers"]

WAIT_SECONDS = 20.0

ENDLESS_FROM = 3
"""The event that is repeated: of all providers a word, neither the head of a stream nor its end."""

Json = dict[str, Any]


def _sse(events: Iterable[Json], *, named: bool = False, end: bytes = b"") -> list[bytes]:
    lines = []
    for body in events:
        name = f"event: {body['type']}\n" if named else ""
        lines.append(f"{name}data: {json.dumps(body)}\n\n".encode())
    return [*lines, end] if end else lines


def chat(request: Json) -> Json:
    """OpenAI's chat, and everybody's who copied it."""
    message = {"role": "assistant", "content": "".join(WORDS)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "system_fingerprint": None,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _openai_usage(),
    }


def chat_events(request: Json) -> list[bytes]:
    """The same, streamed, with the usage in a last chunk."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
    deltas: list[Json] = [
        {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None} for word in WORDS
    ]
    deltas.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks: list[Json] = [{**head, "choices": [delta]} for delta in deltas]
    return _sse([*chunks, {**head, "choices": [], "usage": _openai_usage()}], end=b"data: [DONE]\n\n")


def _openai_usage() -> Json:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }


def response(request: Json) -> Json:
    """OpenAI's Responses."""
    text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "model": request["model"],
        "output": [
            {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": [text]}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": COMPLETION_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    }


def response_events(request: Json) -> list[bytes]:
    """The same, streamed."""
    whole = response(request)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0}
    deltas = [
        {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in WORDS
    ]
    item = {"type": "message", "id": "msg-1", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    events: list[Json] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        *deltas,
        {"type": "response.completed", "response": whole},
    ]
    return _sse(({"sequence_number": number, **body} for number, body in enumerate(events)), named=True)


def embedding(request: Json) -> Json:
    """OpenAI's embeddings."""
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}],
        "model": request["model"],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
    }


def claude(request: Json) -> Json:
    """Anthropic's Messages."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "claude"),
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS},
    }


def claude_messages(request: Json) -> list[Json]:
    """The events of the same, streamed."""
    whole = claude(request)
    started = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in WORDS
    ]
    return [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": COMPLETION_TOKENS},
        },
        {"type": "message_stop"},
    ]


def gemini(model: str, text: str = "".join(WORDS), *, is_last: bool = True) -> Json:
    """Gemini's answer; streamed, each chunk looks the same but for the reason of the last."""
    reason = {"finishReason": "STOP"} if is_last else {}
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **reason}],
        "usageMetadata": {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": COMPLETION_TOKENS,
            "totalTokenCount": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
        "modelVersion": model,
    }


def cohere(_: Json) -> Json:
    """Cohere's chat, version 2."""
    return {
        "id": "c-1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "".join(WORDS)}]},
        "usage": _cohere_usage(),
    }


def cohere_events(_: Json) -> list[bytes]:
    """The same, streamed."""
    deltas = [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
        for word in WORDS
    ]
    start = {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}}
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": _cohere_usage()}}
    return _sse([start, *deltas, end], named=True)


def _cohere_usage() -> Json:
    counts = {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS}
    return {"billed_units": counts, "tokens": counts}


def converse() -> Json:
    """Bedrock's Converse."""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": "".join(WORDS)}]}},
        "stopReason": "end_turn",
        "usage": _converse_usage(),
        "metrics": {"latencyMs": 1},
    }


def converse_events() -> list[bytes]:
    """The same, streamed."""
    deltas = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
    events: list[tuple[str, Json]] = [
        ("messageStart", {"role": "assistant"}),
        *deltas,
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": _converse_usage(), "metrics": {"latencyMs": 1}}),
    ]
    return [event(name, json.dumps(body).encode()) for name, body in events]


def _converse_usage() -> Json:
    return {
        "inputTokens": PROMPT_TOKENS,
        "outputTokens": COMPLETION_TOKENS,
        "totalTokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }


def invoke_events(request: Json) -> list[bytes]:
    """InvokeModel's, streamed: the model's own events in Base64."""
    return [
        event("chunk", json.dumps({"bytes": base64.b64encode(json.dumps(body).encode()).decode()}).encode())
        for body in claude_messages(request)
    ]


class Providers:
    """All of them on one port, served by a thread of its own while this is entered."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """By model."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="providers", daemon=True)
        self._runner: web.AppRunner | None = None
        self.host = ""

    @property
    def url(self) -> str:
        """The base of all URLs."""
        return f"http://{self.host}"

    def __enter__(self) -> Providers:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(WAIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    async def _start(self) -> None:
        # aiohttp logs what the tests tell it to do.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        application = web.Application(client_max_size=64 << 20)
        application.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self.host = f"{host}:{port}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        is_json = request.content_type == "application/json"
        body: Json = json.loads(await request.read() or b"{}") if is_json else {}
        found = MODEL_IN_PATH.search(request.path)
        model = str(body.get("model") or body.get("model_id") or (found[1] if found else request.path))
        body.setdefault("model", model)
        self.requests[model] += 1
        is_flaky = "flaky" in model and self.requests[model] == 1
        if "fail-" in model or is_flaky:
            status = 503 if is_flaky else int(model.partition("fail-")[2][:3])
            error = {"type": "error", "error": {"type": "server_error", "message": "out of order"}}
            return web.json_response(error, status=status, headers={"x-request-id": "req-1"})
        answer, events, kind = self._answer(request, body)
        if events is None:
            if "cut" in model:
                _cut(request)
            return web.json_response(answer, headers={"x-request-id": "req-1"})
        return await self._stream(request, events, kind, model)

    def _answer(self, request: web.Request, body: Json) -> tuple[Json, list[bytes] | None, str]:
        """Return the answer, the events where it is to be streamed, and their content type."""
        wants_stream = bool(body.get("stream")) or request.headers.get("x-dashscope-sse") == "enable"
        wants_stream = wants_stream or request.path.endswith("_stream")
        for suffix, whole, events in ROUTES:
            if request.path.endswith(suffix):
                kind = more_formats.KINDS.get(suffix, "text/event-stream")
                return whole(body), events(body) if events and wants_stream else None, kind
        if request.path.endswith(":streamGenerateContent"):
            last = len(WORDS) - 1
            chunks = [
                gemini(body["model"], word, is_last=number == last) for number, word in enumerate(WORDS)
            ]
            if request.query.get("alt") == "sse":
                return {}, _sse(chunks), "text/event-stream"
            return {}, [b"[", b",".join(json.dumps(one).encode() for one in chunks), b"]"], "application/json"
        if request.path.endswith(":generateContent"):
            return gemini(body["model"]), None, ""
        return self._answer_of_bedrock(request, body)

    def _answer_of_bedrock(self, request: web.Request, body: Json) -> tuple[Json, list[bytes] | None, str]:
        kind = "application/vnd.amazon.eventstream"
        match request.path.rpartition("/")[2]:
            case "converse":
                return converse(), None, ""
            case "converse-stream":
                return {}, converse_events(), kind
            case "invoke":
                return claude(body), None, ""
            case "invoke-with-response-stream":
                return {}, invoke_events(body), kind
        raise web.HTTPNotFound

    async def _stream(
        self, request: web.Request, events: list[bytes], kind: str, model: str
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": kind, "x-request-id": "req-1"})
        await answer.prepare(request)
        for position, piece in enumerate(events):
            if position == 1 and "hang" in model:
                await asyncio.Event().wait()  # until the client goes, which cancels this handler
            if position == 2 and "cut" in model:
                _cut(request)
            while position == ENDLESS_FROM and "endless" in model:  # until the client goes, likewise
                await answer.write(piece)
                await asyncio.sleep(0.005)  # as a model's words come
            await answer.write(piece)
            await asyncio.sleep(0)  # each event is a packet of its own, as a model's are
        await answer.write_eof()
        return answer


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError("as told")


ROUTES: tuple[tuple[str, Callable[[Json], Json], Callable[[Json], list[bytes]] | None], ...] = (
    ("/reka/v1/chat", more_formats.reka, more_formats.reka_events),
    ("/invocations", chat, chat_events),
    ("/ml/v1/text/chat", chat, None),
    ("/ml/v1/text/chat_stream", chat, chat_events),
    ("/chat/completions", chat, chat_events),
    ("/responses", response, response_events),
    ("/embeddings", embedding, None),
    *(
        (suffix, claude, lambda body: _sse(claude_messages(body), named=True))
        for suffix in ("/v1/messages", ":rawPredict", ":streamRawPredict")
    ),
    ("/v2/chat", cohere, cohere_events),
    ("/v1/chat", chat, chat_events),
    ("/api/chat", more_formats.ollama, more_formats.ollama_lines),
    ("/predictions", more_formats.prediction, None),
    ("/text-generation/generation", more_formats.generation, more_formats.generation_events),
)

MODEL_IN_PATH = re.compile(
    r"/(?:models?|serving-endpoints)/(.+?)(?::\w+|/converse.*|/invoke.*|/predictions|/invocations)?$"
)
