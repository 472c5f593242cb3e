"""Models' methods of gRPC, and their messages as JSON. Pure.

Invariants:
- A message becomes the JSON that the provider's HTTP API has for it: Google's by protobuf's own mapping, xAI's with
  the names of its chat completions. A count that a message does not have is absent.
- An unknown method costs one look-up.
- ``protobuf`` is imported only to convert a message, so the application has it.

Sources: googleapis ``aiplatform/v1/prediction_service.proto``, ``ai/generativelanguage/v1beta/generative_service.proto``
and ``google/rpc/code.proto``; xAI's protocol ``xai/api/v1/chat.proto`` and ``usage.proto``; protobuf "ProtoJSON format".
"""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from llmledger.instrumentation.recognize import Call

_GOOGLE: Final = re.compile(
    r"/google\.(?:cloud\.aiplatform|ai\.generativelanguage)\.(?P<version>v\w+)"
    r"\.(?P<service>PredictionService|GenerativeService)/"
    r"(?P<verb>(?:Stream)?GenerateContent|(?:Stream)?RawPredict|Predict|EmbedContent|BatchEmbedContents)"
)
_XAI: Final = {
    "Chat/GetCompletion": ("", False),
    "Chat/GetCompletionChunk": ("", True),
    "Sample/SampleText": ("", False),
    "Sample/SampleTextStreaming": ("", True),
    "Embedder/Embed": ("embedding", False),
    "Image/GenerateImage": ("image", False),
}

STATUS: Final = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""HTTP statuses by the names of gRPC's codes; every other one is 500."""

_REASONS: Final = {"max_len": "length", "max_context": "length"}


class Rpc(NamedTuple):
    """A model's method. ``path`` is that of the HTTP API, with ``{model}`` for the request's."""

    call: Call
    host: str
    """The provider's own, for a channel that does not tell."""
    path: str


@lru_cache(maxsize=256)
def rpc_of(method: str) -> Rpc | None:
    """Return the model's method of this name, None for any other.

    >>> rpc_of("/xai_api.Chat/GetCompletion").host
    'api.x.ai'
    """
    if method.startswith("/xai_api."):
        found = _XAI.get(method.removeprefix("/xai_api."))
        return Rpc(Call("xai", *found), "api.x.ai", method) if found else None
    match = _GOOGLE.fullmatch(method)
    if match is None:
        return None
    is_vertex = match["service"] == "PredictionService"
    verb = match["verb"][0].lower() + match["verb"][1:]
    host = "aiplatform.googleapis.com" if is_vertex else "generativelanguage.googleapis.com"
    call = Call(
        "vertex" if is_vertex else "google",
        "embedding" if "mbed" in verb else "",
        verb.startswith("stream"),
    )
    return Rpc(call, host, f"/{match['version']}/{{model}}:{verb}")


def host_of(target: str) -> str:
    """Return host and explicit port of a channel's target.

    >>> host_of("dns:///api.x.ai:443")
    'api.x.ai'
    """
    return target.rpartition("/")[2].removesuffix(":443")


def url_of(rpc: Rpc, host: str, request: Any) -> str:
    """Return the address of the same call over HTTP."""
    named = getattr(request, "model", None) or getattr(request, "endpoint", None)
    model = named if isinstance(named, str) else ""
    return f"https://{host or rpc.host}{rpc.path.replace('{model}', model)}"


def request_json(rpc: Rpc, request: Any) -> bytes:
    """Return a request's message as JSON. Raises for what is no message."""
    found = _plain(request, rpc)
    body = _http_body(found.get("httpBody"))
    if body is not None:
        return body
    for message in found.get("messages") or ():
        if isinstance(message, dict) and "role" in message:
            message["role"] = _word(message["role"], "ROLE_")
    return msgspec.json.encode(found)


def response_json(rpc: Rpc, response: Any) -> bytes:
    """Return a response's message, or one of a stream, as JSON. Raises for what is no message."""
    found = _plain(response, rpc)
    body = _http_body(found)
    if body is not None:
        return body
    return msgspec.json.encode(_as_chat(found, rpc.call.is_stream) if "outputs" in found else _counted(found))


def _plain(message: Any, rpc: Rpc) -> dict[str, Any]:
    """Return a message by protobuf's JSON mapping; ``proto-plus`` messages have theirs inside."""
    inner = getattr(type(message), "pb", None)
    if inner is not None:
        message = inner(message)
    convert = importlib.import_module("google.protobuf.json_format").MessageToDict
    found: dict[str, Any] = convert(message, preserving_proto_field_name=rpc.call.provider == "xai")
    return found


def _http_body(body: Any) -> bytes | None:
    """Return the data of ``google.api.HttpBody``, in which RawPredict wraps the model's own JSON."""
    if not isinstance(body, dict) or "contentType" not in body or "data" not in body:
        return None
    return msgspec.convert(body["data"], bytes)  # Base64


def _as_chat(found: dict[str, Any], is_stream: bool) -> dict[str, Any]:
    """Return xAI's completion, or a chunk of it, as its HTTP API writes it."""
    part = "delta" if is_stream else "message"
    choices = []
    for output in found.pop("outputs"):
        message = dict(output.get(part) or {})
        if "role" in message:
            message["role"] = _word(message["role"], "ROLE_")
        choice = {"index": output.get("index", 0), part: message}
        if "finish_reason" in output:
            reason = _word(output["finish_reason"], "REASON_")
            choice["finish_reason"] = _REASONS.get(reason, reason)
        choices.append(choice)
    kind = "chat.completion.chunk" if is_stream else "chat.completion"
    return {**_counted(found), "object": kind, "choices": choices}


def _counted(found: dict[str, Any]) -> dict[str, Any]:
    """Rename the counts; protobuf leaves out a count of 0, and usage without any count is unknown."""
    usage = found.pop("usage", None)
    if not isinstance(usage, dict) or not usage.get("total_tokens"):
        return found
    details = {
        "text_tokens": usage.pop("prompt_text_tokens", 0),
        "image_tokens": usage.pop("prompt_image_tokens", 0),
        "cached_tokens": usage.pop("cached_prompt_text_tokens", 0),
    }
    if "cost_in_usd_ticks" in usage:
        usage["cost_in_usd_ticks"] = int(usage["cost_in_usd_ticks"])  # 64 bits are text in protobuf's JSON
    reasoning = usage.pop("reasoning_tokens", 0)
    found["usage"] = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        **usage,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return found


def _word(value: object, prefix: str) -> str:
    return str(value).removeprefix(prefix).lower()
