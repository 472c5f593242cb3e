"""Small exchanges in the providers' shapes, for tests that need a row and not a provider."""

from __future__ import annotations

import json
from typing import Any

TEXT = "The quick brown fox jumps over the lazy dog, again and again. "


def openai_chat(index: int, *, size: int = 200) -> dict[str, Any]:
    """Return the fields of a record whose tokens tell its index: prompt ``index``, completion 1."""
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    return {
        "provider": "openai",
        "url": "https://api.openai.com/v1/chat/completions",
        "status_code": 200,
        "org_id": "org-1",
        "agent_id": f"agent-{index % 7}",
        "latency_ms": 12,
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": text[: size // 2]}]},
        "response": {
            "id": f"chatcmpl-{index}",
            "object": "chat.completion",
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text[size // 2 :]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": index, "completion_tokens": 1, "total_tokens": index + 1},
        },
    }


def line(call: str, index: int, *, version: int = 4, **fields: Any) -> bytes:
    """Return one record as a line of the wire."""
    record = {"protocol_version": version, "provider_trace_id": call, **openai_chat(index), **fields}
    return json.dumps(record).encode() + b"\n"
