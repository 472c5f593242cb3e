"""Detection of error responses, with type and message.

Invariant: an ``error`` that is null is a success. Without an error member and with a status below
400 nothing is an error, whatever else the body says (a refusal, a content filter).

Sources: OpenAI "Error codes", Anthropic "Errors" (``overloaded_error``, ``rate_limit_error``),
Google "API errors: google.rpc.Status", AWS "Common errors" (``x-amzn-errortype``), FastAPI's
``detail``, which Voyage, Cohere and vLLM send; MiniMax API docs, "Error codes" (``base_resp``) and Baidu
Qianfan docs, "Error codes" (``error_code``), both with a status of 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmledgerd.usage.decode import Json, encode, is_null, plain, value
from llmledgerd.usage.response_fields import Reply

LOWEST_ERROR_STATUS = 400
AMAZON_ERROR_TYPE = "x-amzn-errortype"


class Failure(NamedTuple):
    """What an answer says about its error."""

    is_error: bool = False
    type: str = ""
    message: str = ""


NONE = Failure()


def failure(reply: Reply, status_code: int, headers: Mapping[str, str] | None) -> Failure:
    """Return the error of an answer (corpus README, rule 6)."""
    is_failed = status_code >= LOWEST_ERROR_STATUS
    if not is_failed and is_null(reply.error):
        return _failed_inside(reply) if reply.base_resp or reply.error_code else NONE
    error = None if is_null(reply.error) else value(reply.error)
    if not error and not is_failed:
        return NONE
    if isinstance(error, list):
        error = next((one for one in error if isinstance(one, dict)), error)
    kind = _text(reply.error_type) or (_type_of(error) if isinstance(error, dict) else _type_beside(reply))
    return Failure(
        is_error=bool(error),
        type=kind or _type_in_headers(headers),
        message=_message(error) or _message_beside(reply),
    )


def _failed_inside(reply: Reply) -> Failure:
    """Return the error that a status of 200 hides: MiniMax's code that is not 0, Baidu's of any value."""
    inside = value(reply.base_resp) if reply.base_resp else None
    if isinstance(inside, dict):
        code, message = _name(inside.get("status_code")), _message({"message": inside.get("status_msg")})
    else:
        code, message = _text(reply.error_code), _text(reply.error_msg)
    return Failure(is_error=True, type=code, message=message) if code not in ("", "0") else NONE


def _type_of(error: dict[str, Any]) -> str:
    code = error.get("code")
    named = (error.get("type"), code if isinstance(code, str) else None, error.get("status"))
    return next((plain(name) for name in named if isinstance(name, str) and name), _name(code))


def _type_beside(reply: Reply) -> str:
    """Return the type in the body itself, unless it is just "error"."""
    for raw in (reply.amazon_type, reply.type, reply.code):
        found = _text(raw)
        if found and found != "error":
            return found
    return ""


def _type_in_headers(headers: Mapping[str, str] | None) -> str:
    """Return Amazon's type: the header's text before the colon of its namespace."""
    for name, content in (headers or {}).items():
        if name.lower() == AMAZON_ERROR_TYPE:
            return content.partition(":")[0]
    return ""


def _message(error: object) -> str:
    if isinstance(error, str):
        return plain(error)
    if isinstance(error, dict):
        return _first_message(error.get("message"), error.get("detail"), error.get("error"))
    return ""


def _message_beside(reply: Reply) -> str:
    places = (reply.message, reply.detail, reply.capital_message, reply.errors)
    return _first_message(*(value(raw) if raw else None for raw in places))


def _first_message(*found: Any) -> str:
    """Return the first non-empty value; other types as JSON."""
    for one in found:
        if one:
            return plain(one) if isinstance(one, str) else encode(one).decode("utf-8", "replace")
    return ""


def _text(raw: Json) -> str:
    return _name(value(raw)) if raw else ""


def _name(found: Any) -> str:
    """Return a name or a number as text."""
    if isinstance(found, str):
        return plain(found)
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return str(found) if is_number else ""
