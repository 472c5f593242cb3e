"""Details of one call: figures and payloads. Pure.

Invariant: the shown part of any payload is bounded; the whole payload is a download.
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import urlencode

import msgspec

from llmledgerd.query.results import Call, Payloads
from llmledgerd.ui import formatting
from llmledgerd.ui.figures import Tile

SHOWN_CHARACTERS: Final = 200_000
"""Shown characters of a payload or part of a conversation, a size that browsers render instantly."""

PRETTY_BYTES: Final = 1_000_000
"""Larger payloads are shown without indentation."""

FOLDED_CHARACTERS: Final = 3_000
"""Longer parts of a conversation are collapsed."""

EARLIER_MESSAGES: Final = 100
"""Limit of shown messages that an earlier call had already; each is cut at FOLDED_CHARACTERS."""

PAYLOADS: Final = {
    "request": ("Request", "request_json"),
    "response": ("Response", "response_json"),
    "usage": ("Usage, as reported by the provider", "usage_json"),
    "config": ("Configuration", "llm_config_json"),
}


class Payload(msgspec.Struct, frozen=True):
    """Shown part of one payload."""

    name: str
    title: str
    bytes: int
    text: str
    is_cut: bool
    address: str


def address(id: str) -> str:  # noqa: A002 - the column's name
    """Return the URL of a call's page."""
    return f"/call?{urlencode({'id': id})}"


def tiles(call: Call) -> list[Tile]:
    """Return the figures of one call."""
    known = call.usage_source != "unknown"
    parts = (
        ("cached", call.cached_input_tokens),
        ("written to cache", call.cache_write_tokens),
    )
    first = call.time_to_first_token_ms
    return [
        Tile(
            "cost", "Cost", formatting.usd(call.cost_usd), "" if call.cost_usd is None else str(call.cost_usd)
        ),
        Tile(
            "input",
            "Input tokens",
            formatting.whole(call.prompt_tokens if known else None),
            str(call.prompt_tokens) if known else "",
            ", ".join(f"{count:,} {name}" for name, count in parts if count is not None),
        ),
        Tile(
            "output",
            "Output tokens",
            formatting.whole(call.completion_tokens if known else None),
            str(call.completion_tokens) if known else "",
            "" if call.reasoning_tokens is None else f"{call.reasoning_tokens:,} reasoning",
        ),
        Tile(
            "latency",
            "Latency",
            formatting.milliseconds(call.latency_ms or None),
            str(call.latency_ms or ""),
            "" if first is None else f"first token after {formatting.milliseconds(first)}",
        ),
        Tile(
            "bytes",
            "Request",
            formatting.size(call.request_size_bytes),
            str(call.request_size_bytes),
            f"{formatting.size(call.response_size_bytes)} response",
        ),
    ]


def payloads(call: Call) -> list[Payload]:
    """Return the non-empty payloads."""
    if call.payloads is None:
        return []
    found = []
    for name, (title, _) in PAYLOADS.items():
        body = payload(call.payloads, name)
        if body:
            text = _set_out(body)
            where = f"/payload/{name}?{urlencode({'id': call.id})}"
            is_cut = len(text) > SHOWN_CHARACTERS
            found.append(Payload(name, title, len(body), text[:SHOWN_CHARACTERS], is_cut, where))
    return found


def payload(payloads: Payloads, name: str) -> bytes:
    """Return one of PAYLOADS."""
    found: bytes = getattr(payloads, PAYLOADS[name][1])
    return found


def _set_out(body: bytes) -> str:
    """Return indented JSON; other or very large bodies unchanged."""
    text = body[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")
    if len(body) > PRETTY_BYTES:
        return text
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
