"""Whether a tool's result says that the call failed. Pure.

Invariant: only what stands at the beginning of a text, or in the members that say it of a JSON object, is read: a
result that speaks of errors is none.
"""

from __future__ import annotations

import re
from typing import Any, Final

from llmledgerd.conversations.values import REFUSED, decoded

NO_ERROR: Final = 0
API_ERROR: Final = 1
"""The API's own field says it: Anthropic's ``is_error``, Bedrock's ``status``."""
TEXT_ERROR: Final = 2
"""The result's text says it."""

_LONGEST_OBJECT: Final = 256 << 10
"""Characters of a text above which it is not read as JSON."""

_START: Final = 300

_FAILED: Final = re.compile(
    r"\s*(?:"
    r"<(?:tool_use_)?error\b"
    r"|\[?error\b\]?\s*(?::|-|\u2014|\(|\d|executing|calling|running|invoking|while|reading|writing|in tool|code)"
    r"|error\W*\Z"
    r"|(?:[\w.]+(?:error|exception)|exception|fatal|panic)\s*:"
    r"|traceback \(most recent call last\)"
    r"|(?:(?:the )?(?:tool|tool call|command|function|request|execution|process|call) (?:\S+ )?)?"
    r"(?:failed(?:\s*:| with| to)|exited with (?:exit )?(?:code|status)[: ]*[1-9-]|timed out)"
    r"|(?:process )?exit (?:code|status)[: ]*[1-9-]"
    r"|(?:bash|sh|zsh): .*(?:not found|no such file|permission denied)"
    r")",
    re.IGNORECASE,
)

_EMPTY: Final[tuple[Any, ...]] = (None, "", False, 0, [], {})
_FLAGS: Final = ("isError", "is_error")
_SUCCESSES: Final = ("success", "ok", "succeeded")
_EXITS: Final = ("exit_code", "exitCode", "returncode", "return_code")
_STATUSES: Final = ("status", "statusCode", "status_code")
_WORDS: Final = frozenset({"error", "failed", "failure", "errored"})
_LEAST_FAILED: Final = 400
"""HTTP's first status of errors."""


def reads_as_error(value: Any) -> bool:
    """Return whether the content of a result says that the call failed."""
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, str | dict)), None)
    if isinstance(value, dict):
        text = value.get("text")
        return reads_as_error(text) if isinstance(text, str) and value.get("type") == "text" else _says(value)
    if not isinstance(value, str):
        return False
    start = value[:_START]
    if start.lstrip()[:1] == "{" and len(value) <= _LONGEST_OBJECT:
        try:
            found = decoded(value.encode())
        except (*REFUSED, UnicodeEncodeError):
            return False
        return isinstance(found, dict) and _says(found)
    return _FAILED.match(start) is not None


def _says(said: dict[str, Any]) -> bool:
    if any(said.get(name) is True for name in _FLAGS) or any(said.get(name) is False for name in _SUCCESSES):
        return True
    if said.get("error") not in _EMPTY and not any(said.get(name) is True for name in _SUCCESSES):
        return True
    if any(_is_number(said.get(name)) and said[name] != 0 for name in _EXITS):
        return True
    for name in _STATUSES:
        status = said.get(name)
        if isinstance(status, str) and status.lower() in _WORDS:
            return True
        if _is_number(status) and status >= _LEAST_FAILED:
            return True
    inner = said.get("metadata")
    return isinstance(inner, dict) and any(
        _is_number(inner.get(name)) and inner[name] != 0 for name in _EXITS
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
