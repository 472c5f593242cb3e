"""The recorded exchanges, where ``LLMLEDGER_CORPUS`` names their folder; they are not ours to ship."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CORPUS = os.environ.get("LLMLEDGER_CORPUS", "")

needs_corpus = pytest.mark.skipif(not CORPUS, reason="LLMLEDGER_CORPUS names no folder of recorded exchanges")

SUMS = ("prompt_tokens", "completion_tokens", "total_tokens")
"""Here null and 0 are the same."""
PARTS = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
TEXTS = ("model", "error_type", "error_message")

DISPUTED = {
    "75f488a648": "stability-ai/stable-diffusion",
    "729ad7204f": "stability-ai/stable-diffusion",
    "fa9928467d": "replicate-internal/staging-llama-2-70b-chat-hf-mlc",
    "2727c4daa6": "models/gemini-1.5-flash-002",
}
"""The models that four replies name, by the end of the exchange's id: rule 7 wants them, and the
corpus expects none, or that of a made-up URL."""


def records() -> Iterator[dict[str, Any]]:
    """Yield every exchange."""
    with (Path(CORPUS) / "open.ndjson").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def scored() -> list[dict[str, Any]]:
    """Return the exchanges whose numbers nobody is suspected to have edited."""
    return [record for record in records() if "suspected_edited" not in record["tags"]]


def allowed(record: dict[str, Any], name: str) -> list[Any]:
    """Return what a field may be: expected, or one of what can be defended."""
    disputed = DISPUTED.get(record["id"][-10:]) if name == "model" else None
    return [record["expected"][name], *record.get("accept", {}).get(name, []), *filter(None, [disputed])]
