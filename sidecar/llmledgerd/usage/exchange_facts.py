"""Facts of an exchange, in the same form for every provider.

Invariant: ``None`` is "not reported", 0 is "reported as 0"; nothing here is a guess.

Nothing here can be part of a cycle, and the collector is spared the look at it (``gc=False``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

UsageSource = Literal["reported", "partial", "unknown"]
UsageCheck = Literal["ok", "mismatch", ""]


class Exchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One HTTP exchange as it was received. Payloads are raw JSON; ``b""`` is absent."""

    provider: str = ""
    """Provider named by the sender: a hint, sometimes wrong; the shape decides."""
    url: str = ""
    status_code: int = 0
    request: bytes | memoryview = b""
    response: bytes | memoryview = b""
    stream: str = ""
    """The streamed answer as text: SSE, NDJSON, a JSON array, or Bedrock's events as SSE."""
    is_too_long: bool = False
    """The stream is too long to be read."""
    headers: Mapping[str, str] | None = None


class PricedUsage(msgspec.Struct, kw_only=True, gc=False):
    """Token counts that one model's price applies to. ``input`` includes cache reads and writes."""

    model: str = ""
    """Empty: the exchange's own model."""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    """Part of ``cache_write`` with a lifetime of one hour, at a higher price."""
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    cache_audio_read: int = 0
    input_image: int = 0
    output_image: int = 0
    input_video: int = 0
    output_video: int = 0
    cache_image_read: int = 0
    citation: int = 0
    """Of ``input``: Perplexity's citation tokens, which have a price of their own."""


class Facts(msgspec.Struct, kw_only=True, gc=False):
    """Facts read from an exchange. Token counts follow SPEC section 4."""

    provider: str = ""
    """Provider by URL and shape; empty if neither identifies it."""
    model: str = ""
    """The reply's, else the request's, else the URL's (corpus README, rule 7)."""
    request_model: str = ""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    usage_json: bytes = b""
    """The provider's own usage object as JSON, whole; of a stream the one that counts."""
    usage_source: UsageSource = "unknown"
    usage_check: UsageCheck = ""
    priced: list[PricedUsage] = msgspec.field(default_factory=list)
    """Input of the cost: one entry, or one per iteration (Anthropic)."""
    cost_usd: float | str | None = None
    """The provider's own cost in US dollars where it reports one, as it wrote it."""
    upstream_cost_usd: float | str | None = None
    """What a gateway says that the provider behind it billed to the customer's own key."""
    is_byok: bool | None = None
    """The gateway's word on whether the customer's own key was used; ``None`` where it says nothing."""
    units: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """What is billed beside tokens, by part: ``web_search``, ``file_search``, ``code_interpreter``,
    ``grounding``, ``search_unit``, ``audio_second``, ``page``, ``image``, ``request``, …"""
    region: str = ""
    """Where the call was served, lower case: Anthropic's ``inference_geo``, a regional host's region."""
    doubt: str = ""
    """Why these counts cannot be priced although they are reported: a reason of ``cost_reason``."""

    has_error: bool = False
    """The body, or an event of the stream, carries an error that is not null."""
    error_type: str = ""
    error_message: str = ""

    finish_reason: str = ""
    service_tier: str = ""
    """The tier that served the call, in the reply's word, else the request's; a fast mode is ``fast``."""
    cache_diagnostics: bytes = b""
    """What the provider says of a cache miss, as JSON: Anthropic's ``diagnostics`` (docs, "Cache diagnostics"), OpenAI's
    ``prompt_cache_diagnostics`` (docs, "Prompt cache diagnostics"). Empty where the request did not ask for it."""
    provider_request_id: str = ""
    is_batch: bool = False
    call_type: str = ""
    """``embedding``, ``rerank``, … by URL or shape; empty if unknown."""

    unread: Literal["", "budget", "error"] = ""
    """Reason why nothing was read: the exchange is too large, or reading failed."""
    is_stream: bool = False
    stream_complete: bool = True
    """False: the stream ended without its terminal event."""
    response: bytes = b""
    """Response object assembled from a stream, as JSON."""


def storable(facts: Facts) -> Facts:
    """Return the facts with lone surrogates replaced: no column can hold them."""
    names = [name for name in Facts.__struct_fields__ if isinstance(getattr(facts, name), str)]
    return msgspec.structs.replace(facts, **{name: _encodable(getattr(facts, name)) for name in names})


def _encodable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
