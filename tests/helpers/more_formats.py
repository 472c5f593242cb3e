"""Wire formats of further providers, for ``tests.helpers.providers``. Pure.

Sources: Ollama "Generate a chat completion"; Replicate "Create a prediction using an official model"; Alibaba
"DashScope: text generation"; Reka "Chat".
"""

from __future__ import annotations

import json
from typing import Any, Final

PROMPT_TOKENS = 11
COMPLETION_TOKENS = 5
WORDS = ("All", " is", " well", ".", "")

Json = dict[str, Any]


def ollama(request: Json, word: str = "".join(WORDS), *, is_last: bool = True) -> Json:
    """Ollama's chat, or one line of it streamed."""
    counts = {"prompt_eval_count": PROMPT_TOKENS, "eval_count": COMPLETION_TOKENS, "done_reason": "stop"}
    return {
        "model": request["model"],
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": word},
        "done": is_last,
        **(counts if is_last else {}),
    }


def ollama_lines(request: Json) -> list[bytes]:
    """The same, streamed."""
    last = len(WORDS) - 1
    return [
        json.dumps(ollama(request, word, is_last=number == last)).encode() + b"\n"
        for number, word in enumerate(WORDS)
    ]


def prediction(request: Json) -> Json:
    """Replicate's prediction that was waited for."""
    return {
        "id": "p1",
        "model": request["model"],
        "version": "hidden",
        "status": "succeeded",
        "input": request.get("input"),
        "output": list(WORDS),
        "logs": "",
        "error": None,
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": "2026-01-01T00:00:00Z",
        "completed_at": "2026-01-01T00:00:01Z",
        "metrics": {
            "input_token_count": PROMPT_TOKENS,
            "output_token_count": COMPLETION_TOKENS,
            "predict_time": 1.0,
        },
        "urls": {"get": "http://localhost/v1/predictions/p1", "cancel": "http://localhost/"},
    }


def generation(request: Json, word: str = "".join(WORDS), reason: str = "stop") -> Json:
    """Alibaba's own chat, or one event of it streamed."""
    message = {"role": "assistant", "content": word}
    return {
        "request_id": "r-1",
        "output": {"choices": [{"finish_reason": reason, "message": message}]},
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "output_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    }


def generation_events(request: Json) -> list[bytes]:
    """The same, streamed."""
    last = len(WORDS) - 1
    return [
        b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n"
        % (number + 1, json.dumps(generation(request, word, "stop" if number == last else "null")).encode())
        for number, word in enumerate(WORDS)
    ]


def reka(request: Json, word: str = "".join(WORDS), reason: str | None = "stop") -> Json:
    """Reka's chat, or one event of it streamed, each with all that was said so far."""
    message = {"role": "assistant", "content": word}
    return {
        "id": "r-1",
        "model": request["model"],
        "responses": [{"finish_reason": reason, "message": message}],
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS},
    }


def reka_events(request: Json) -> list[bytes]:
    """The same, streamed."""
    said = ["".join(WORDS[: number + 1]) for number in range(len(WORDS))]
    last = len(WORDS) - 1
    return [
        b"event: message\ndata: %b\n\n"
        % json.dumps(reka(request, word, "stop" if number == last else None)).encode()
        for number, word in enumerate(said)
    ]


KINDS: Final = {"/api/chat": "application/x-ndjson"}
"""Content types of streams that are not server-sent events, by the path's end."""
